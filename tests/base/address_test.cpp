#include "base/address.hpp"

#include "base/random.hpp"

#include <catch2/catch.hpp>

using namespace aronet::base;

namespace {

Address address(const char* text) {
    const auto parsed = Address::parse(text);
    REQUIRE(parsed);
    return *parsed;
}

Prefix prefix(const char* text) {
    const auto parsed = Prefix::parse(text);
    REQUIRE(parsed);
    return *parsed;
}

bool bit(const Address& a, unsigned number) { return (a.bytes()[number / 8] >> (7 - number % 8) & 1) != 0; }

}  // namespace

TEST_CASE("addresses are read in every form of theirs and printed in one") {
    CHECK(address("2001:DB8:0:0:0:0:0:1").to_string() == "2001:db8::1");
    CHECK(address("::").to_string() == "::");
    CHECK(address("::ffff:192.0.2.1").is_v6());
    CHECK(address("192.0.2.1").to_string() == "192.0.2.1");
    CHECK(address("192.0.2.1").bytes().size() == 4);
    CHECK(address("2001:db8::1").bytes().size() == 16);
}

TEST_CASE("what is no address is not taken for one") {
    for (const char* text :
         {"",
          "1",
          "1.2.3",
          "1.2.3.4.5",
          "256.1.1.1",
          "01.2.3.4x",
          "fe80::1%eth0",
          ":::",
          "1::2::3",
          " 1.2.3.4",
          "host.example",
          "12345::"}) {
        INFO(text);
        CHECK_FALSE(Address::parse(text));
    }
    CHECK_FALSE(Address::parse(std::string_view("192.0.2.1\0", 10)));
}

TEST_CASE("four and sixteen octets are an address, no other number is") {
    for (std::size_t size = 0; size <= 20; ++size) {
        const auto made = Address::from_bytes(Bytes(size, 1));
        CHECK(made.has_value() == (size == 4 || size == 16));
        if (made) CHECK(made->bytes().size() == size);
    }
}

TEST_CASE("equal octets of two families are different addresses") {
    CHECK(Address::any(Family::v4) != Address::any(Family::v6));
    CHECK(
        Address::v4({1, 2, 3, 4}) !=
        *Address::from_bytes(Bytes{1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
    );
    CHECK(address("10.0.0.1") < address("10.0.0.2"));
}

TEST_CASE("kinds of addresses are told apart at their edges") {
    CHECK(address("fe80::1").is_link_local());
    CHECK(address("febf::1").is_link_local());
    CHECK_FALSE(address("fec0::1").is_link_local());
    CHECK(address("169.254.0.1").is_link_local());
    CHECK_FALSE(address("169.253.0.1").is_link_local());
    CHECK(address("224.0.0.1").is_multicast());
    CHECK(address("239.255.255.255").is_multicast());
    CHECK_FALSE(address("240.0.0.1").is_multicast());
    CHECK(address("ff02::1:6").is_multicast());
    CHECK_FALSE(address("fe02::1").is_multicast());
    CHECK(address("127.1.2.3").is_loopback());
    CHECK(address("::1").is_loopback());
    CHECK_FALSE(address("::2").is_loopback());
    CHECK(address("0.0.0.0").is_any());
    CHECK(address("::").is_any());
    CHECK_FALSE(address("::1").is_any());
}

TEST_CASE("addresses are counted on with a carry, and from the end to the beginning") {
    CHECK(address("10.0.0.255").plus(1) == address("10.0.1.0"));
    CHECK(address("255.255.255.255").plus(1) == address("0.0.0.0"));
    CHECK(address("fd00::ffff:ffff:ffff:ffff").plus(1) == address("fd00:0:0:1::"));
    CHECK(address("fd66::").plus(std::uint64_t{0xffff} << 48) == address("fd66::ffff:0:0:0"));
    CHECK(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").plus(2) == address("::1"));
}

TEST_CASE("a prefix has no host bits, and as many bits of its own as its length says") {
    Random random = Random::from_number(1);
    for (const Family family : {Family::v4, Family::v6}) {
        for (unsigned length = 0; length <= bits(family); ++length) {
            const Address given = *Address::from_bytes(random.bytes(bits(family) / 8));
            const Prefix made(given, length);
            CHECK(made.length() == length);
            for (unsigned i = 0; i < bits(family); ++i) {
                if (bit(made.address(), i) != (i < length && bit(given, i)))
                    FAIL(made.to_string() << " bit " << i);
            }
        }
    }
    CHECK(Prefix(address("10.0.0.1"), 99).length() == 32);
    CHECK(Prefix(address("::1"), 999).is_host());
}

TEST_CASE("a prefix contains exactly the addresses that agree with it in its length") {
    Random random = Random::from_number(2);
    for (const Family family : {Family::v4, Family::v6}) {
        for (unsigned length = 0; length <= bits(family); ++length) {
            const Address given = *Address::from_bytes(random.bytes(bits(family) / 8));
            const Prefix made(given, length);
            CHECK(made.contains(given));
            for (unsigned i = 0; i < bits(family); ++i) {
                Bytes flipped(given.bytes().begin(), given.bytes().end());
                flipped[i / 8] = static_cast<Byte>(flipped[i / 8] ^ 0x80 >> i % 8);
                if (made.contains(*Address::from_bytes(flipped)) != (i >= length))
                    FAIL(made.to_string() << " bit " << i);
            }
        }
    }
    CHECK_FALSE(prefix("0.0.0.0/0").contains(address("::1")));
    CHECK_FALSE(prefix("::/0").contains(address("10.0.0.1")));
}

TEST_CASE("of two prefixes the shorter contains the longer, and they overlap both ways") {
    CHECK(prefix("10.0.0.0/8").contains(prefix("10.1.0.0/16")));
    CHECK_FALSE(prefix("10.1.0.0/16").contains(prefix("10.0.0.0/8")));
    CHECK(prefix("10.1.0.0/16").contains(prefix("10.1.0.0/16")));
    CHECK(prefix("10.1.0.0/16").overlaps(prefix("10.0.0.0/8")));
    CHECK(prefix("10.0.0.0/8").overlaps(prefix("10.1.0.0/16")));
    CHECK_FALSE(prefix("10.1.0.0/16").overlaps(prefix("10.2.0.0/16")));
    CHECK_FALSE(prefix("::/0").overlaps(prefix("0.0.0.0/0")));
}

TEST_CASE("prefixes are read with and without a length, and printed with it") {
    CHECK(prefix("10.1.2.3/8").to_string() == "10.0.0.0/8");
    CHECK(prefix("fd00::1").to_string() == "fd00::1/128");
    CHECK(prefix("::/0").is_any());
    CHECK(prefix("192.0.2.1").is_host());
    for (const char* text :
         {"10.0.0.0/33",
          "::/129",
          "10.0.0.0/",
          "10.0.0.0/-1",
          "10.0.0.0/8x",
          "10.0.0.0/ 8",
          "/8",
          "10.0.0.0/8/8",
          "10.0.0.0/4294967304"}) {
        INFO(text);
        CHECK_FALSE(Prefix::parse(text));
    }
}

TEST_CASE("an endpoint is printed so that the port can be told from the address") {
    CHECK(Endpoint{address("192.0.2.1"), 12025}.to_string() == "192.0.2.1:12025");
    CHECK(Endpoint{address("2001:db8::1"), 500}.to_string() == "[2001:db8::1]:500");
}
