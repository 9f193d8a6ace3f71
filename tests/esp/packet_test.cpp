#include "esp/packet.hpp"

#include <catch2/catch.hpp>

using namespace aronet::esp;

TEST_CASE("padding ends every payload on its block, with the fewest octets") {
    for (const std::size_t block : {std::size_t{4}, std::size_t{16}})
        for (std::size_t payload = 0; payload < 70; ++payload) {
            const auto padding = padding_size(payload, block);
            CHECK((payload + padding + kTrailerSize) % block == 0);
            CHECK(padding < block);
        }
}

TEST_CASE("a trailer of every padding reads back as written") {
    for (std::size_t padding = 0; padding < 256; ++padding) {
        Bytes plaintext(5 + padding + kTrailerSize);
        encode_trailer(kNextHeaderIpv6, std::span(plaintext).subspan(5));
        const auto trailer = decode_trailer(plaintext);
        REQUIRE(trailer);
        CHECK(trailer->payload == 5);
        CHECK(trailer->next_header == kNextHeaderIpv6);
    }
}

TEST_CASE("padding that does not count 1, 2, 3 is refused, octet by octet") {
    Bytes plaintext(4 + 9 + kTrailerSize);
    encode_trailer(kNextHeaderIpv4, std::span(plaintext).subspan(4));
    for (std::size_t i = 4; i < 4 + 9; ++i) {
        auto spoiled = plaintext;
        spoiled[i] ^= 0x40;
        CHECK_FALSE(decode_trailer(spoiled));
    }
}

TEST_CASE("a pad length beyond the plaintext is refused") {
    CHECK_FALSE(decode_trailer(Bytes{}));
    CHECK_FALSE(decode_trailer(Bytes{4}));
    CHECK_FALSE(decode_trailer(Bytes{1, 4}));
    CHECK_FALSE(decode_trailer(Bytes{1, 2, 255, 4}));
    CHECK(decode_trailer(Bytes{1, 2, 2, 4})->payload == 0);
}

TEST_CASE("a header reads back as written, and needs eight octets") {
    Bytes bytes(8);
    encode_header({0xc0000001, 0xfffffffe}, bytes);
    const auto header = decode_header(bytes);
    REQUIRE(header);
    CHECK(header->spi == 0xc0000001);
    CHECK(header->sequence == 0xfffffffe);
    for (std::size_t size = 0; size < 8; ++size) CHECK_FALSE(decode_header(ByteView(bytes).first(size)));
}

TEST_CASE("every drop reason has words of its own") {
    for (std::size_t a = 0; a < kDropReasons; ++a)
        for (std::size_t b = 0; b < kDropReasons; ++b)
            CHECK((to_string(static_cast<Drop>(a)) == to_string(static_cast<Drop>(b))) == (a == b));
}
