#include "esp/inner.hpp"

#include "esp/fixtures.hpp"

using namespace aronet::esp;
using namespace aronet::esp::test;

namespace {

std::uint32_t ipv4_sum(ByteView header) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

}  // namespace

TEST_CASE("the inner version becomes the next header, anything else is no IP packet") {
    CHECK(next_header_of(ipv4(0)) == kNextHeaderIpv4);
    CHECK(next_header_of(ipv6(0)) == kNextHeaderIpv6);
    CHECK_FALSE(next_header_of(Bytes{}));
    CHECK_FALSE(next_header_of(Bytes(19, 0x45)));
    CHECK_FALSE(next_header_of(Bytes(39, 0x60)));
    CHECK_FALSE(next_header_of(Bytes(64, 0x50)));
}

TEST_CASE("DSCP and ECN are found in both families") {
    CHECK(traffic_class_of(ipv4(4, 0xb9)) == 0xb9);
    CHECK(traffic_class_of(ipv6(4, 0xb9)) == 0xb9);
}

TEST_CASE("the inner length is the header's own, whatever padding follows") {
    auto four = ipv4(10);
    auto six = ipv6(10);
    four.resize(100);
    six.resize(100);
    CHECK(inner_size(kNextHeaderIpv4, four) == 30);
    CHECK(inner_size(kNextHeaderIpv6, six) == 50);
}

TEST_CASE("an inner header that claims more than there is, or another family, is refused") {
    const auto four = ipv4(10);
    const auto six = ipv6(10);
    for (std::size_t size = 0; size < four.size(); ++size)
        CHECK_FALSE(inner_size(kNextHeaderIpv4, ByteView(four).first(size)));
    for (std::size_t size = 0; size < six.size(); ++size)
        CHECK_FALSE(inner_size(kNextHeaderIpv6, ByteView(six).first(size)));
    CHECK_FALSE(inner_size(kNextHeaderIpv6, four));
    CHECK_FALSE(inner_size(kNextHeaderIpv4, six));
    auto short_header = four;
    short_header[0] = 0x44;
    CHECK_FALSE(inner_size(kNextHeaderIpv4, short_header));
    auto options_beyond = four;
    options_beyond[0] = 0x4f;
    CHECK_FALSE(inner_size(kNextHeaderIpv4, options_beyond));
}

TEST_CASE("the ECN field is decapsulated as the table of RFC 6040 4.2 says") {
    using enum Ecn;
    struct Row {
        Ecn inner;
        std::array<std::optional<Ecn>, 4> by_outer;
    };  // outer: Not-ECT, ECT(1), ECT(0), CE
    const Row rows[] = {
        {not_ect, {not_ect, not_ect, not_ect, std::nullopt}},
        {ect0, {ect0, ect1, ect0, ce}},
        {ect1, {ect1, ect1, ect1, ce}},
        {ce, {ce, ce, ce, ce}},
    };
    for (const auto& row : rows)
        for (std::uint8_t outer = 0; outer < 4; ++outer) {
            const auto expected = row.by_outer[outer];
            CHECK(decapsulated(row.inner, static_cast<Ecn>(outer)) == expected);
            for (auto packet :
                 {ipv4(8, static_cast<std::uint8_t>(0xb8 | static_cast<int>(row.inner))),
                  ipv6(8, static_cast<std::uint8_t>(0xb8 | static_cast<int>(row.inner)))}) {
                CHECK(decapsulate_ecn(packet, outer) == expected.has_value());
                if (expected) CHECK(traffic_class_of(packet) == (0xb8 | static_cast<int>(*expected)));
                if (packet[0] == 0x45) CHECK(ipv4_sum(packet) == 0xffff);
            }
        }
}
