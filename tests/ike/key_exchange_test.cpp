// The groups: agreement, and every public value that gives the secret away or is none (RFC 7748 6.1, RFC
// 5903; docs/ike.md A7).

#include "ike/crypto.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;

namespace {

Bytes hex(std::string_view text) { return *base::from_hex(text); }

bool agrees(const KeyPair& own, const Bytes& value) { return shared_secret(own, value).has_value(); }

}  // namespace

TEST_CASE("both sides of either group come to one secret") {
    auto random = base::Random::from_number(1);
    for (const DhGroup group : {DhGroup::curve25519, DhGroup::ecp256}) {
        const KeyPair a = generate(group, random), b = generate(group, random);
        CHECK(a.public_value.size() == public_value_size(group));
        CHECK_FALSE(a.public_value == b.public_value);
        REQUIRE(agrees(a, b.public_value));
        CHECK(*shared_secret(a, b.public_value) == *shared_secret(b, a.public_value));
    }
}

TEST_CASE("A7: an X25519 value of small order or of a wrong size gives no secret") {
    auto random = base::Random::from_number(2);
    const KeyPair own = generate(DhGroup::curve25519, random);
    for (const char* value :
         {"0000000000000000000000000000000000000000000000000000000000000000",
          "0100000000000000000000000000000000000000000000000000000000000000",
          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
          "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
        INFO(value);
        CHECK_FALSE(agrees(own, hex(value)));
    }
    for (const std::size_t size : {0, 1, 31, 33, 64}) CHECK_FALSE(agrees(own, Bytes(size, 9)));
    CHECK(agrees(own, Bytes(32, 9)));
}

TEST_CASE("A7: an ECP-256 value that is no point of the curve gives no secret") {
    auto random = base::Random::from_number(3);
    const KeyPair own = generate(DhGroup::ecp256, random), other = generate(DhGroup::ecp256, random);
    CHECK_FALSE(agrees(own, Bytes(64, 0)));
    CHECK_FALSE(agrees(own, Bytes(64, 0xff)));
    CHECK_FALSE(agrees(own, Bytes(64, 1)));
    for (std::size_t i = 0; i < 64; ++i) {
        Bytes moved = other.public_value;
        moved[i] ^= 1;
        CHECK_FALSE(agrees(own, moved));
    }
    Bytes swapped(other.public_value.begin() + 32, other.public_value.end());
    swapped.insert(swapped.end(), other.public_value.begin(), other.public_value.begin() + 32);
    CHECK_FALSE(agrees(own, swapped));
    for (const std::size_t size : {0, 32, 63, 65}) CHECK_FALSE(agrees(own, Bytes(size, 1)));
    CHECK(agrees(own, other.public_value));
}
