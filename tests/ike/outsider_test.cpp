// What anybody can send (docs/ike.md, catalogue A): no crash, no state beyond the caps, no harm to honest
// peers.

#include "stranger.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

EngineConfig demanding(std::size_t threshold) {
    EngineConfig config;
    config.cookie_threshold = threshold;
    return config;
}

// A response in the name of b to a's IKE_SA_INIT request in flight.
Bytes forged(const Passing& request, const std::vector<Payload>& payloads, std::uint64_t spi_r = 0) {
    base::Reader in(base::ByteView(request.bytes).subspan(4));
    Header header;
    header.spi_i = in.u64();
    header.spi_r = spi_r;
    header.flags = flag::response;
    Bytes bytes(4, 0);
    const Bytes message = encode(header, payloads);
    bytes.insert(bytes.end(), message.begin(), message.end());
    return bytes;
}

void inject(Dialogue& d, const Bytes& bytes) {
    Passing message;
    message.from = d.b.endpoint;
    message.to = d.a.endpoint;
    message.bytes = bytes;
    d.deliver(message);
}

const NotifyPayload* notify_in(const Bytes& bytes, std::uint16_t type, Message& storage) {
    const auto raw = parse(bytes);
    if (!raw) return nullptr;
    auto message = decode(*raw);
    if (!message) return nullptr;
    storage = std::move(*message);
    return storage.find_notify(type);
}

}  // namespace

TEST_CASE("A11: from the threshold on a cookie is asked for, and an honest initiator brings it") {
    Dialogue d(1, {}, demanding(0));
    d.both_connect().advance(1s).expect_tunnel();
    CHECK(d.sent.size() == 6);
    CHECK(d.b.drops("cookie asked for") == 1);
}

TEST_CASE("A11: with cookies a tunnel comes up whichever message is lost, doubled or late") {
    for (std::size_t i = 0; i < 6; ++i) {
        for (const Fate fault : {Fate::lost, Fate::doubled, Fate::late}) {
            Dialogue d(1, {}, demanding(0));
            d.fate = [&](const Passing& message) { return message.number == i ? fault : Fate::arrives; };
            d.both_connect().advance(12s).expect_tunnel();
        }
    }
}

TEST_CASE("A11: the cookie comes back as the first payload, with the same SPI and nonce") {
    Dialogue d(1, {}, demanding(0));
    d.both_connect().advance(1s);
    const auto first = parse(base::ByteView(d.sent[0].bytes).subspan(4));
    const auto second = parse(base::ByteView(d.sent[2].bytes).subspan(4));
    REQUIRE(first.has_value());
    REQUIRE(second.has_value());
    const auto before = decode(*first), after = decode(*second);
    REQUIRE(after.has_value());
    CHECK(std::get<NotifyPayload>(after->payloads[0]).type == notify::cookie);
    CHECK(first->header.spi_i == second->header.spi_i);
    CHECK(before->find<NoncePayload>()->data == after->find<NoncePayload>()->data);
}

TEST_CASE("A11: a wrong, an old, a borrowed and a misplaced cookie are all asked for again") {
    Waiting w(demanding(0));
    Stranger s(w.d);
    const Bytes plain = encode(s.init_header(), s.init_payloads());
    Message storage;
    const auto answers = s.deliver(plain);
    REQUIRE(answers.size() == 1);
    const NotifyPayload* cookie = notify_in(answers[0], notify::cookie, storage);
    REQUIRE(cookie != nullptr);
    const auto with_cookie = [&](Bytes value, bool first) {
        auto payloads = s.init_payloads();
        payloads.insert(
            first ? payloads.begin() : payloads.end(), make_notify(notify::cookie, std::move(value))
        );
        return encode(s.init_header(), payloads);
    };
    Bytes wrong = cookie->data;
    wrong.back() ^= 1;
    const Endpoint elsewhere{*Address::parse("192.0.2.66"), 12025};
    CHECK(w.d.b.drops("cookie asked for") == 1);
    s.deliver(with_cookie(wrong, true));
    s.deliver(with_cookie(Bytes(64, 7), true));
    s.deliver(with_cookie(cookie->data, false));
    s.deliver_from(elsewhere, with_cookie(cookie->data, true));
    CHECK(w.d.b.drops("cookie asked for") == 5);
    w.d.advance(121s);
    s.deliver(with_cookie(cookie->data, true));
    CHECK(w.d.b.drops("cookie asked for") == 6);
}

TEST_CASE("A11, row 45: a flood of spoofed requests leaves an honest initiator unharmed and the state bounded"
) {
    EngineConfig config;
    config.half_open_max = 200;
    Waiting w(std::move(config));
    base::Random random = base::Random::from_number(5);
    const Stranger mould(w.d);
    const Bytes request = encode(mould.init_header(), mould.init_payloads());
    std::size_t answered = 0;
    for (int i = 0; i < 5000; ++i) {
        Bytes bytes(4, 0);
        bytes.insert(bytes.end(), request.begin(), request.end());
        random.fill(std::span(bytes).subspan(4, 8));
        Passing message;
        message.from = {Address::any(base::Family::v4).plus(0x0a000000u + random.u32() % 65536), 12025};
        message.to = w.d.b.endpoint;
        message.bytes = bytes;
        const std::size_t before = w.d.sent.size();
        w.d.deliver(message);
        for (std::size_t k = before; k < w.d.sent.size(); ++k) {
            ++answered;
            CHECK(w.d.sent[k].bytes.size() <= bytes.size() + 64);
        }
    }
    CHECK(w.d.b.drops("cookie asked for") >= 5000 - 64);
    CHECK(answered == 5000);
    w.d.a_connects().advance(2s).expect_tunnel();
}

TEST_CASE("one source alone is asked for a cookie early") {
    Waiting w;
    for (std::uint64_t i = 0; i < 12; ++i) {
        Stranger s(w.d, 500 + i);
        s.init();
    }
    CHECK(w.d.b.drops("cookie asked for") == 4);
    w.d.advance(31s);  // half-open SAs are gone
    Stranger later(w.d, 600);
    CHECK(later.init());
}

TEST_CASE("A12: IKE_SA_INIT with a bad ID, SPIs or flags is dropped, and nothing is counted half open") {
    Waiting w(demanding(1));
    Stranger s(w.d);
    const auto with = [&](const std::function<void(Header&)>& change) {
        Header header = s.init_header();
        change(header);
        return s.deliver(encode(header, s.init_payloads()));
    };
    CHECK(with([](Header& h) { h.message_id = 1; }).empty());
    CHECK(with([](Header& h) { h.spi_r = 5; }).empty());
    CHECK(with([](Header& h) { h.spi_i = 0; }).empty());
    CHECK(with([](Header& h) { h.flags = 0; }).empty());
    CHECK(with([](Header& h) { h.flags = flag::initiator | flag::response; }).empty());
    CHECK(w.d.b.drops("IKE_SA_INIT request with a bad header") == 4);
    CHECK(s.init());  // no cookie asked for: the counter is at zero
}

TEST_CASE("A13: a higher major version is told once, IKEv1 never") {
    Waiting w;
    Stranger s(w.d);
    Header header = s.init_header();
    header.version = 0x30;
    Message storage;
    const auto answers = s.deliver(encode(header, s.init_payloads()));
    REQUIRE(answers.size() == 1);
    CHECK(notify_in(answers[0], notify::invalid_major_version, storage) != nullptr);
    CHECK(s.deliver(encode(header, s.init_payloads())).empty());
    header.version = 0x10;
    CHECK(s.deliver(encode(header, s.init_payloads())).empty());
    header.version = 0x21;  // a minor version means nothing
    CHECK(s.deliver(encode(header, s.init_payloads())).size() == 1);
}

TEST_CASE("A14, row 50: an unknown payload is ignored unless it is critical") {
    Waiting w;
    Stranger s(w.d);
    auto payloads = s.init_payloads();
    payloads.push_back(OpaquePayload{200, true, {1, 2, 3}});
    Message storage;
    const auto answers = s.deliver(encode(s.init_header(), payloads));
    REQUIRE(answers.size() == 1);
    const auto* told = notify_in(answers[0], notify::unsupported_critical_payload, storage);
    REQUIRE(told != nullptr);
    CHECK(told->data == Bytes{200});
    payloads.back() = OpaquePayload{200, false, {1, 2, 3}};
    CHECK(s.init(payloads));
}

TEST_CASE("A15: forged errors in answers to IKE_SA_INIT cost nothing") {
    Dialogue d;
    d.delay = 50ms;
    d.both_connect();
    REQUIRE(d.sent.size() == 1);
    for (const std::uint16_t type :
         {notify::no_proposal_chosen,
          notify::authentication_failed,
          notify::invalid_syntax,
          notify::invalid_major_version,
          notify::redirect,
          notify::invalid_ike_spi,
          notify::temporary_failure}) {
        inject(d, forged(d.sent[0], {make_notify(type)}));
    }
    inject(d, forged(d.sent[0], {make_notify(notify::invalid_ke_payload, {0, 31})}));  // what we sent
    inject(d, forged(d.sent[0], {make_notify(notify::invalid_ke_payload, {0, 14})}));  // never offered
    inject(d, forged(d.sent[0], {make_notify(notify::invalid_ke_payload, {0, 19})}));
    inject(d, forged(d.sent[0], {}));
    CHECK(d.sent.size() == 1);
    d.advance(1s).expect_tunnel();
    CHECK(d.a.view().attempts == 1);
}

TEST_CASE("A15: an answer that chooses what was not offered is dropped") {
    Dialogue d;
    d.delay = 50ms;
    d.both_connect();
    Stranger s(d);
    Proposal weak;
    weak.transforms = {
        {TransformType::encr, encr::aes_cbc, 128},
        {TransformType::prf, prf_id::hmac_sha2_256, {}},
        {TransformType::integ, integ::hmac_sha2_256_128, {}},
        {TransformType::ke, group::curve25519, {}}};
    Proposal doubled = offer_ike(false).proposals.front();  // every transform of it
    for (const Proposal& chosen : {weak, doubled}) {
        inject(
            d,
            forged(
                d.sent[0],
                {SaPayload{{chosen}}, KePayload{31, s.ke.public_value}, NoncePayload{Bytes(32, 1)}},
                7
            )
        );
    }
    CHECK(d.a.drops("the answer chose what was not offered") == 2);
    d.advance(1s).expect_tunnel();
}

TEST_CASE("A15: cookies without end are followed five times, and the attempt begins anew") {
    Dialogue d;
    d.cut = true;
    d.a_connects();
    for (base::Byte i = 0; i < 20; ++i)
        inject(d, forged(d.sent[0], {make_notify(notify::cookie, Bytes(8, i))}));
    CHECK(d.sent.size() == 6);
    inject(d, forged(d.sent[0], {make_notify(notify::cookie, Bytes(8, 4))}));
    CHECK(d.sent.size() == 6);
    d.cut = false;
    d.b_connects().advance(12s).expect_tunnel();
}

TEST_CASE("INVALID_KE_PAYLOAD is answered with the group asked for, keeping nonce and SPI") {
    Waiting w;
    Stranger s(w.d);
    s.offer = offer_ike(true);
    auto payloads = s.init_payloads();
    payloads[0] = s.offer;
    payloads[1] = KePayload{14, Bytes(256, 3)};
    Message storage;
    const auto answers = s.deliver(encode(s.init_header(), payloads));
    REQUIRE(answers.size() == 1);
    const auto* advice = notify_in(answers[0], notify::invalid_ke_payload, storage);
    REQUIRE(advice != nullptr);
    CHECK(advice->data == Bytes{0, 31});
    CHECK(storage.header.spi_r == 0);
    s.ke = generate(DhGroup::ecp256, s.random);  // the group of the KE payload wins where it is offered
    CHECK(s.init());
    CHECK(s.suite.group == DhGroup::ecp256);
}

TEST_CASE("as initiator INVALID_KE_PAYLOAD is followed once ECP-256 is on offer, and the cookie stays") {
    Dialogue d;
    d.cut = true;
    d.a_connects();
    inject(
        d, forged(d.sent[0], {make_notify(notify::no_proposal_chosen)})
    );  // believed only when nothing better comes
    d.advance(12s);
    const Passing wide = d.sent.back();
    const std::size_t before = d.sent.size();
    inject(d, forged(wide, {make_notify(notify::cookie, Bytes(8, 1))}));
    inject(d, forged(wide, {make_notify(notify::invalid_ke_payload, {0, 19})}));
    REQUIRE(d.sent.size() == before + 2);
    const auto raw = parse(base::ByteView(d.sent.back().bytes).subspan(4));
    const auto first = parse(base::ByteView(wide.bytes).subspan(4));
    const auto message = decode(*raw), original = decode(*first);
    REQUIRE(message.has_value());
    CHECK(std::get<NotifyPayload>(message->payloads[0]).data == Bytes(8, 1));
    CHECK(message->find<KePayload>()->group == 19);
    CHECK(message->find<NoncePayload>()->data == original->find<NoncePayload>()->data);
    CHECK(raw->header.spi_i == first->header.spi_i);
    d.cut = false;
    d.b_connects().advance(12s).expect_tunnel();
}

TEST_CASE("A16: a repeated IKE_SA_INIT gets the same answer a thousand times and opens one SA") {
    Waiting w(demanding(2));
    Stranger s(w.d);
    REQUIRE(s.init());
    const Bytes first = s.init_response;
    for (int i = 0; i < 1000; ++i) {
        const auto again = s.deliver(s.init_request);
        REQUIRE(again.size() == 1);
        CHECK(again[0] == first);
    }
    const Endpoint elsewhere{*Address::parse("192.0.2.66"), 12025};
    const auto other = s.deliver_from(elsewhere, s.init_request);  // from another address: an SA of its own
    REQUIRE(other.size() == 1);
    CHECK(other[0] != first);
    auto payloads = s.init_payloads();
    payloads[2] = NoncePayload{Bytes(32, 9)};
    s.deliver(encode(s.init_header(), payloads)
    );  // another body: another SA, the third, which needs a cookie
    CHECK(w.d.b.drops("cookie asked for") == 1);
}

TEST_CASE("A17: malformed and foreign datagrams leave no trace but counters") {
    Waiting w;
    Stranger s(w.d);
    const Bytes good = encode(s.init_header(), s.init_payloads());
    for (std::size_t size = 0; size < good.size(); ++size) {
        CHECK(s.deliver(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))).empty());
    }
    base::Random random = base::Random::from_number(9);
    for (int i = 0; i < 20000; ++i) {
        Bytes bytes = good;
        for (int k = 0; k < 4; ++k)
            bytes[28 + random.below(bytes.size() - 28)] = static_cast<base::Byte>(random.u32());
        s.deliver(bytes);
    }
    CHECK(w.d.b.engine->drops().totals().size() < 40);
    CHECK(w.d.b.notes.size() < 200);
    w.d.advance(31s);
    w.d.a_connects().advance(2s).expect_tunnel();
}

TEST_CASE("A18: what strangers say is fit to print") {
    Waiting w;
    Stranger s(w.d);
    REQUIRE(s.init());
    s.request(
        ExchangeType::ike_auth, s.auth_payloads({"ac\nme", "\x1b[2J%s", "0", false}, w.d.peer_of_a().remote)
    );
    for (const std::string& note : w.d.b.notes) {
        for (const char c : note) CHECK((c >= 0x20 && c < 0x7f));
    }
}

TEST_CASE("A19: strange ports and sizes are dropped") {
    Waiting w;
    const auto send = [&](std::uint16_t port, Bytes bytes) {
        Passing message;
        message.from = {w.d.a.endpoint.address, port};
        message.to = w.d.b.endpoint;
        message.bytes = std::move(bytes);
        w.d.deliver(message);
    };
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{0, 500, 12025}) {
        send(port, {});
        send(port, {0xff});
        send(port, Bytes(4, 0));
        send(port, Bytes(9000, 0));
        send(port, Bytes(65000, 0x7f));
        send(port, Bytes(100, 1));
    }
    CHECK(w.d.sent.empty());
}

TEST_CASE("C11: an unprotected error for an established SA is ignored") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const auto view = d.a.view();
    for (const ExchangeType exchange :
         {ExchangeType::informational, ExchangeType::ike_auth, ExchangeType::ike_sa_init}) {
        for (const std::uint8_t flags : {std::uint8_t{0}, flag::response}) {
            Header header;
            header.spi_i = view.spi_i;
            header.spi_r = view.spi_r;
            header.exchange = exchange;
            header.flags = flags;
            for (std::uint32_t id = 0; id < 4; ++id) {
                header.message_id = id;
                const std::vector<Payload> payloads{
                    make_notify(notify::invalid_ike_spi), DeletePayload{Protocol::ike, {}}};
                Bytes bytes(4, 0);
                const Bytes message = encode(header, payloads);
                bytes.insert(bytes.end(), message.begin(), message.end());
                inject(d, bytes);
            }
        }
    }
    CHECK(d.a.downs == 0);
    d.expect_tunnel();
}

TEST_CASE("C12: a copied message from another port moves nobody") {
    Dialogue d;
    d.both_connect().advance(15s).expect_tunnel();
    for (std::size_t i = 0; i < d.sent.size(); ++i) {
        Passing copy = d.sent[i];
        copy.from.port = 6666;
        copy.to = copy.by_a ? d.b.endpoint : d.a.endpoint;
        d.deliver(copy);
        copy.bytes.back() ^= 1;
        d.deliver(copy);
        if (d.sent.size() > 200) break;
    }
    CHECK(d.a.moves + d.b.moves == 0);
    d.advance(5s).expect_tunnel();
}

TEST_CASE("A13: unknown exchanges and reserved bits of the header mean nothing") {
    Waiting w;
    Stranger s(w.d);
    const Bytes good = encode(s.init_header(), s.init_payloads());
    for (const base::Byte exchange : std::initializer_list<base::Byte>{0, 1, 33, 38, 43, 240, 255}) {
        Bytes strange = good;
        strange[18] = exchange;
        CHECK(s.deliver(strange).empty());
    }
    CHECK(w.d.b.engine->sessions() == 0);
    Bytes reserved = good;
    reserved[19] = static_cast<base::Byte>(reserved[19] | 0xd7);  // all but I and R; V among them
    CHECK(s.deliver(reserved).size() == 1);
}
