#include "esp/association.hpp"

#include "esp/fixtures.hpp"

#include <fstream>
#include <set>
#include <sstream>

using namespace aronet::esp;
using namespace aronet::esp::test;
using aronet::base::from_hex;

TEST_CASE("every suite carries both families of every small size there and back") {
    for (const auto suite : kSuites)
        for (const bool esn : {false, true}) {
            Pair pair(suite, esn);
            for (std::size_t payload = 0; payload < 80; ++payload)
                for (const auto& inner : {ipv4(payload, 0xb9), ipv6(payload, 0x2a)}) {
                    const auto wire = pair.seal(inner);
                    REQUIRE(pair.last_drop == Drop::none);
                    REQUIRE(wire.size() >= inner.size() + 8 + 8 + 2 + 16);
                    REQUIRE(pair.open(wire) == inner);
                }
            CHECK(pair.in->tally().packets.value() == 160);
            CHECK(pair.out->tally().packets.value() == 160);
            CHECK(pair.in->tally().bytes.value() == pair.out->tally().bytes.value());
            CHECK(pair.in->tally().last_used == kNow.time_since_epoch().count());
        }
}

TEST_CASE("the sizes are those of ESP in UDP") {
    Pair pair(EspSuite::aes_gcm_256);
    CHECK(pair.seal(ipv4(1438 - 20)).size() == 1500 - 20 - 8);  // the largest for an IPv4 path of 1500
}

TEST_CASE("a packet is opened once") {
    for (const auto suite : kSuites) {
        Pair pair(suite);
        const auto wire = pair.seal(ipv4(60));
        CHECK_FALSE(pair.open(wire).empty());
        CHECK(pair.open(wire).empty());
        CHECK(pair.last_drop == Drop::replay_duplicate);
        CHECK(pair.in->tally().drops.value(Drop::replay_duplicate) == 1);
    }
}

TEST_CASE("any flipped bit is noticed and leaves the replay window where it was") {
    for (const auto suite : kSuites)
        for (const bool esn : {false, true}) {
            Pair pair(suite, esn);
            const auto wire = pair.seal(ipv4(33));
            for (std::size_t i = 4; i < wire.size(); ++i) {
                auto spoiled = wire;
                spoiled[i] ^= static_cast<Byte>(1 << i % 8);
                REQUIRE(pair.open(spoiled).empty());
                const bool zero = i < 8 && decode_header(spoiled)->sequence == 0;
                if (!esn && !zero) REQUIRE(pair.last_drop == Drop::bad_icv);
            }
            CHECK(pair.open(wire) == ipv4(33));
        }
}

TEST_CASE("a packet cut anywhere is dropped, not opened") {
    for (const auto suite : kSuites) {
        Pair pair(suite);
        const auto wire = pair.seal(ipv6(50));
        for (std::size_t size = 0; size < wire.size(); ++size) {
            REQUIRE(pair.open(ByteView(wire).first(size)).empty());
            REQUIRE(pair.last_drop != Drop::none);
        }
        CHECK(pair.open(wire) == ipv6(50));
    }
}

TEST_CASE("a full window of reordered packets arrives, an older one does not") {
    Pair pair(EspSuite::aes_gcm_128, false, 64);
    std::vector<Bytes> wires;
    for (std::size_t i = 0; i < 65; ++i) wires.push_back(pair.seal(ipv4(i)));
    for (std::size_t i = 65; i-- > 1;) CHECK(pair.open(wires[i]) == ipv4(i));
    CHECK(pair.open(wires[0]).empty());
    CHECK(pair.last_drop == Drop::replay_old);
}

TEST_CASE("C19: 32-bit sequence numbers end, extended ones go on") {
    Pair plain(EspSuite::aes_gcm_128);
    plain.out->skip_to(OutboundSa::kSoftLimit - 1);
    CHECK_FALSE(plain.out->take_expiring());
    plain.seal(ipv4(0));
    CHECK(plain.out->take_expiring());
    CHECK_FALSE(plain.out->take_expiring());
    plain.out->skip_to(0xfffffffe);
    CHECK(plain.open(plain.seal(ipv4(4))) == ipv4(4));
    plain.seal(ipv4(4));
    CHECK(plain.last_drop == Drop::sequence_exhausted);

    Pair extended(EspSuite::chacha20_poly1305, true);
    extended.out->skip_to(0xffffff00);
    CHECK(extended.open(extended.seal(ipv4(1))) == ipv4(1));
    extended.out->skip_to(0xfffffff0);
    for (std::size_t i = 0; i < 64; ++i) REQUIRE(extended.open(extended.seal(ipv4(i))) == ipv4(i));
    CHECK_FALSE(extended.out->take_expiring());
}

TEST_CASE("each side of an SA says once that it has carried as many packets or bytes as it should") {
    for (const bool by_packets : {true, false}) {
        auto value = sa(aronet::base::Direction::out, EspSuite::aes_gcm_128);
        (by_packets ? value.soft_packets : value.soft_bytes) = by_packets ? 3 : 3 * ipv4(10).size();
        Pair pair(EspSuite::aes_gcm_128);
        pair.out = OutboundSa::make(value, pair.random);
        pair.in = InboundSa::make(value);
        for (int i = 1; i <= 5; ++i) {
            Boxed received(pair.seal(ipv4(10)));
            pair.in->open(received.packet, static_cast<std::uint32_t>(i), received.packet.peer, kNow);
            CHECK(received.packet.drop == Drop::none);
            CHECK(received.packet.expiring == (i == 3));
            CHECK(pair.out->take_expiring() == (i == 3));
        }
    }
}

TEST_CASE("what is no IP packet, and what has no room, is not sealed and costs no sequence number") {
    Pair pair(EspSuite::aes_cbc_256_sha512);
    pair.seal(Bytes(60, 0));
    CHECK(pair.last_drop == Drop::not_ip);
    for (const auto& [head, tail] : {std::pair{23ul, kTailroom}, std::pair{kHeadroom, 33ul}}) {
        Boxed tight(ipv4(0), head, tail);
        pair.out->seal(tight.packet, kNow);
        CHECK(tight.packet.drop == Drop::no_room);
    }
    CHECK(decode_header(pair.seal(ipv4(0)))->sequence == 1);
}

TEST_CASE("the outer header gets the inner traffic class") {
    Pair pair(EspSuite::aes_gcm_256);
    for (const auto& inner : {ipv4(9, 0xb9), ipv6(9, 0xb9)}) {
        Boxed box(inner);
        pair.out->seal(box.packet, kNow);
        CHECK(box.packet.traffic_class == 0xb9);
    }
}

TEST_CASE("congestion outside is told inside, or drops what cannot be told") {
    Pair pair(EspSuite::aes_gcm_256);
    CHECK(pair.open(pair.seal(ipv4(9, 0x02)), 0x03)[1] == 0x03);
    CHECK(pair.open(pair.seal(ipv4(9, 0x00)), 0x03).empty());
    CHECK(pair.last_drop == Drop::congestion_lost);
}

namespace {

// A plaintext of one's own choice, sealed properly: for what our own sender would never say.
Bytes sealed(ByteView plaintext, std::uint32_t sequence) {
    auto value = sa(aronet::base::Direction::out, EspSuite::aes_gcm_256);
    auto cipher = Cipher::make(value.suite, aronet::base::Direction::out, value.key.view());
    Bytes packet(16);
    encode_header({value.spi, sequence}, packet);
    packet.insert(packet.end(), plaintext.begin(), plaintext.end());
    packet.resize(packet.size() + 16);
    REQUIRE(cipher->seal(packet, std::nullopt));
    return packet;
}

Bytes with_trailer(Bytes payload, std::size_t padding, std::uint8_t next_header) {
    const auto at = payload.size();
    payload.resize(at + padding + kTrailerSize);
    encode_trailer(next_header, std::span(payload).subspan(at));
    return payload;
}

}  // namespace

TEST_CASE("authentic packets with a rubbish inside are dropped for their own reason") {
    Pair pair(EspSuite::aes_gcm_256);
    auto drop = [&, sequence = 0u](const Bytes& plaintext) mutable {
        pair.open(sealed(plaintext, ++sequence));
        return pair.last_drop;
    };
    CHECK(drop(with_trailer(ipv4(4), 2, kNextHeaderIpv4)) == Drop::none);
    CHECK(drop(with_trailer(ipv4(4), 2, kNextHeaderDummy)) == Drop::dummy);
    CHECK(drop(with_trailer(Bytes{}, 2, kNextHeaderDummy)) == Drop::dummy);
    CHECK(drop(with_trailer(ipv4(4), 2, 6)) == Drop::bad_next_header);
    CHECK(drop(with_trailer(ipv4(4), 2, kNextHeaderIpv6)) == Drop::bad_inner_length);
    CHECK(drop(with_trailer(Bytes{}, 2, kNextHeaderIpv4)) == Drop::bad_inner_length);
    CHECK(drop(Bytes(28, 0xff)) == Drop::bad_padding);
    auto longer = ipv4(4);
    longer[3] = static_cast<Byte>(longer[3] + 1);
    CHECK(drop(with_trailer(longer, 2, kNextHeaderIpv4)) == Drop::bad_inner_length);
    CHECK(drop(with_trailer(ipv4(4), 1, kNextHeaderIpv4)) == Drop::unaligned);
}

TEST_CASE("padding for traffic-flow confidentiality is taken off") {
    Pair pair(EspSuite::aes_gcm_256);
    auto padded = ipv4(4);
    padded.resize(200, 0xee);
    CHECK(pair.open(sealed(with_trailer(padded, 2, kNextHeaderIpv4), 1)) == ipv4(4));
}

TEST_CASE("a peer has moved when its newest authentic packet comes from elsewhere, which is told once") {
    Pair pair(EspSuite::aes_gcm_256);
    const auto home = endpoint("192.0.2.1", 12025), elsewhere = endpoint("198.51.100.9", 40777);
    auto believed = home;
    const auto moved = [&](Bytes wire, const aronet::base::Endpoint& from) {
        Boxed box(wire);
        box.packet.peer = from;
        pair.in->open(box.packet, decode_header(wire)->sequence, believed, kNow);
        return box.packet.peer_moved;
    };
    const auto first = pair.seal(ipv4(1));
    const auto overtaken = pair.seal(ipv4(1));
    CHECK_FALSE(moved(first, home));
    CHECK_FALSE(moved(first, elsewhere));  // a replay proves nothing
    auto forged = pair.seal(ipv4(1));
    const auto genuine = forged;
    forged.back() ^= 1;
    CHECK_FALSE(moved(forged, elsewhere));
    CHECK(moved(genuine, elsewhere));
    CHECK_FALSE(moved(overtaken, home));
    CHECK_FALSE(moved(pair.seal(ipv4(1)), elsewhere));
    believed = elsewhere;
    CHECK_FALSE(moved(pair.seal(ipv4(1)), elsewhere));
    believed = home;  // by a late word of IKE, say: the packets still say otherwise
    CHECK(moved(pair.seal(ipv4(1)), elsewhere));
    CHECK_FALSE(moved(pair.seal(ipv4(1)), home));
    CHECK(moved(pair.seal(ipv4(1)), elsewhere));
}

TEST_CASE("two SAs of one key do not start from one IV") {
    auto random = aronet::base::Random::from_number(3);
    const auto value = sa(aronet::base::Direction::out, EspSuite::aes_gcm_256);
    std::set<Bytes> ivs;
    for (int i = 0; i < 16; ++i) {
        auto out = OutboundSa::make(value, random);
        for (int k = 0; k < 16; ++k) {
            Boxed box(ipv4(0));
            out->seal(box.packet, kNow);
            const auto iv = box.packet.bytes().subspan(8, 8);
            ivs.emplace(iv.begin(), iv.end());
        }
    }
    CHECK(ivs.size() == 256);
}

TEST_CASE("what the Linux kernel sealed in our recordings is opened") {
    std::ifstream file(std::string(ARONET_SOURCE_DIR) + "/tests/vectors/esp/linux.txt");
    REQUIRE(file);
    std::unique_ptr<InboundSa> in;
    int opened = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        if (line.starts_with("sa ")) {
            std::istringstream words(line.substr(3));
            std::string suite, esn, spi, key;
            words >> suite >> esn >> spi >> key;
            auto value = sa(aronet::base::Direction::in, EspSuite::aes_gcm_128);
            if (suite == "chacha20_poly1305") value.suite = EspSuite::chacha20_poly1305;
            value.esn = esn == "1";
            value.spi = static_cast<std::uint32_t>(std::stoul(spi, nullptr, 16));
            value.key = aronet::base::Secret(ByteView(*from_hex(key)));
            in = InboundSa::make(value);
            REQUIRE(in);
            continue;
        }
        const auto wire = from_hex(line);
        REQUIRE(wire);
        Boxed box(*wire);
        in->open(box.packet, decode_header(*wire)->sequence, box.packet.peer, kNow);
        CHECK(box.packet.drop == Drop::none);
        ++opened;
    }
    CHECK(opened == 31);
}
