#include "base/secret.hpp"

#include "base/sa.hpp"

#include <catch2/catch.hpp>

#include <type_traits>

using namespace aronet::base;

TEST_CASE("a secret is copied only by saying so") {
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Secret>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<Secret>);
    const Secret one(ByteView(Bytes{1, 2, 3}));
    const Secret other = one.copy();
    CHECK(one == other);
    CHECK(one.view().data() != other.view().data());
}

TEST_CASE("a secret that was moved away is empty") {
    Secret one(ByteView(Bytes{1, 2, 3}));
    Secret other = std::move(one);
    CHECK(one.empty());  // NOLINT(bugprone-use-after-move)
    CHECK(other.size() == 3);
    Secret third(ByteView(Bytes{9}));
    third = std::move(other);
    CHECK(other.empty());  // NOLINT(bugprone-use-after-move)
    CHECK(third == Secret(ByteView(Bytes{1, 2, 3})));
    Secret& same = third;
    third = std::move(same);
    CHECK(third.size() == 3);
}

TEST_CASE("what is wiped is zero, a wiped secret empty") {
    Bytes bytes{1, 2, 3};
    wipe(bytes);
    CHECK(bytes == Bytes{0, 0, 0});
    wipe({});
    Secret secret(ByteView(Bytes{1, 2, 3}));
    secret.wipe();
    CHECK(secret.empty());
}

TEST_CASE("secrets are equal in all octets and in length, or not at all") {
    const Bytes bytes{1, 2, 3, 4};
    const Secret secret{ByteView(bytes)};
    CHECK(secret == secret.copy());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        Bytes other = bytes;
        other[i] ^= 0x80;
        CHECK_FALSE(secret == Secret(ByteView(other)));
        CHECK_FALSE(secret == Secret(ByteView(bytes).first(i)));
    }
    CHECK(Secret() == Secret());
    CHECK(equal_in_constant_time({}, {}));
}

TEST_CASE("each ESP suite has as many octets of key as its RFC says") {
    CHECK(key_size(EspSuite::aes_gcm_128) == 20);
    CHECK(key_size(EspSuite::aes_gcm_192) == 28);
    CHECK(key_size(EspSuite::aes_gcm_256) == 36);
    CHECK(key_size(EspSuite::chacha20_poly1305) == 36);
    CHECK(key_size(EspSuite::aes_cbc_128_sha256) == 48);
    CHECK(key_size(EspSuite::aes_cbc_256_sha256) == 64);
    CHECK(key_size(EspSuite::aes_cbc_256_sha512) == 96);
}
