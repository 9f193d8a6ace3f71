#include "esp/fixtures.hpp"
#include "esp/registry.hpp"

using namespace aronet::esp;
using namespace aronet::esp::test;
using aronet::base::Direction;
using aronet::base::SaId;

namespace {

struct Node {
    aronet::base::Random random = aronet::base::Random::from_number(9);
    Registry registry{random};
    DropCounters drops;

    Bytes seal(std::uint32_t if_id, ByteView inner) {
        Boxed box(inner);
        registry.table().seal(if_id, {&box.packet, 1}, kNow, drops);
        return box.packet.drop == Drop::none ? box.bytes() : Bytes{};
    }
    std::uint32_t open(ByteView wire) {  // the if_id, or 0
        Boxed box(wire);
        registry.table().open({&box.packet, 1}, kNow, drops);
        return box.packet.drop == Drop::none ? box.packet.if_id : 0;
    }
};

SaId id_of(std::uint32_t spi) { return {*aronet::base::Address::parse("192.0.2.2"), spi}; }

}  // namespace

TEST_CASE("packets find their tunnel by SPI among many") {
    Node a, b;
    for (std::uint32_t i = 1; i <= 100; ++i) {
        REQUIRE(a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256, 0x1000 * i, i)) == std::errc{});
        REQUIRE(a.registry.set_outbound(i, id_of(0x1000 * i)) == std::errc{});
        REQUIRE(b.registry.add(sa(Direction::in, EspSuite::aes_gcm_256, 0x1000 * i, i)) == std::errc{});
    }
    for (std::uint32_t i = 1; i <= 100; ++i) CHECK(b.open(a.seal(i, ipv6(i))) == i);
    CHECK(a.seal(101, ipv4(0)).empty());
    CHECK(a.drops.value(Drop::no_association) == 1);
    CHECK(b.open(Bytes(80, 0x11)) == 0);
    CHECK(b.drops.value(Drop::unknown_spi) == 1);
    CHECK(b.open(Bytes(7, 0x11)) == 0);
    CHECK(b.drops.value(Drop::too_short) == 1);
}

TEST_CASE("a tunnel is silent until its outbound SA is chosen, and switches when told") {
    Node a;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256, 0x1001));
    CHECK(a.seal(7, ipv4(0)).empty());
    REQUIRE(a.registry.set_outbound(7, id_of(0x1001)) == std::errc{});
    CHECK(decode_header(a.seal(7, ipv4(0)))->spi == 0x1001);
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256, 0x1002));
    CHECK(decode_header(a.seal(7, ipv4(0)))->spi == 0x1001);
    REQUIRE(a.registry.set_outbound(7, id_of(0x1002)) == std::errc{});
    CHECK(decode_header(a.seal(7, ipv4(0)))->spi == 0x1002);
    a.registry.remove_outbound(7);
    CHECK(a.seal(7, ipv4(0)).empty());
}

TEST_CASE("only an SA that is there, and of that tunnel, becomes the outbound one") {
    Node a;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256, 0x1001, 7));
    a.registry.add(sa(Direction::in, EspSuite::aes_gcm_256, 0x1002, 7));
    CHECK(a.registry.set_outbound(7, id_of(0x9999)) == std::errc::no_such_process);
    CHECK(a.registry.set_outbound(8, id_of(0x1001)) == std::errc::no_such_process);
    CHECK(a.registry.set_outbound(7, id_of(0x1002)) == std::errc::no_such_process);
}

TEST_CASE("a new table resets neither sequence numbers nor replay windows") {
    Node a, b;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256));
    a.registry.set_outbound(7, id_of(0x1000));
    b.registry.add(sa(Direction::in, EspSuite::aes_gcm_256));
    const auto first = a.seal(7, ipv4(1));
    CHECK(b.open(first) == 7);
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256, 0x2000, 8));
    b.registry.add(sa(Direction::in, EspSuite::aes_gcm_256, 0x2000, 8));
    CHECK(decode_header(a.seal(7, ipv4(1)))->sequence == 2);
    CHECK(b.open(first) == 0);
    CHECK(b.drops.value(Drop::replay_duplicate) == 1);
    CHECK(a.registry.take_ended().empty());
}

TEST_CASE("an SA moves without its key, and with all that it has counted") {
    Node a, b;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256));
    a.registry.set_outbound(7, id_of(0x1000));
    b.registry.add(sa(Direction::in, EspSuite::aes_gcm_256));
    const Bytes first = a.seal(7, ipv4(1));
    CHECK(b.open(first) == 7);
    const auto here = endpoint("203.0.113.1", 12025), there = endpoint("198.51.100.7", 40777);
    REQUIRE(a.registry.move(id_of(0x1000), here, there) == std::errc{});
    REQUIRE(b.registry.move(id_of(0x1000), here, there) == std::errc{});
    const Bytes second = a.seal(7, ipv4(1));
    CHECK(decode_header(second)->sequence == 2);
    CHECK(b.open(second) == 7);
    CHECK(b.open(first) == 0);
    CHECK(b.drops.value(Drop::replay_duplicate) == 1);
    const Table table = a.registry.table();
    CHECK(table.outbound(7)->source == here);
    CHECK(table.outbound(7)->destination == there);
    CHECK(table.outbound(7)->id == SaId{there.address, 0x1000});
    CHECK(a.registry.entries().size() == 1);
    CHECK(b.registry.table().inbound(0x1000)->source == here);
    CHECK(a.registry.take_ended().empty());
    CHECK(a.registry.move(id_of(0x1000), here, there) == std::errc::no_such_process);
    auto rival = sa(Direction::out, EspSuite::aes_gcm_256, 0x1000, 8);
    rival.key.mutable_view()[0] ^= 1;
    a.registry.add(rival);
    CHECK(a.registry.move(id_of(0x1000), here, there) == std::errc::file_exists);
}

TEST_CASE("another key under the same name is another SA") {
    Node a;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256));
    a.registry.set_outbound(7, id_of(0x1000));
    a.seal(7, ipv4(1));
    auto other = sa(Direction::out, EspSuite::aes_gcm_256);
    other.key.mutable_view()[0] ^= 1;
    REQUIRE(a.registry.add(other) == std::errc{});
    CHECK(decode_header(a.seal(7, ipv4(1)))->sequence == 1);
    CHECK(a.registry.take_ended().size() == 1);
}

TEST_CASE("a peer that chooses the SPI of another tunnel's peer at its address takes nothing from it") {
    Node a;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256));
    a.registry.set_outbound(7, id_of(0x1000));
    auto rival = sa(Direction::out, EspSuite::aes_gcm_256, 0x1000, 8);
    rival.key.mutable_view()[0] ^= 1;
    CHECK(a.registry.add(rival) == std::errc::file_exists);
    rival.destination = endpoint("192.0.2.99", 12025);
    REQUIRE(a.registry.add(rival) == std::errc{});
    rival.destination = sa(Direction::out, EspSuite::aes_gcm_256).destination;  // and none that moves there
    CHECK(a.registry.add(rival) == std::errc::file_exists);
    CHECK_FALSE(a.seal(7, ipv4(1)).empty());
    CHECK(a.registry.take_ended().empty());
}

TEST_CASE("a removed SA leaves the tables but lives until it is taken") {
    Node a;
    a.registry.add(sa(Direction::out, EspSuite::aes_gcm_256));
    a.registry.set_outbound(7, id_of(0x1000));
    const Table published = a.registry.table();
    a.registry.remove(id_of(0x1000));
    a.registry.remove(id_of(0x1000));
    CHECK(a.seal(7, ipv4(1)).empty());
    Boxed box(ipv4(1));
    CHECK(published.seal(7, {&box.packet, 1}, kNow, a.drops));
    CHECK(box.packet.drop == Drop::none);
    CHECK(a.registry.take_ended().size() == 1);
}

TEST_CASE("what our ESP cannot do is refused") {
    Node a;
    const auto refused = [&](auto change) {
        auto value = sa(Direction::in, EspSuite::aes_gcm_256, 0x3000);
        change(value);
        return a.registry.add(value);
    };
    CHECK(refused([](auto& v) { v.mode = aronet::base::SaMode::transport; }) == std::errc::invalid_argument);
    CHECK(refused([](auto& v) { v.udp_encapsulation = false; }) == std::errc::invalid_argument);
    CHECK(refused([](auto& v) { v.key = aronet::base::Secret(31); }) == std::errc::invalid_argument);
    CHECK(refused([](auto& v) { v.spi = 255; }) == std::errc::invalid_argument);
    CHECK(refused([](auto&) {}) == std::errc{});
    const auto second = [](auto& v) {
        v.destination = endpoint("192.0.2.77", 1);
        v.key.mutable_view()[0] ^= 1;
    };
    CHECK(refused(second) == std::errc::file_exists);
    CHECK(a.registry.entries().size() == 1);
}

TEST_CASE("arbitrary bytes are opened by nobody and crash nothing") {
    Node b;
    for (std::uint32_t i = 0; i < kSuites.size(); ++i) {
        auto value = sa(Direction::in, kSuites[i], 0x1000 + i, i + 1);
        value.esn = i % 2 == 1;
        b.registry.add(value);
    }
    const Table table = b.registry.table();
    auto random = aronet::base::Random::from_number(77);
    for (int round = 0; round < 20000; ++round) {
        auto bytes = random.bytes(random.below(200));
        if (bytes.size() >= 4) {
            bytes[0] = bytes[1] = 0;
            bytes[2] = 0x10;
            bytes[3] = static_cast<Byte>(random.below(kSuites.size() + 1));
        }
        Boxed box(bytes, 0, 0);
        table.open({&box.packet, 1}, kNow, b.drops);
        REQUIRE(box.packet.drop != Drop::none);
    }
}
