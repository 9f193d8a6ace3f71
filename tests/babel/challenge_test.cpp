// Challenges, forgetting and deployment: RFC 8967 4.3.1, 4.4 and 5, every rule as a sentence.

#include "babel/key_holder.hpp"

using namespace aronet;
using namespace aronet::babel;

// ---- 4.3.1.1: challenges ----

TEST_CASE("challenges to one peer are 300 ms apart at least, with a nonce that was never used") {
    Gate gate;
    std::set<base::Bytes> nonces;
    std::vector<Instant> at;
    for (int i = 0; i < 1000; ++i) {
        for (const auto& c : all_of<ChallengeRequest>(gate.take({counter(1)}).answers)) {
            at.push_back(gate.now);
            CHECK(nonces.insert(c.nonce).second);
            CHECK(c.nonce.size() >= 8);
            CHECK(c.nonce.size() <= 192);
        }
        gate.now += 10ms;
    }
    REQUIRE(at.size() >= 4);
    for (std::size_t i = 1; i < at.size(); ++i) CHECK(at[i] - at[i - 1] >= 300ms);
}

TEST_CASE("a challenge without an answer is repeated some times, with growing pauses, and then no more") {
    Gate gate;
    std::set<base::Bytes> nonces;
    for (const auto& c : all_of<ChallengeRequest>(gate.take({counter(1)}).answers)) nonces.insert(c.nonce);
    for (const auto& c : gate.challenges_until(400ms)) nonces.insert(c.nonce);
    CHECK(nonces.size() == 2);
    for (const auto& c : gate.challenges_until(60s)) nonces.insert(c.nonce);
    CHECK(nonces.size() == kChallengesInRow);
    CHECK_FALSE(gate.mac.deadline());
}

TEST_CASE("on a way of four seconds, and though old packets come all the time, a challenge succeeds soon") {
    Gate gate;
    std::vector<std::pair<Instant, base::Bytes>> on_the_way;
    std::size_t sent = 0;
    const auto ask = [&](const std::vector<ChallengeRequest>& challenges) {
        for (const auto& c : challenges) on_the_way.emplace_back(gate.now + 4s, c.nonce), ++sent;
    };
    bool proven = false;
    while (!proven && gate.now < Instant(1006s)) {  // an attacker replays every 100 ms
        ask(all_of<ChallengeRequest>(gate.take({counter(1, kIndex2)}).answers));
        ask(gate.challenges_until(100ms));
        while (!proven && !on_the_way.empty() && on_the_way.front().first <= gate.now) {
            proven = gate.take({ChallengeReply{on_the_way.front().second}, counter(10)}).proven;
            on_the_way.erase(on_the_way.begin());
        }
    }
    CHECK(proven);
    CHECK(sent <= 4);
}

// ---- 4.3.1.2: replies ----

TEST_CASE("a challenge is answered with its nonce, of no octets or of 192") {
    for (const std::size_t size : {0u, 1u, 192u}) {
        Gate gate;
        gate.prove();
        const base::Bytes nonce(size, 9);
        const auto verdict = gate.take({ChallengeRequest{nonce}, counter(11)});
        CHECK(verdict.accepted);
        CHECK(verdict.answers == std::vector<Tlv>{ChallengeReply{nonce}});
    }
}

TEST_CASE("a challenge from one we do not know is answered before anything else, beside our own") {
    Gate gate;
    const auto verdict = gate.take({ChallengeRequest{{5}}, counter(1)});
    CHECK_FALSE(verdict.accepted);
    REQUIRE(verdict.answers.size() == 2);
    CHECK(verdict.answers[0] == Tlv(ChallengeReply{{5}}));
    CHECK(std::holds_alternative<ChallengeRequest>(verdict.answers[1]));
}

TEST_CASE("a challenge to the multicast group is ignored, its packet is not") {
    Gate gate;
    gate.prove();
    const auto verdict = gate.take({ChallengeRequest{{5}}, counter(11)}, multicast_group());
    CHECK(verdict.accepted);
    CHECK(verdict.answers.empty());
    CHECK(verdict.ignored == std::vector{MacDrop::multicast_challenge});
}

TEST_CASE("replies to one peer are 300 ms apart, and the newest challenge is the one that is answered") {
    Gate gate;
    gate.prove();
    std::uint32_t pc = 20;
    CHECK(gate.take({ChallengeRequest{{1}}, counter(pc++)}).answers.size() == 1);
    for (int i = 0; i < 200; ++i) {  // a flood
        gate.now += 1ms;
        const auto nonce = static_cast<base::Byte>(2 + i % 100);
        CHECK(gate.take({ChallengeRequest{{nonce}}, counter(pc++)}).answers.empty());
    }
    REQUIRE(gate.mac.deadline());
    CHECK(*gate.mac.deadline() == gate.now + 100ms);
    CHECK_FALSE(gate.mac.due(gate.now));
    gate.now += 100ms;
    const auto due = gate.mac.due(gate.now);
    REQUIRE(due);
    CHECK(due->to == kPeer);
    CHECK(due->tlvs == std::vector<Tlv>{ChallengeReply{{101}}});
    CHECK_FALSE(gate.mac.due(gate.now));
    // Another peer has a limit of its own.
    CHECK(gate.take({ChallengeRequest{{7}}, counter(1)}, kUsLocal, kOther).answers.size() == 2);
}

TEST_CASE("a replayed challenge of a known index is not answered") {
    Gate gate;
    gate.prove();
    const auto packet = authentic_packet({ChallengeRequest{{1}}, counter(11)}, kPeer, kUsLocal, {hmac_key()});
    CHECK(gate.take_bytes(packet).answers.size() == 1);
    gate.now += 10s;
    const auto verdict = gate.take_bytes(packet);
    CHECK(verdict.answers.empty());
    CHECK_FALSE(verdict.accepted);
}

// ---- 4.3.1.3: replies received ----

TEST_CASE("a reply to no challenge is ignored") {
    Gate gate;
    const auto verdict = gate.take({ChallengeReply{}, counter(1)});
    CHECK_FALSE(verdict.accepted);
    CHECK(verdict.ignored == std::vector{MacDrop::stray_reply});
}

TEST_CASE("a wrong reply fails without ending the challenge, a right one ends it") {
    Gate gate;
    const base::Bytes nonce = all_of<ChallengeRequest>(gate.take({counter(1)}).answers).at(0).nonce;
    base::Bytes cut = nonce, longer = nonce, other = nonce;
    cut.pop_back();
    longer.push_back(0);
    other[0] ^= 1;
    for (const base::Bytes& wrong : {cut, longer, other, base::Bytes()}) {
        CHECK_FALSE(gate.take({ChallengeReply{wrong}, counter(2)}).accepted);
    }
    CHECK(gate.take({ChallengeReply{other}, ChallengeReply{nonce}, counter(3)}).accepted);
    const auto again = gate.take({ChallengeReply{nonce}, counter(2, kIndex2)});
    CHECK_FALSE(again.accepted);
    CHECK(again.ignored == std::vector{MacDrop::stray_reply});
}

TEST_CASE("a challenge expires after 30 seconds") {
    for (const auto& [wait, good] : {std::pair(Duration(29s), true), std::pair(Duration(30s), false)}) {
        Gate gate;
        gate.take({counter(1)});
        base::Bytes nonce;
        for (const auto& c : gate.challenges_until(10s)) nonce = c.nonce;  // the last of the row
        const Instant sent = gate.now - 10s + 2100ms;
        gate.now = sent + wait;
        CHECK(gate.take({ChallengeReply{nonce}, counter(2)}).accepted == good);
    }
}

TEST_CASE("a reply in a packet without a counter proves nothing") {
    Gate gate;
    const base::Bytes nonce = all_of<ChallengeRequest>(gate.take({counter(1)}).answers).at(0).nonce;
    CHECK(gate.take({ChallengeReply{nonce}}).refused == MacDrop::no_counter);
    CHECK_FALSE(gate.accepts(2));
}

// ---- 4.4: forgetting ----

TEST_CASE("the counter of a stranger is forgotten after 5 minutes, that of a neighbour with the neighbour") {
    Gate stranger, neighbour;
    neighbour.neighbour = true;
    for (Gate* gate : {&stranger, &neighbour}) {
        gate->prove();
        gate->now += 299s;
        CHECK(gate->accepts(11));
        gate->now += 300s;
    }
    CHECK_FALSE(stranger.accepts(12));
    CHECK(neighbour.accepts(12));
    neighbour.mac.forget(kPeer);
    CHECK_FALSE(neighbour.accepts(13));
}

TEST_CASE("challenges that fail do not keep a counter alive") {
    Gate gate;
    gate.prove();
    for (int i = 0; i < 300; ++i) {
        gate.now += 1s;
        gate.take({ChallengeReply{{1}}, counter(5, kIndex2)});
    }
    CHECK_FALSE(gate.accepts(11));
}

TEST_CASE("to be forgotten lifts no limit") {
    Gate gate;
    gate.prove();
    CHECK(gate.take({ChallengeRequest{{1}}, counter(11)}).answers.size() == 1);
    gate.mac.forget(kPeer);
    gate.now += 10ms;
    const auto verdict = gate.take({ChallengeRequest{{2}}, counter(12)});
    CHECK(all_of<ChallengeReply>(verdict.answers).empty());
}

TEST_CASE("replays of many addresses fill no more than the table, which empties again") {
    Gate gate(mac_keys({hmac_key()}), 8);
    const auto visit = [&](std::uint64_t n) {
        return gate.take({counter(1)}, kUsLocal, kPeer.plus(n)).refused == MacDrop::too_many_peers;
    };
    gate.prove();
    for (std::uint64_t n = 1; n < 8; ++n) CHECK_FALSE(visit(n));
    for (std::uint64_t n = 8; n < 100; ++n) CHECK(visit(n));
    CHECK(gate.accepts(11));
    gate.challenges_until(60s);
    CHECK_FALSE(visit(200));
    CHECK(gate.accepts(12));
}

// ---- 5: deployment and roll-over ----

TEST_CASE("where any packet is accepted, challenges go on, so that the counters are known afterwards") {
    Gate gate(mac_keys({hmac_key()}, true));
    const std::vector<Tlv> body{kHello, counter(1)};
    const auto bare = gate.take_bytes(authentic_packet(body, kPeer, kUsLocal, {}));
    CHECK(bare.accepted);
    CHECK(bare.refused == MacDrop::no_mac);
    CHECK(bare.answers.empty());
    CHECK(gate.take_bytes(authentic_packet(body, kPeer, kUsLocal, {blake_key()})).accepted);
    const auto unproven = gate.take({kHello, counter(2)});
    CHECK(unproven.accepted);
    const auto asked = all_of<ChallengeRequest>(unproven.answers);
    REQUIRE(asked.size() == 1);
    gate.take({ChallengeReply{asked[0].nonce}, counter(3)});
    gate.mac.set(mac_keys({hmac_key()}));
    CHECK(gate.accepts(4));
    CHECK_FALSE(gate.take_bytes(authentic_packet(body, kPeer, kUsLocal, {})).accepted);
}

TEST_CASE("other keys change neither our index nor what is known of a peer") {
    Gate gate;
    gate.prove();
    const PacketCounter before = counter_of(signed_by(gate.mac));
    gate.mac.set(mac_keys({blake_key(), hmac_key()}));
    const PacketCounter after = counter_of(signed_by(gate.mac));
    CHECK(after.index == before.index);
    CHECK(after.pc > before.pc);
    gate.key = blake_key();
    CHECK(gate.accepts(11));
    gate.mac.set(mac_keys({blake_key()}));
    CHECK(gate.accepts(12));
    gate.key = hmac_key();
    CHECK_FALSE(gate.accepts(13));
}

TEST_CASE("a key is usable if it is not empty, and for BLAKE2s at most 32 octets long") {
    CHECK(hmac_key(std::string(200, 'k').c_str()).usable());
    CHECK(blake_key(std::string(32, 'k').c_str()).usable());
    CHECK_FALSE(blake_key(std::string(33, 'k').c_str()).usable());
    CHECK_FALSE(hmac_key("").usable());
    for (const auto algorithm : {MacAlgorithm::hmac_sha256, MacAlgorithm::blake2s_128}) {
        CHECK(parse_mac_algorithm(to_string(algorithm)) == algorithm);
    }
    CHECK_FALSE(parse_mac_algorithm("md5"));
}
