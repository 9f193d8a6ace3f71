#include "ike/identity.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;

namespace {

// acme, nodeA, 0: as ranet writes it, and as strongSwan's own parser does.
const char* const kAsRanet =
    "302b310d300b060355040a0c0461636d65310e300c06035504030c056e6f646541310a300806035504051301"
    "30";
const char* const kAsStrongSwan =
    "302b310d300b060355040a130461636d65310e300c06035504031305"
    "6e6f646541310a30080603550405130130";

base::Bytes hex(const char* text) { return *base::from_hex(text); }

}  // namespace

TEST_CASE("an identity is written as ranet writes it, and read in both spellings") {
    const Identity node{"acme", "nodeA", "0", false};
    CHECK(node.encode() == hex(kAsRanet));
    CHECK(Identity::decode(hex(kAsRanet)) == node);
    CHECK(Identity::decode(hex(kAsStrongSwan)) == node);
    const Identity server{"acme organization", "some server", "0", false};
    CHECK(
        server.encode() == hex("303e311a3018060355040a0c1161636d65206f7267616e697a6174696f6e31143012060355"
                               "04030c0b736f6d6520736572766572310a30080603550405130130")
    );
}

TEST_CASE("B3: no octet of an identity can change or be missing without its being another one or none") {
    const Identity node{"acme", "nodeA", "0", false};
    const base::Bytes der = hex(kAsRanet);
    for (std::size_t i = 0; i < der.size(); ++i) {
        CHECK_FALSE(Identity::decode(base::ByteView(der).first(i)).has_value());
        for (unsigned value = 0; value < 256; ++value) {
            base::Bytes changed = der;
            changed[i] = static_cast<base::Byte>(value);
            if (changed == der) continue;
            const bool tag_of_a_string = (i == 11 || i == 26 || i == 42) && (value == 0x0c || value == 0x13);
            CHECK((Identity::decode(changed) == node) == tag_of_a_string);
        }
    }
    base::Bytes longer = der;
    longer.push_back(0);
    CHECK_FALSE(Identity::decode(longer).has_value());
}

TEST_CASE("names of every length read back, whatever they hold but NUL") {
    for (const std::size_t size : {0, 1, 100, 127, 128, 200, 255, 256, 1000}) {
        const Identity node{std::string(size, 'o'), std::string(size, '\xc3'), "10.0.0.1:12025", true};
        CHECK(Identity::decode(node.encode()) == node);
    }
    const Identity nul{std::string("ac\0me", 5), "n", "0", false};
    CHECK_FALSE(Identity::decode(nul.encode()).has_value());
}

TEST_CASE("B3: more names, several in one, other string types, lengths and NULs are no identity of ours") {
    const auto tlv = [](base::Byte tag, const base::Bytes& body) {
        base::Bytes out{tag, static_cast<base::Byte>(body.size())};
        out.insert(out.end(), body.begin(), body.end());
        return out;
    };
    const auto joined = [](std::initializer_list<base::Bytes> parts) {
        base::Bytes out;
        for (const base::Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
        return out;
    };
    const auto name = [&](base::Byte attribute, base::Byte tag, const char* text) {
        const auto value = base::as_bytes(std::string_view(text));
        return tlv(
            0x30, joined({{0x06, 0x03, 0x55, 0x04, attribute}, tlv(tag, {value.begin(), value.end()})})
        );
    };
    const auto all = [&](std::initializer_list<base::Bytes> sets) { return tlv(0x30, joined(sets)); };
    const base::Bytes o = tlv(0x31, name(10, 0x0c, "acme")), cn = tlv(0x31, name(3, 0x0c, "nodeA")),
                      sn = tlv(0x31, name(5, 0x13, "0"));
    REQUIRE(Identity::decode(all({o, cn, sn})) == Identity{"acme", "nodeA", "0", false});
    CHECK_FALSE(Identity::decode(all({o, cn, sn, sn})).has_value());
    CHECK_FALSE(Identity::decode(all({o, o, cn, sn})).has_value());
    CHECK_FALSE(Identity::decode(all({cn, o, sn})).has_value());
    CHECK_FALSE(Identity::decode(all({o, cn})).has_value());
    const base::Bytes two = tlv(0x31, joined({name(10, 0x0c, "acme"), name(10, 0x0c, "evil")}));
    CHECK_FALSE(Identity::decode(all({two, cn, sn})).has_value());
    CHECK_FALSE(Identity::decode(all({tlv(0x31, name(10, 0x1e, "acme")), cn, sn})).has_value());  // BMPString
    base::Bytes wordy = joined({{0x30, 0x81}, joined({o, cn, sn})});  // not the shortest form of a length
    wordy.insert(wordy.begin() + 2, static_cast<base::Byte>(wordy.size() - 2));
    CHECK_FALSE(Identity::decode(wordy).has_value());
    const base::Bytes nul =
        tlv(0x31, tlv(0x30, joined({{0x06, 0x03, 0x55, 0x04, 10}, tlv(0x0c, {'a', 'c', 0, 'e'})})));
    CHECK_FALSE(Identity::decode(all({nul, cn, sn})).has_value());
}
