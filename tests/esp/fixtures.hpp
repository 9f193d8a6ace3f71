#pragma once

// SAs, inner packets and batches for the ESP tests.

#include "esp/registry.hpp"

#include <catch2/catch.hpp>

#include <vector>

namespace aronet::esp::test {

using base::EspSuite;

inline constexpr std::array kSuites{
    EspSuite::aes_gcm_128,
    EspSuite::aes_gcm_192,
    EspSuite::aes_gcm_256,
    EspSuite::chacha20_poly1305,
    EspSuite::aes_cbc_128_sha256,
    EspSuite::aes_cbc_256_sha256,
    EspSuite::aes_cbc_256_sha512,
};
inline constexpr base::Instant kNow{base::Duration{5'000'000'000}};

inline base::Endpoint endpoint(const char* address, std::uint16_t port) {
    return {*base::Address::parse(address), port};
}

inline base::Sa sa(
    base::Direction direction, EspSuite suite, std::uint32_t spi = 0x1000, std::uint32_t if_id = 7
) {
    base::Sa made;
    made.direction = direction;
    made.source = endpoint("192.0.2.1", 12025);
    made.destination = endpoint("192.0.2.2", 12025);
    made.spi = spi;
    made.if_id = if_id;
    made.suite = suite;
    Bytes key(base::key_size(suite));
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<Byte>(i * 7 + spi);
    made.key = base::Secret(ByteView(key));
    return made;
}

// A well-formed IPv4 header (checksum included) or IPv6 header with that many octets behind it.
inline Bytes ipv4(std::size_t payload, std::uint8_t traffic_class = 0) {
    const std::size_t size = 20 + payload;
    Bytes packet(size, 0x5a);
    const Bytes header{
        0x45,
        traffic_class,
        static_cast<Byte>(size >> 8),
        static_cast<Byte>(size),
        0,
        1,
        0x40,
        0,
        64,
        17,
        0,
        0,
        10,
        0,
        0,
        1,
        10,
        0,
        0,
        2};
    std::copy(header.begin(), header.end(), packet.begin());
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(packet[i] << 8 | packet[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    packet[10] = static_cast<Byte>(~sum >> 8);
    packet[11] = static_cast<Byte>(~sum);
    return packet;
}
inline Bytes ipv6(std::size_t payload, std::uint8_t traffic_class = 0) {
    Bytes packet(40 + payload, 0xa5);
    packet[0] = static_cast<Byte>(0x60 | traffic_class >> 4);
    packet[1] = static_cast<Byte>(traffic_class << 4);
    packet[4] = static_cast<Byte>(payload >> 8);
    packet[5] = static_cast<Byte>(payload);
    return packet;
}

// One packet with a buffer of its own.
struct Boxed {
    explicit Boxed(ByteView content, std::size_t headroom = kHeadroom, std::size_t tailroom = kTailroom)
        : buffer(headroom + content.size() + tailroom) {
        std::copy(content.begin(), content.end(), buffer.begin() + static_cast<std::ptrdiff_t>(headroom));
        packet.room = buffer;
        packet.at = headroom;
        packet.size = content.size();
        packet.peer = endpoint("192.0.2.1", 12025);
    }
    Boxed(const Boxed&) = delete;
    Boxed& operator=(const Boxed&) = delete;
    Bytes bytes() const { return {packet.bytes().begin(), packet.bytes().end()}; }

    Bytes buffer;
    Packet packet;
};

// Both ends of one SA.
struct Pair {
    explicit Pair(EspSuite suite, bool esn = false, std::uint32_t window = 128) {
        auto value = sa(base::Direction::out, suite);
        value.esn = esn;
        value.replay_window = window;
        out = OutboundSa::make(value, random);
        in = InboundSa::make(value);
    }
    Bytes seal(ByteView inner) {
        Boxed box(inner);
        out->seal(box.packet, kNow);
        last_drop = box.packet.drop;
        return box.bytes();
    }
    // The inner packet, or nothing and last_drop.
    Bytes open(ByteView wire, std::uint8_t traffic_class = 0) {
        Boxed box(wire);
        box.packet.traffic_class = traffic_class;
        const auto header = decode_header(wire);
        in->open(box.packet, header ? header->sequence : 0, box.packet.peer, kNow);
        last_drop = box.packet.drop;
        return last_drop == Drop::none ? box.bytes() : Bytes{};
    }

    base::Random random = base::Random::from_number(1);
    std::unique_ptr<OutboundSa> out;
    std::unique_ptr<InboundSa> in;
    Drop last_drop = Drop::none;
};

}  // namespace aronet::esp::test

namespace Catch {
template <>
struct StringMaker<aronet::esp::Drop> {
    static std::string convert(aronet::esp::Drop drop) { return std::string(aronet::esp::to_string(drop)); }
};
}  // namespace Catch
