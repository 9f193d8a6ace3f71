// The authentication of packets by itself, RFC 8967 4.1 to 4.3 and RFC 9467: every rule as a sentence.

#include "babel/key_holder.hpp"

#include <algorithm>

using namespace aronet;
using namespace aronet::babel;

namespace {

std::vector<base::Bytes> macs_of(const base::Bytes& packet) {
    std::vector<base::Bytes> macs;
    for (const MacTlv& mac : all_of<MacTlv>(tlvs_of(packet))) macs.push_back(mac.mac);
    return macs;
}

}  // namespace

// ---- 4.1, 4.2: what is sent ----

TEST_CASE("a packet carries one MAC for each key that signs, none for one that is only accepted") {
    base::Random random = base::Random::from_number(1);
    MacKey old = hmac_key("the old one");
    old.signs = false;
    MacLink mac(mac_keys({blake_key(), old, hmac_key()}), 4, random);
    const base::Bytes packet = signed_by(mac);
    const auto unsigned_part = base::ByteView(packet).first(packet.size() - mac.overhead() + 14);
    const auto right = [&](const MacKey& key) {
        return KeyedMac(key).of(unsigned_part, kUsLocal, multicast_group());
    };
    CHECK(macs_of(packet) == std::vector<base::Bytes>{right(blake_key()), right(hmac_key())});
    CHECK(macs_of(packet)[0].size() == 16);
    CHECK(macs_of(packet)[1].size() == 32);
}

TEST_CASE("a packet has one counter, the last TLV of its body, and the room it takes is known before") {
    base::Random random = base::Random::from_number(1);
    for (const auto& list : {std::vector{hmac_key()}, std::vector{blake_key()}, std::vector(8, hmac_key())}) {
        MacLink mac(mac_keys(list), 4, random);
        PacketWriter writer(1000);
        REQUIRE(writer.add(Tlv(kHello)));
        base::Bytes packet = writer.finish();
        const std::size_t before = packet.size();
        mac.sign(packet, kUsLocal, kPeer);
        CHECK(packet.size() == before + mac.overhead());
        TlvWalker body(packet);
        std::vector<int> types;
        while (const auto item = body.next()) types.push_back(item->type);
        CHECK(types == std::vector<int>{4, 17});
    }
}

TEST_CASE("the counter grows with every packet of an interface, to whomever it goes") {
    base::Random random = base::Random::from_number(1);
    MacLink mac(mac_keys({hmac_key()}), 4, random);
    std::uint32_t last = 0;
    for (const Address& to : {multicast_group(), kPeer, kOther, multicast_group()}) {
        const PacketCounter now = counter_of(signed_by(mac, to));
        CHECK(now.pc > last);
        last = now.pc;
    }
}

TEST_CASE("a counter that overflows, and a new start, take a fresh index of at least 64 bits") {
    base::Random random = base::Random::from_number(1);
    MacLink mac(mac_keys({hmac_key()}), 4, random, 0xfffffffe);
    const auto before = counter_of(signed_by(mac)), after = counter_of(signed_by(mac));
    CHECK(before.pc == 0xffffffff);
    CHECK(before.index.size() >= 8);
    CHECK(before.index.size() <= kMacIndexMax);
    CHECK(after.pc == 0);
    CHECK(after.index != before.index);
    CHECK(counter_of(signed_by(mac)).index == after.index);
    MacLink again(mac_keys({hmac_key()}), 4, random);
    CHECK(counter_of(signed_by(again)).index != after.index);
}

// ---- 4.3: the MAC test ----

TEST_CASE("a packet without a MAC, or with none that is right, is dropped and leaves no trace") {
    Gate gate;
    const std::vector<Tlv> body{ChallengeRequest{{1}}, kHello, counter(1)};
    const auto bare = gate.take_bytes(authentic_packet(body, kPeer, kUsLocal, {}));
    const auto foreign = gate.take_bytes(authentic_packet(body, kPeer, kUsLocal, {hmac_key("another")}));
    CHECK(bare.refused == MacDrop::no_mac);
    CHECK(foreign.refused == MacDrop::wrong_mac);
    for (const auto& verdict : {bare, foreign}) {
        CHECK_FALSE(verdict.accepted);
        CHECK(verdict.answers.empty());
    }
    CHECK_FALSE(gate.mac.deadline());
}

TEST_CASE("one right MAC among several is enough, whichever key and wherever it stands") {
    for (const auto& known : {hmac_key(), blake_key()}) {
        for (const auto& list :
             {std::vector{known, hmac_key("x")}, std::vector{blake_key("y"), hmac_key("x"), known}}) {
            Gate gate(mac_keys({hmac_key("unused"), known}));
            const auto verdict = gate.take_bytes(authentic_packet({counter(1)}, kPeer, kUsLocal, list));
            CHECK(verdict.refused == MacDrop::unproven);
        }
    }
}

TEST_CASE("a key that only signs makes no packet authentic") {
    MacKey ours = hmac_key();
    ours.accepted = false;
    Gate gate(mac_keys({ours, blake_key()}));
    CHECK(gate.take({counter(1)}).refused == MacDrop::wrong_mac);
}

TEST_CASE("the MAC covers the addresses and every octet of the packet, not the trailer") {
    Gate gate;
    gate.prove();
    const base::Bytes packet = authentic_packet({kHello, counter(20)}, kPeer, kUsLocal, {hmac_key()});
    CHECK(gate.take_bytes(packet, multicast_group()).refused == MacDrop::wrong_mac);
    CHECK(gate.take_bytes(packet, kUsLocal, kOther).refused == MacDrop::wrong_mac);
    for (std::size_t i = 4; i < packet.size() - 34; ++i) {
        base::Bytes altered = packet;
        altered[i] ^= 1;
        CHECK_FALSE(gate.take_bytes(altered).accepted);
    }
    base::Bytes longer = packet;  // Pad1 and PadN may stand in a trailer too
    longer.insert(longer.end() - 34, {0, 1, 2, 0, 0});
    CHECK(gate.take_bytes(longer).accepted);
}

TEST_CASE("MACs of no octets, cut, or too long are no MACs, and one in the body is none either") {
    Gate gate;
    gate.prove();
    const base::Bytes whole = authentic_packet({kHello, counter(20)}, kPeer, kUsLocal, {hmac_key()});
    const std::size_t body = whole.size() - 34;
    for (std::size_t length = 0; length < 32; ++length) {
        base::Bytes cut(whole.begin(), whole.begin() + std::ptrdiff_t(body + 2 + length));
        CHECK(gate.take_bytes(cut).refused == MacDrop::no_mac);  // beyond the end
        cut[body + 1] = static_cast<base::Byte>(length);
        CHECK(gate.take_bytes(cut).refused == MacDrop::wrong_mac);
    }
    base::Bytes longer = whole;
    longer.push_back(0);
    longer[body + 1] = 33;
    CHECK(gate.take_bytes(longer).refused == MacDrop::wrong_mac);
    base::Bytes inside = whole;
    inside[3] = static_cast<base::Byte>(whole.size() - 4);
    CHECK(gate.take_bytes(inside).refused == MacDrop::no_mac);
    CHECK(gate.take_bytes(whole).accepted);
}

TEST_CASE("the MAC of a packet is computed once for each key, not for each MAC in it") {
    Gate gate;
    base::Bytes packet = authentic_packet(
        std::vector<Tlv>(120, PadN{250}), kPeer, kUsLocal, std::vector(1, hmac_key("another"))
    );
    const auto time_to_judge = [&] {
        const auto start = std::chrono::steady_clock::now();
        CHECK(gate.take_bytes(packet).refused == MacDrop::wrong_mac);
        return std::chrono::steady_clock::now() - start;
    };
    const auto once = std::min({time_to_judge(), time_to_judge(), time_to_judge()});
    const base::Bytes mac(packet.end() - 34, packet.end());
    for (int i = 0; i < 900; ++i) packet.insert(packet.end(), mac.begin(), mac.end());
    CHECK(std::min({time_to_judge(), time_to_judge(), time_to_judge()}) < 100 * once);
}

// ---- 4.3: counters ----

TEST_CASE("an authentic packet without a counter is dropped, and its challenge is answered all the same") {
    Gate gate;
    gate.prove();
    const auto verdict = gate.take({kHello, ChallengeRequest{{1, 2}}});
    CHECK(verdict.refused == MacDrop::no_counter);
    CHECK(verdict.answers == std::vector<Tlv>{ChallengeReply{{1, 2}}});
}

TEST_CASE("only the first of several counters counts") {
    Gate gate;
    gate.prove();
    CHECK(gate.take({counter(11), counter(200), counter(5)}).accepted);
    CHECK(gate.take({counter(12), counter(3)}).accepted);
    CHECK(gate.take({counter(12), counter(300)}).refused == MacDrop::replayed);
}

TEST_CASE("a counter with an index of more than 32 octets is none, an index of no octets is one") {
    Gate gate;
    base::Bytes body{17, 37, 0, 0, 0, 1};
    body.resize(39, 7);
    base::Bytes packet{kMagic, kVersion, 0, 39};
    packet.insert(packet.end(), body.begin(), body.end());
    CHECK(gate.take_bytes(with_macs(packet, kPeer, kUsLocal, {hmac_key()})).refused == MacDrop::no_counter);
    gate.prove(counter(7, {}));
    CHECK(gate.accepts(8, kUsLocal, {}));
    CHECK_FALSE(gate.accepts(9, kUsLocal, {0}));  // the length is part of the comparison
}

TEST_CASE("an unknown or another index is challenged and the packet dropped") {
    Gate gate;
    const auto first = gate.take({kHello, counter(10)});
    CHECK(first.refused == MacDrop::unproven);
    CHECK_FALSE(first.accepted);
    const auto asked = all_of<ChallengeRequest>(first.answers);
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].nonce.size() >= 8);
    CHECK(gate.take({ChallengeReply{asked[0].nonce}, counter(11)}).accepted);
    CHECK(gate.accepts(12));

    gate.now += 1s;
    const auto restarted = gate.take({kHello, counter(1, kIndex2)});
    CHECK(restarted.refused == MacDrop::unproven);
    CHECK(all_of<ChallengeRequest>(restarted.answers).size() == 1);
    CHECK(gate.accepts(13));  // until the other index is proven, the one we know stays good
}

TEST_CASE("a successful reply makes its packet accepted, and its index and counter those of the peer") {
    Gate gate;
    gate.prove(counter(500));
    CHECK_FALSE(gate.accepts(500));
    CHECK(gate.accepts(501));
    gate.now += 1s;
    gate.prove(counter(3, kIndex2));
    CHECK(gate.accepts(4, kUsLocal, kIndex2));
    CHECK_FALSE(gate.accepts(600));  // the old index
}

TEST_CASE("a packet seen before is dropped, and nobody is challenged for it") {
    Gate gate;
    gate.prove();
    const base::Bytes packet = authentic_packet({kHello, counter(11)}, kPeer, kUsLocal, {hmac_key()});
    CHECK(gate.take_bytes(packet).accepted);
    const auto again = gate.take_bytes(packet);
    CHECK(again.refused == MacDrop::replayed);
    CHECK(again.answers.empty());
    CHECK_FALSE(gate.mac.deadline());
}

TEST_CASE("counters and challenges of one peer are nothing to another") {
    Gate gate;
    gate.prove(counter(500));
    gate.prove(counter(10), kOther);
    CHECK(gate.take({counter(11)}, kUsLocal, kOther).accepted);
    CHECK(gate.accepts(501));
    const auto asked = all_of<ChallengeRequest>(gate.take({counter(1)}, kUsLocal, ip("fe80::c")).answers);
    const auto stolen = gate.take({ChallengeReply{asked.at(0).nonce}, counter(2)}, kUsLocal, ip("fe80::d"));
    CHECK_FALSE(stolen.accepted);
}

// ---- RFC 9467 ----

TEST_CASE("multicast and unicast packets are counted apart") {
    Gate gate;
    gate.prove(counter(1000));
    CHECK(gate.accepts(5000));  // unicast overtakes what waits for a sleeping station
    CHECK(gate.accepts(1001, multicast_group()));
    CHECK(gate.accepts(1500, multicast_group()));
    CHECK_FALSE(gate.accepts(1500, multicast_group()));
    CHECK_FALSE(gate.accepts(1500));
    CHECK(gate.accepts(5001, multicast_group()));
    CHECK(gate.accepts(5001));
}

TEST_CASE("within a window of 128 counters packets may come in any order, each once") {
    Gate gate;
    gate.prove(counter(1000));
    CHECK(gate.accepts(1200));
    CHECK_FALSE(gate.accepts(1200 - 128));
    CHECK(gate.accepts(1200 - 127));
    CHECK_FALSE(gate.accepts(1200 - 127));
    for (std::uint32_t pc = 1199; pc > 1200 - 127; --pc) CHECK(gate.accepts(pc));
    for (std::uint32_t pc = 1199; pc > 1200 - 127; --pc) CHECK_FALSE(gate.accepts(pc));
    CHECK(gate.accepts(1201));
    CHECK_FALSE(gate.accepts(1200));
    CHECK(gate.accepts(0xffffffff));  // as far as a counter goes
    CHECK(gate.accepts(0xfffffffe));
    CHECK_FALSE(gate.accepts(1201));
}

TEST_CASE("low counters do not wrap around the window") {
    Gate gate;
    gate.prove(counter(3));
    CHECK(gate.accepts(2));
    CHECK(gate.accepts(0));
    CHECK_FALSE(gate.accepts(0));
    CHECK_FALSE(gate.accepts(0xffffffff - 5, kUsLocal, kIndex2));
    CHECK(gate.accepts(4));
}

TEST_CASE("a successful reply with a new index empties both windows up to its counter") {
    Gate gate;
    gate.prove(counter(1000));
    CHECK(gate.accepts(2000));
    CHECK(gate.accepts(3000, multicast_group()));
    gate.now += 1s;
    gate.prove(counter(50, kIndex2));
    for (const Address& to : {kUsLocal, multicast_group()}) {
        CHECK_FALSE(gate.accepts(50, to, kIndex2));
        CHECK(gate.accepts(51, to, kIndex2));
        CHECK(gate.accepts(40, to, kIndex2));
    }
}

TEST_CASE("a reply that proves the known index again opens no window to replays") {
    Gate gate;
    gate.prove(counter(10));
    for (std::uint32_t pc = 11; pc < 40; ++pc) CHECK(gate.accepts(pc));
    CHECK(gate.accepts(90, multicast_group()));
    gate.now += 1s;
    const auto asked = all_of<ChallengeRequest>(gate.take({counter(1, kIndex2)}).answers);  // an old packet
    const auto verdict = gate.take({ChallengeReply{asked.at(0).nonce}, counter(50)});
    CHECK(verdict.accepted);
    CHECK_FALSE(verdict.proven);
    for (std::uint32_t pc = 10; pc < 40; ++pc) CHECK_FALSE(gate.accepts(pc));
    CHECK_FALSE(gate.accepts(50));
    CHECK_FALSE(gate.accepts(90, multicast_group()));
    CHECK(gate.accepts(51));
}

TEST_CASE("whatever is replayed in whatever order, no packet is accepted twice") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        base::Random chance = base::Random::from_number(seed);
        Gate gate;
        gate.prove(counter(1));
        std::map<std::pair<std::uint32_t, bool>, int> accepted;
        std::uint32_t sent = 1;
        for (int i = 0; i < 2000; ++i) {
            if (chance.below(2) == 0) ++sent;
            const auto back = static_cast<std::uint32_t>(chance.below(200));
            const std::uint32_t pc = sent > back ? sent - back : sent;
            const bool multicast = pc % 3 == 0;  // a packet goes to one address
            if (gate.accepts(pc, multicast ? multicast_group() : kUsLocal)) ++accepted[{pc, multicast}];
        }
        for (const auto& [packet, times] : accepted) CHECK(times == 1);
        CHECK(accepted.size() > 500);
    }
}
