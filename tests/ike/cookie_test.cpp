#include "ike/cookie.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::base;
using aronet::ike::Cookies;

TEST_CASE("a cookie is good for its nonce, address and SPI, and for one to two lifetimes") {
    auto random = Random::from_number(1);
    Cookies cookies;
    const Address address = *Address::parse("192.0.2.1");
    const Bytes nonce(32, 7), other_nonce(32, 8);
    const Instant start{};
    CHECK_FALSE(cookies.check(Bytes(20, 0), nonce, address, 1, start));
    const Bytes cookie = cookies.make(nonce, address, 1, start, random);
    CHECK(cookie.size() <= 64);
    CHECK(cookies.check(cookie, nonce, address, 1, start));
    CHECK_FALSE(cookies.check(cookie, other_nonce, address, 1, start));
    CHECK_FALSE(cookies.check(cookie, nonce, address, 2, start));
    CHECK_FALSE(cookies.check(cookie, nonce, *Address::parse("192.0.2.2"), 1, start));
    CHECK_FALSE(cookies.check({}, nonce, address, 1, start));
    CHECK_FALSE(cookies.check(ByteView(cookie).first(19), nonce, address, 1, start));
    cookies.make(nonce, address, 1, start + 61s, random);  // a new secret
    CHECK(cookies.check(cookie, nonce, address, 1, start + 62s));
    CHECK_FALSE(cookies.check(cookie, nonce, address, 1, start + 120s));
    cookies.make(nonce, address, 1, start + 130s, random);
    CHECK_FALSE(cookies.check(cookie, nonce, address, 1, start + 131s));
}
