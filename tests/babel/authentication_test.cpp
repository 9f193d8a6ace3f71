// A Speaker that authenticates: what packets without a right MAC cannot do to it, what it sends, and whole
// networks that start, lose packets and change their keys.

#include "babel/desk.hpp"
#include "babel/key_holder.hpp"
#include "babel/mesh.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

InterfaceConfig locked(const std::vector<MacKey>& list, const char* address = "fe80::1") {
    InterfaceConfig link = Desk::link(address);
    link.mac.keys = list;
    return link;
}

// A Speaker with keys on interface 1, and scripted peers with the same.
struct Locked : Desk {
    explicit Locked(std::vector<MacKey> list = {hmac_key()}) : keys(std::move(list)) {
        plug(1, locked(keys));
        pass(1s);
        forget();
    }

    base::Bytes packet(std::vector<Tlv> body, const Address& from = kPeer) {
        body.emplace_back(counter(++pc));
        return authentic_packet(body, from, multicast_group(), keys);
    }
    void say_signed(const std::vector<Tlv>& body, const Address& from = kPeer) {
        say_raw(1, from, packet(body, from));
    }
    void say_privately(const std::vector<Tlv>& body, const Address& from = kPeer) {
        const base::Bytes bytes = authentic_packet(body, from, kUsLocal, keys);
        deliver({.bytes = bytes, .from = from, .to = kUsLocal, .in = 1, .received_at = now});
    }
    template <class T>
    std::vector<T> sent_to(const Address& to) const {
        std::vector<T> found;
        for (const Sent& s : sent) {
            if (s.to != to) continue;
            for (const T& t : all_of<T>(tlvs_of(s.bytes))) found.push_back(t);
        }
        return found;
    }
    std::vector<Tlv> hello() {
        const Ihu ihu{.address = kUsLocal, .rxcost = 96, .interval = Interval::of(12s)};
        return {Hello{.seqno = ++hello_seqno, .interval = Interval::of(4s)}, ihu};
    }
    void befriend_signed(const Address& from = kPeer) {
        say_signed(hello(), from);
        const auto asked = sent_to<ChallengeRequest>(from);
        REQUIRE_FALSE(asked.empty());
        say_privately({ChallengeReply{asked.back().nonce}, counter(++pc)}, from);
        say_signed(hello(), from);
        REQUIRE(neighbour(from));
        REQUIRE(neighbour(from)->reachable);
    }
    Tlv update() const { return Update{.encoding = Encoding::v6, .interval = {400}, .metric = kInfinity}; }

    std::vector<MacKey> keys;
    std::uint32_t pc = 100;
    SeqNo hello_seqno = 6;
};

// Hello, IHU and a route, in one packet.
std::vector<Tlv> with_route(std::vector<Tlv> body, Metric metric = 100) {
    Update update{
        .encoding = Encoding::v6,
        .length = 16,
        .interval = Interval::of(4s),
        .seqno = 1,
        .metric = metric,
        .octets = {0xfd}};
    body.emplace_back(RouterIdTlv{0xaa});
    body.emplace_back(update);
    return body;
}

}  // namespace

// ---- what comes in ----

TEST_CASE("packets without a right MAC change nothing and are answered by nothing") {
    Locked desk;
    std::vector<Tlv> body = with_route(desk.hello());
    body.emplace_back(AckRequest{1, {20}});
    body.emplace_back(RouteRequest{});
    body.emplace_back(ChallengeRequest{{1}});
    body.emplace_back(counter(1));
    const auto before = desk.speaker.deadline()->at;
    for (std::uint64_t i = 0; i < 500; ++i) {
        const Address from = kPeer.plus(i);
        desk.say_raw(1, from, authentic_packet(body, from, multicast_group(), {}));
        desk.say_raw(1, from, authentic_packet(body, from, multicast_group(), {hmac_key("guess")}));
    }
    CHECK(desk.sent.empty());
    CHECK(desk.speaker.neighbours().empty());
    CHECK(desk.speaker.deadline()->at == before);
    CHECK(desk.dropped("packet without a MAC") == 500);
    CHECK(desk.dropped("no MAC of a key of ours") == 500);
    CHECK(desk.notes.size() == 2);
}

TEST_CASE("a packet that is challenged changes nothing but that") {
    Locked desk;
    desk.say_signed(with_route(desk.hello()));
    CHECK(desk.speaker.neighbours().empty());
    CHECK(desk.speaker.routes().empty());
    REQUIRE(desk.sent.size() == 1);
    CHECK(desk.sent[0].to == kPeer);
    CHECK(desk.sent_to<ChallengeRequest>(kPeer).size() == 1);
    CHECK(desk.sent[0].events.empty());
}

TEST_CASE("a neighbour that answers the challenge is heard like any other") {
    Locked desk;
    desk.befriend_signed();
    desk.say_signed(with_route(desk.hello()));
    CHECK(desk.forwarding.reaches(to("fd00::/16"), kPeer));
}

TEST_CASE("counters, challenges and MACs in the body of an accepted packet mean nothing to the rest") {
    Locked desk;
    desk.befriend_signed();
    std::vector<Tlv> body = with_route(desk.hello());
    body.insert(body.begin(), ChallengeReply{{7}});
    body.insert(body.begin(), MacTlv{base::Bytes(32, 1)});
    body.insert(body.begin(), counter(desk.pc + 1));
    desk.say_signed(body);
    CHECK(desk.forwarding.reaches(to("fd00::/16"), kPeer));
    CHECK(desk.dropped("reply to no challenge of ours") == 1);
}

TEST_CASE("on an interface without keys, authenticated packets are heard as if they were not") {
    Desk desk;
    desk.plug(1, Desk::link());
    Locked other;
    for (int i = 0; i < 2; ++i) desk.say_raw(1, kPeer, other.packet(with_route(other.hello())));
    CHECK(desk.forwarding.reaches(to("fd00::/16"), kPeer));
    for (const Sent& s : desk.sent) CHECK(all_of<PacketCounter>(tlvs_of(s.bytes)).empty());
}

TEST_CASE("nothing that was heard once can be replayed, neither at once nor after the neighbour is gone") {
    Locked desk;
    std::vector<base::Bytes> recorded;
    desk.befriend_signed();
    for (int i = 0; i < 5; ++i) {
        recorded.push_back(desk.packet(with_route(desk.hello(), static_cast<Metric>(100 + i))));
        desk.say_raw(1, kPeer, recorded.back());
        desk.pass(1s);
    }
    CHECK(desk.route(to("fd00::/16"), kPeer)->received_metric == 104);
    for (const base::Bytes& packet : recorded) desk.say_raw(1, kPeer, packet);
    CHECK(desk.route(to("fd00::/16"), kPeer)->received_metric == 104);
    CHECK(desk.dropped("packet counter seen before, or too old") == 5);

    desk.pass(200s);
    REQUIRE(desk.speaker.neighbours().empty());
    for (const base::Bytes& packet : recorded) desk.say_raw(1, kPeer, packet);
    desk.pass(10s);
    CHECK(desk.speaker.neighbours().empty());
    CHECK(desk.speaker.routes().empty());
}

TEST_CASE("a flood of replays is answered by few challenges, and the peers beside it are heard") {
    Locked desk;
    desk.befriend_signed();
    const base::Bytes old = desk.packet(desk.hello(), kOther);
    desk.forget();
    for (int i = 0; i < 10000; ++i) {
        desk.say_raw(1, kOther, old);
        if (i % 100 == 0) desk.pass(100ms);
        if (i % 4000 == 0) desk.say_signed(desk.hello());
    }
    CHECK(desk.sent_to<ChallengeRequest>(kOther).size() <= 10);
    CHECK(desk.neighbour(kPeer)->reachable);
}

TEST_CASE("a flood of challenges is answered every 300 ms") {
    Locked desk;
    desk.befriend_signed();
    desk.forget();
    for (int i = 0; i < 3000; ++i) {
        desk.say_privately({ChallengeRequest{{static_cast<base::Byte>(i)}}, counter(++desk.pc)});
        desk.pass(1ms);
        if (i % 1000 == 0) desk.say_signed(desk.hello());
    }
    CHECK(desk.sent_to<ChallengeReply>(kPeer).size() <= 11);
    CHECK(desk.sent_to<ChallengeReply>(kPeer).size() >= 9);
}

TEST_CASE("a peer whose index changed is asked for what was dropped meanwhile") {
    Locked desk;
    desk.befriend_signed();
    desk.pass(1s);
    desk.forget();
    const auto with_index = [&](const Tlv& tlv, std::uint32_t pc) {
        desk.say_privately({tlv, counter(pc, kIndex2)});
    };
    with_index(Hello{.seqno = 20, .interval = {400}}, 1);
    CHECK(desk.sent_to<RouteRequest>(kPeer).empty());
    with_index(ChallengeReply{desk.sent_to<ChallengeRequest>(kPeer).at(0).nonce}, 2);
    CHECK(desk.sent_to<RouteRequest>(kPeer).size() == 1);
}

TEST_CASE("a challenge is answered before anything else, and then what the peer did not hear is said again") {
    Locked desk;
    desk.speaker.announce(to("fd01::/64"), 0, desk.now, desk.actions);
    desk.befriend_signed();
    desk.pass(5s);
    desk.say_signed(desk.hello());
    desk.forget();
    desk.say_privately({ChallengeRequest{{1, 2, 3}}, counter(++desk.pc)});
    desk.pass(100ms);
    REQUIRE(desk.sent.size() >= 3);
    CHECK(all_of<ChallengeReply>(tlvs_of(desk.sent[0].bytes)) == std::vector{ChallengeReply{{1, 2, 3}}});
    CHECK(desk.sent[0].to == kPeer);
    CHECK_FALSE(desk.said<Hello>(1).empty());
    CHECK_FALSE(desk.said<Ihu>(1).empty());
    CHECK(desk.announced(1, to("fd01::/64")));
}

// ---- what goes out ----

TEST_CASE("everything sent is signed, within the size of the interface, with growing counters of one index") {
    MacKey second = blake_key();
    for (const auto& list :
         {std::vector{hmac_key()}, {second}, {hmac_key(), second}, std::vector(8, hmac_key())}) {
        Locked desk(list);
        desk.befriend_signed();
        for (int i = 0; i < 300; ++i) {
            const std::string prefix = "fd00:" + std::to_string(i) + "::/64";
            desk.speaker.announce(to(prefix.c_str()), 0, desk.now, desk.actions);
        }
        desk.forget();
        desk.pass(20s);
        std::optional<PacketCounter> last;
        std::size_t largest = 0;
        for (const Sent& s : desk.sent) {
            const auto tlvs = tlvs_of(s.bytes);
            const auto counters = all_of<PacketCounter>(tlvs);
            REQUIRE(counters.size() == 1);
            CHECK(all_of<MacTlv>(tlvs).size() == list.size());
            if (last) CHECK(counters[0].pc > last->pc);
            if (last) CHECK(counters[0].index == last->index);
            last = counters[0];
            largest = std::max(largest, s.bytes.size());
        }
        CHECK(largest > 1400);
        CHECK(largest <= 1452);
    }
}

TEST_CASE("what is sent leaves from the address that it is signed for, and is authentic to a peer") {
    base::Random random = base::Random::from_number(3);
    Speaker speaker({.router_id = kUs, .seqno = 10}, random);
    Actions actions;
    speaker.add_interface(1, locked({hmac_key()}), Instant(1s), actions);
    base::Random chance = base::Random::from_number(4);
    MacLink peer({{hmac_key()}}, 4, chance);
    std::size_t count = 0;
    for (const Action& action : actions) {
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) continue;
        ++count;
        CHECK(send->from == kUsLocal);
        const auto verdict =
            peer.judge({.bytes = send->bytes, .from = send->from, .to = send->to}, false, Instant(1s));
        CHECK(verdict.refused == MacDrop::unproven);
    }
    CHECK(count > 0);
}

TEST_CASE("a stop is signed too") {
    Locked desk;
    desk.befriend_signed();
    desk.forget();
    Actions last;
    desk.speaker.stop(desk.now, last);
    std::size_t count = 0;
    for (const Action& action : last) {
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) continue;
        ++count;
        CHECK(all_of<MacTlv>(tlvs_of(send->bytes)).size() == 1);
    }
    CHECK(count == 2);
}

// ---- keys that change ----

TEST_CASE("keys are given, changed and taken while an interface runs, and neighbours stay") {
    Locked desk;
    desk.befriend_signed();
    desk.say_signed(with_route(desk.hello()));
    const auto hears = [&](Metric metric) {
        desk.say_signed(with_route(desk.hello(), metric));
        return desk.route(to("fd00::/16"), kPeer)->received_metric == metric;
    };
    const auto use = [&](const std::vector<MacKey>& ours, const std::vector<MacKey>& theirs) {
        desk.speaker.set_mac(1, {ours}, desk.now, desk.actions);
        desk.keys = theirs;
    };
    CHECK(hears(101));
    use({hmac_key(), blake_key()}, {hmac_key()});
    CHECK(hears(102));
    use({hmac_key(), blake_key()}, {blake_key()});
    CHECK(hears(103));
    use({blake_key()}, {hmac_key()});
    CHECK_FALSE(hears(104));
    use({}, {});
    CHECK(hears(105));
    CHECK(desk.neighbour(kPeer)->reachable);
    desk.forget();
    desk.pass(5s);
    for (const Sent& s : desk.sent) CHECK(all_of<PacketCounter>(tlvs_of(s.bytes)).empty());
}

TEST_CASE("where any packet is accepted, what is not authentic is counted and heard") {
    Locked desk;
    desk.speaker.set_mac(1, {{hmac_key()}, true}, desk.now, desk.actions);
    for (int i = 0; i < 2; ++i) desk.say(1, kPeer, with_route(desk.hello()));
    CHECK(desk.forwarding.reaches(to("fd00::/16"), kPeer));
    CHECK(desk.dropped("not authentic, but accepted as configured") == 2);
    for (const Sent& s : desk.sent) CHECK(all_of<MacTlv>(tlvs_of(s.bytes)).size() == 1);
}

// ---- networks ----

TEST_CASE("a line of ten with keys is whole within a second, with the intervals of the original") {
    for (const auto& key : {hmac_key(), blake_key()}) {
        Mesh mesh(1);
        mesh.config.mac.keys = {key};
        line(mesh, 10, 1ms);
        const Duration took = mesh.run_until_whole(10s);
        CAPTURE(base::milliseconds(took));
        CHECK(took <= 1s);
    }
}

TEST_CASE("over slow and lossy links most neighbours with keys find each other long before the next Hello") {
    for (const auto& [delay, loss, limit] :
         {std::tuple(Duration(200ms), 0u, Duration(3s)),
          std::tuple(Duration(700ms), 0u, Duration(12s)),
          std::tuple(Duration(5ms), 20u, Duration(3s))}) {
        std::vector<Duration> took;
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            Mesh mesh(seed);
            mesh.config.mac.keys = {hmac_key()};  // Hellos every 20 s
            mesh.lose(loss);
            line(mesh, 2, delay);
            took.push_back(mesh.run_until_whole(60s));
        }
        std::sort(took.begin(), took.end());
        CAPTURE(base::milliseconds(delay), loss, base::milliseconds(took[15]));
        CHECK(took[15] <= limit);
    }
}

TEST_CASE("on a slow link that reorders, Hellos that answer Hellos do not become a storm") {
    for (const auto& list : {std::vector<MacKey>(), {hmac_key()}}) {
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            Mesh mesh(seed);
            mesh.config.mac.keys = list;
            line(mesh, 2, 200ms);
            CAPTURE(seed, list.size());
            CHECK(mesh.run_until_whole(60s) < 6s);
            mesh.run(20s);
            const std::size_t before = mesh.packets();
            mesh.run(60s);
            CHECK(mesh.packets() - before < 100);
        }
    }
}

TEST_CASE("nodes with keys that restart without a word are reached again within seconds") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        Mesh mesh(seed);
        mesh.config = four_seconds({hmac_key()});
        ring(mesh, 4);
        mesh.run(30s);
        mesh.restart(2, false);
        const Duration took = mesh.run_until_whole(60s);
        CAPTURE(seed, base::milliseconds(took));
        CHECK(took <= 5s);
    }
}

TEST_CASE("keys roll over node by node without a route being lost for a moment, also with loss") {
    for (const unsigned loss : {0u, 20u}) {
        Mesh mesh(7);
        mesh.config = four_seconds({hmac_key("the old one")});
        line(mesh, 5, 2ms);
        mesh.connect(4, 0);
        mesh.run(40s);
        REQUIRE(mesh.whole());
        mesh.lose(loss);
        MacKey old_key = hmac_key("the old one"), new_key = blake_key(), accept_new = blake_key();
        accept_new.signs = false;
        const auto roll = [&](const std::vector<MacKey>& list) {
            for (std::size_t id = 0; id < mesh.size(); ++id) {
                mesh.set_mac(id, {list});
                for (int i = 0; i < 50; ++i) {
                    mesh.run(100ms);
                    if (loss == 0) CHECK(mesh.whole());
                }
            }
        };
        roll({old_key, accept_new});
        roll({old_key, new_key});
        roll({new_key});
        mesh.lose(0);
        mesh.run(60s);
        CHECK(mesh.whole());
    }
}

TEST_CASE("a network is given keys while it runs: signing first, then refusing what is not signed") {
    Mesh mesh(8);
    mesh.config = four_seconds({});
    line(mesh, 5, 2ms);
    mesh.run(40s);
    REQUIRE(mesh.whole());
    for (const bool permissive : {true, false}) {
        for (std::size_t id = 0; id < mesh.size(); ++id) {
            mesh.set_mac(id, {{hmac_key()}, permissive});
            for (int i = 0; i < 50; ++i) {
                mesh.run(100ms);
                CHECK(mesh.whole());
            }
        }
    }
}

TEST_CASE("random graphs with keys, loss, cuts and restarts never loop and are whole after quiet") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        base::Random random = base::Random::from_number(seed * 104729);
        Mesh mesh(seed);
        mesh.config = four_seconds(seed % 2 == 0 ? std::vector{hmac_key()} : std::vector{blake_key()});
        const std::size_t count = 4 + random.below(6);
        line(mesh, count, 2ms);
        mesh.connect(count - 1, 0);
        mesh.lose(static_cast<unsigned>(random.below(30)));
        for (int i = 0; i < 8; ++i) {
            const std::size_t a = random.below(count - 1);
            if (random.below(3) == 0)
                mesh.cut(a, a + 1);
            else if (random.below(2) == 0)
                mesh.restore(a, a + 1);
            else
                mesh.restart(a, true);
            mesh.run(random.between(10ms, 10s));
        }
        mesh.lose(0);
        for (std::size_t i = 0; i + 1 < count; ++i) mesh.restore(i, i + 1);
        mesh.run(60s);
        CHECK(mesh.whole());
    }
}
