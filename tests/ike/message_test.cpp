// The wire (RFC 7296 3): every payload there and back, cut at every length, and what the catalogue of broken
// messages holds (docs/ike.md, catalogue A).

#include "ike/message.hpp"

#include "ike/child.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;

namespace {

std::vector<Payload> one_of_each() {
    return {
        offer_esp(0x11223344, DhGroup::curve25519),
        KePayload{31, Bytes(32, 7)},
        IdPayload{false, {9, 0, 0, 0, 1}},
        IdPayload{true, {9, 1, 2, 3, 1, 2}},
        AuthPayload{14, Bytes(72, 3)},
        NoncePayload{Bytes(16, 1)},
        NotifyPayload{notify::rekey_sa, Protocol::esp, {1, 2, 3, 4}, {}},
        make_notify(notify::nat_detection_source_ip, Bytes(20, 1)),
        DeletePayload{Protocol::esp, {1, 2, 3}},
        DeletePayload{Protocol::ike, {}},
        any_selectors(false),
        any_selectors(true),
        OpaquePayload{43, false, {1, 2, 3}},
        OpaquePayload{200, false, {}}};
}

Bytes body_of(const Payload& payload) {
    Bytes bytes;
    base::Writer out(bytes);
    encode(payload, out);
    return bytes;
}

std::optional<Payload> decoded(std::uint8_t type, const Bytes& body) {
    return decode_payload(type, false, body);
}

bool refused(PayloadType type, const Bytes& body) {
    return !decoded(static_cast<std::uint8_t>(type), body).has_value();
}

Bytes notify_body(std::uint16_t type, std::size_t data) {
    return body_of(NotifyPayload{type, Protocol::none, {}, Bytes(data, 0)});
}

Header header() {
    Header made;
    made.spi_i = 1;
    made.flags = flag::initiator;
    return made;
}

}  // namespace

TEST_CASE("every payload reads back as written, and none that was cut is read as something else") {
    for (const Payload& payload : one_of_each()) {
        const std::uint8_t type = type_of(payload);
        const Bytes body = body_of(payload);
        INFO("payload " << int{type});
        const auto back = decoded(type, body);
        REQUIRE(back.has_value());
        CHECK(*back == payload);
        for (std::size_t size = 0; size < body.size(); ++size) {
            const auto cut = decoded(type, Bytes(body.begin(), body.begin() + std::ptrdiff_t(size)));
            if (cut) CHECK_FALSE(*cut == payload);
        }
    }
}

TEST_CASE("A1, row 50: a message whose length is not its datagram's is dropped") {
    Bytes message = encode(header(), one_of_each());
    REQUIRE(parse(message).has_value());
    for (std::size_t size = 0; size < message.size(); ++size)
        CHECK_FALSE(parse(base::ByteView(message).first(size)).has_value());
    Bytes longer = message;
    longer.push_back(0);
    CHECK_FALSE(parse(longer).has_value());
    for (const std::uint32_t length : {0u, 27u, 0xffffffffu}) {
        for (unsigned i = 0; i < 4; ++i) message[24 + i] = static_cast<base::Byte>(length >> (24 - 8 * i));
        CHECK_FALSE(parse(message).has_value());
    }
}

TEST_CASE("A2, row 50: payload lengths below four, beyond the end and bytes behind the last are refused") {
    const Bytes good = encode(header(), std::vector<Payload>{NoncePayload{Bytes(16, 1)}});
    const auto decodes = [](const Bytes& message) { return decode(*parse(message)).has_value(); };
    REQUIRE(decodes(good));
    for (const base::Byte length : Bytes{0, 1, 2, 3, 19, 21, 255}) {
        Bytes bad = good;
        bad[31] = length;
        CHECK_FALSE(decodes(bad));
    }
    Bytes more = good;
    more[28] = 41;  // announces a notify that is not there
    CHECK_FALSE(decodes(more));
    Bytes none = good;
    none[16] = 0;  // announces nothing, though there is something
    CHECK_FALSE(decodes(none));
    Bytes inner = good;
    inner[16] = 46;  // what is encrypted cannot be in clear
    CHECK_FALSE(decodes(inner));
}

TEST_CASE("A2, row 50: sixty-four payloads are read, more are not") {
    std::vector<Payload> many(kPayloadsMax, OpaquePayload{43, false, {}});
    CHECK(decode(*parse(encode(header(), many))).has_value());
    many.emplace_back(OpaquePayload{43, false, {}});
    CHECK_FALSE(decode(*parse(encode(header(), many))).has_value());
    const std::vector<Payload> notifies(kNotifiesMax + 1, make_notify(40000));
    CHECK_FALSE(decode(*parse(encode(header(), notifies))).has_value());
}

TEST_CASE("A4: what a message has one of may not come twice") {
    for (const Payload& payload : one_of_each()) {
        const std::vector<Payload> twice{payload, payload};
        const bool repeatable = std::holds_alternative<NotifyPayload>(payload) ||
                                std::holds_alternative<DeletePayload>(payload) ||
                                std::holds_alternative<OpaquePayload>(payload);
        CHECK(decode(*parse(encode(header(), twice))).has_value() == repeatable);
    }
}

TEST_CASE("A9: an SA payload whose counts and lengths do not add up is refused") {
    const Bytes good = body_of(offer_esp(0x11223344));
    const auto with = [&](std::size_t at, base::Byte value) {
        Bytes body = good;
        body[at] = value;
        return refused(PayloadType::sa, body);
    };
    REQUIRE_FALSE(refused(PayloadType::sa, good));
    CHECK(refused(PayloadType::sa, {}));
    CHECK(with(0, 2));     // another proposal is announced
    CHECK(with(0, 1));     // neither first nor last
    CHECK(with(3, 7));     // shorter than itself
    CHECK(with(3, 200));   // beyond the end
    CHECK(with(6, 255));   // SPI size
    CHECK(with(7, 255));   // transforms
    CHECK(with(7, 0));     // no transforms, yet bytes
    CHECK(with(15, 7));    // a transform of seven octets
    CHECK(with(12, 0));    // the first of several is no last one
    CHECK(with(15, 255));  // a transform beyond the end
}

TEST_CASE("A9: unknown transform types spoil a proposal, unknown attributes a transform, nothing else") {
    Bytes body = body_of(offer_esp(0x11223344));
    const auto proposals = [&] { return std::get<SaPayload>(*decoded(33, body)).proposals; };
    REQUIRE_FALSE(proposals()[0].unusable);
    const std::size_t transforms = proposals()[0].transforms.size();
    body[12 + 4] = 99;
    CHECK(proposals()[0].unusable);
    body[12 + 4] = 1;
    body[12 + 9] = 15;  // attribute 15
    CHECK_FALSE(proposals()[0].unusable);
    CHECK(proposals()[0].transforms.size() == transforms - 1);
}

TEST_CASE("A10: notifications of a fixed size have it") {
    struct {
        std::uint16_t type;
        std::vector<std::size_t> right, wrong;
    } const rows[] = {
        {notify::nat_detection_source_ip, {20}, {0, 19, 21}},
        {notify::nat_detection_destination_ip, {20}, {0, 19, 21}},
        {notify::invalid_ke_payload, {2}, {0, 1, 3}},
        {notify::unsupported_critical_payload, {1}, {0, 2}},
        {notify::cookie, {1, 64}, {0, 65}},
        {notify::signature_hash_algorithms, {0, 2, 8}, {1, 3}},
        {40000, {0, 1, 5000}, {}},
    };
    for (const auto& row : rows) {
        for (const std::size_t size : row.right)
            CHECK_FALSE(refused(PayloadType::notify, notify_body(row.type, size)));
        for (const std::size_t size : row.wrong)
            CHECK(refused(PayloadType::notify, notify_body(row.type, size)));
    }
    Bytes body = notify_body(40000, 3);
    body[1] = 4;  // the SPI is longer than what is there
    CHECK(refused(PayloadType::notify, body));
    body[0] = 9;
    body[1] = 3;  // a protocol that nobody knows is no error
    CHECK_FALSE(refused(PayloadType::notify, body));
}

TEST_CASE("C2: selectors that are no range, of a wrong size or wrongly counted are refused") {
    const Bytes good = body_of(any_selectors(false));
    const auto with = [&](std::size_t at, base::Byte value) {
        Bytes body = good;
        body[at] = value;
        return refused(PayloadType::ts_i, body);
    };
    CHECK(with(0, 0));
    CHECK(with(0, 1));
    CHECK(with(0, 3));
    CHECK(with(0, 255));
    CHECK(with(4 + 3, 15));
    CHECK(with(4 + 3, 17));
    CHECK(with(4, 8));  // IPv6 in sixteen octets
    Bytes backwards = good;
    backwards[12] = 10;  // starts at 10.0.0.0 and ends before
    backwards[16] = 9;
    CHECK(refused(PayloadType::ts_i, backwards));
    Bytes unknown = good;
    unknown[4] = 10;  // a security label is passed over
    CHECK(std::get<TsPayload>(*decoded(44, unknown)).selectors.size() == 1);
}

TEST_CASE("C4: a DELETE whose count and size do not fit is refused") {
    CHECK(refused(PayloadType::delete_, {3, 4, 0, 2, 1, 2, 3, 4}));
    CHECK(refused(PayloadType::delete_, {3, 4, 0, 1, 1, 2, 3, 4, 5}));
    CHECK(refused(PayloadType::delete_, {3, 0, 0, 0}));
    CHECK(refused(PayloadType::delete_, {3, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}));
    CHECK(refused(PayloadType::delete_, {1, 0, 0, 1}));
    CHECK(refused(PayloadType::delete_, {1, 8, 0, 0}));
    CHECK_FALSE(refused(PayloadType::delete_, {3, 4, 0, 0}));
}
