// The encrypted payload (RFC 7296 3.14, RFC 5282, RFC 7383) under every cipher: there and back, and no bit of
// it can change.

#include "ike/fragments.hpp"
#include "ike/keys.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace aronet;
using namespace aronet::ike;

namespace {

constexpr std::array kCiphers{
    Cipher::aes_gcm_128,
    Cipher::aes_gcm_192,
    Cipher::aes_gcm_256,
    Cipher::chacha20_poly1305,
    Cipher::aes_cbc_128,
    Cipher::aes_cbc_192,
    Cipher::aes_cbc_256};

struct Desk {
    explicit Desk(Cipher cipher) {
        suite.cipher = cipher;
        if (!is_aead(cipher)) suite.integrity = Integrity::hmac_sha2_384_192;
        keys = derive_ike_keys(suite, {Bytes(32, 1), Bytes(32, 2)}, Secret(32), 5, 6);
        header.spi_i = 5;
        header.spi_r = 6;
        header.exchange = ExchangeType::informational;
        header.flags = flag::initiator;
        header.message_id = 9;
    }
    Sealer sealer() { return {&suite, keys.ei.view(), keys.ai.view(), &next_iv, &random}; }
    Opener opener() const { return {&suite, keys.ei.view(), keys.ai.view()}; }
    bool opens(const Bytes& message) const {
        const auto raw = parse(message);
        return raw && open(*raw, opener()).has_value();
    }
    // A sealed message whose plaintext is not what a sender may write.
    Bytes seal_plaintext(const Bytes& plaintext, std::uint8_t first) {
        const std::size_t size = 4 + 8 + plaintext.size() + 16;
        Bytes message = seal(header, {}, sealer());
        message.resize(28);
        message[26] = static_cast<base::Byte>((28 + size) >> 8);
        message[27] = static_cast<base::Byte>(28 + size);
        base::Writer out(message);
        out.u8(first);
        out.u8(0);
        out.u16(static_cast<std::uint16_t>(size));
        const Bytes iv(8, 0xee);
        Bytes nonce;
        base::Writer(nonce).put(keys.ei.view().last(4));
        base::Writer(nonce).put(iv);
        const auto key = keys.ei.view().first(keys.ei.size() - 4);
        const Bytes sealed = aead_seal(suite.cipher, key, nonce, message, plaintext);
        out.put(iv);
        out.put(sealed);
        return message;
    }

    IkeCipherSuite suite;
    IkeKeys keys;
    Header header;
    std::uint64_t next_iv = 0;
    base::Random random = base::Random::from_number(4);
};

}  // namespace

TEST_CASE("every cipher carries messages of every small size there and back, and no changed bit") {
    for (const Cipher cipher : kCiphers) {
        Desk desk(cipher);
        for (std::size_t size = 0; size < 40; ++size) {
            const std::vector<Payload> payloads{make_notify(40000, Bytes(size, 3))};
            const Bytes message = seal(desk.header, payloads, desk.sealer());
            const auto opened = open(*parse(message), desk.opener());
            REQUIRE(opened.has_value());
            CHECK(opened->payloads == payloads);
        }
        const Bytes message = seal(desk.header, std::vector<Payload>{make_notify(40000)}, desk.sealer());
        for (std::size_t bit = 0; bit < 8 * message.size(); ++bit) {
            Bytes changed = message;
            changed[bit / 8] = static_cast<base::Byte>(changed[bit / 8] ^ (1u << bit % 8));
            CHECK_FALSE(desk.opens(changed));
        }
    }
}

TEST_CASE("no IV comes twice under one key, fragments included") {
    for (const Cipher cipher : kCiphers) {
        Desk desk(cipher);
        std::set<Bytes> ivs;
        const std::vector<Payload> large{make_notify(40000, Bytes(2000, 3))};
        const std::size_t size = is_aead(cipher) ? 8 : 16;
        for (int i = 0; i < 20; ++i) {
            for (const Bytes& message : seal_in_fragments(desk.header, large, desk.sealer(), 500)) {
                CHECK(message.size() <= 500);
                CHECK(ivs.emplace(message.begin() + 36, message.begin() + 36 + std::ptrdiff_t(size)).second);
            }
        }
        CHECK(ivs.size() >= 100);
    }
}

TEST_CASE("A5: an encrypted payload too short, not alone or with too much padding is dropped") {
    for (const Cipher cipher : kCiphers) {
        Desk desk(cipher);
        const Bytes message = seal(desk.header, std::vector<Payload>{make_notify(40000)}, desk.sealer());
        for (std::size_t size = 28; size < message.size(); ++size) {
            Bytes cut(message.begin(), message.begin() + std::ptrdiff_t(size));
            cut[26] = static_cast<base::Byte>(size >> 8);
            cut[27] = static_cast<base::Byte>(size);
            CHECK_FALSE(desk.opens(cut));
            if (size < 32) continue;
            cut[31] = static_cast<base::Byte>(size - 28);
            CHECK_FALSE(desk.opens(cut));
        }
    }
    Desk desk(Cipher::aes_gcm_256);
    REQUIRE(desk.opens(desk.seal_plaintext({0}, 0)));
    CHECK(desk.opens(desk.seal_plaintext({7, 7, 2}, 0)));        // padding is what the sender likes
    CHECK_FALSE(desk.opens(desk.seal_plaintext({7, 7, 3}, 0)));  // more than there is
    CHECK_FALSE(desk.opens(desk.seal_plaintext({255}, 0)));
    CHECK_FALSE(desk.opens(desk.seal_plaintext({}, 0)));
    CHECK_FALSE(desk.opens(desk.seal_plaintext({0, 0, 0, 4, 0}, 46)));  // SK in SK
    Bytes two = desk.seal_plaintext({0}, 0);
    two[30] = 0;
    two[31] = static_cast<base::Byte>(two[31] - 4);  // another payload behind SK
    CHECK_FALSE(desk.opens(two));
}

TEST_CASE("A6: fragments come together in any order, and nothing else comes of them") {
    Desk desk(Cipher::aes_gcm_256);
    const std::vector<Payload> payloads{make_notify(40000, Bytes(1500, 3)), NoncePayload{Bytes(32, 1)}};
    auto messages = seal_in_fragments(desk.header, payloads, desk.sealer(), 300);
    REQUIRE(messages.size() > 4);
    const auto fragment = [&](const Bytes& bytes) { return *open_fragment(*parse(bytes), desk.opener()); };
    Fragments box;
    for (std::size_t i = messages.size(); i-- > 1;) {
        CHECK(box.add(desk.header, fragment(messages[i])).error() == Drop::incomplete);
        CHECK(box.add(desk.header, fragment(messages[i])).error() == Drop::incomplete);
    }
    const auto whole = box.add(desk.header, fragment(messages[0]));
    REQUIRE(whole.has_value());
    CHECK(whole->payloads == payloads);

    const auto numbered = [&](std::uint16_t number, std::uint16_t total) {
        Fragment made = fragment(messages[0]);
        made.number = number;
        made.total = total;
        return box.add(desk.header, std::move(made)).error();
    };
    CHECK(numbered(0, 3) == Drop::bad_fragment);
    CHECK(numbered(4, 3) == Drop::bad_fragment);
    CHECK(numbered(1, 0) == Drop::bad_fragment);
    CHECK(numbered(1, Fragments::kTotalMax + 1) == Drop::bad_fragment);
    CHECK(numbered(1, 65535) == Drop::bad_fragment);
    CHECK(numbered(2, 3) == Drop::incomplete);
    const auto refused = [&](std::uint16_t number, std::uint16_t total) {
        return box.refuses(desk.header.message_id, number, total);
    };
    CHECK(refused(2, 3) == Drop::incomplete);  // it is there
    CHECK(refused(1, 2) == Drop::bad_fragment);
    CHECK(refused(1, 65535) == Drop::bad_fragment);
    CHECK(numbered(1, 2) == Drop::bad_fragment);  // fewer than before
    CHECK(numbered(3, 4) == Drop::incomplete);    // more: begun anew
    CHECK(refused(2, 3) == Drop::bad_fragment);
    CHECK_FALSE(refused(2, 4));
    CHECK_FALSE(refused(3, 5));  // of a finer set, so worth a look
    desk.header.message_id = 10;
    CHECK(numbered(1, 4) == Drop::incomplete);  // another message: begun anew
    CHECK_FALSE(refused(3, 4));
}

TEST_CASE("A6, row 47: what fragments may take in memory is bounded") {
    Desk desk(Cipher::aes_gcm_256);
    Fragments box;
    Drop last = Drop::incomplete;
    for (std::uint16_t i = 1; i <= 60 && last == Drop::incomplete; ++i)
        last = box.add(desk.header, Fragment{i, 64, 0, Bytes(2000)}).error();
    CHECK(last == Drop::bad_fragment);
    CHECK(box.empty());
}

TEST_CASE("A6: a fragment's numbers are authenticated, and its payload comes first") {
    Desk desk(Cipher::aes_gcm_256);
    const std::vector<Payload> payloads{make_notify(40000, Bytes(1500, 3))};
    const Bytes good = seal_in_fragments(desk.header, payloads, desk.sealer(), 300)[1];
    for (std::size_t at = 28; at < 36; ++at) {
        Bytes changed = good;
        changed[at] ^= 1;
        const auto raw = parse(changed);
        REQUIRE(raw.has_value());
        CHECK_FALSE(open_fragment(*raw, desk.opener()).has_value());
    }
    Bytes behind = good;
    behind[16] = 43;  // a vendor ID before SKF, in clear
    CHECK_FALSE(is_protected(*parse(behind)));
}
