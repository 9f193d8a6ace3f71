// Fragments on the wire (RFC 7383): what we send where a message is too large for a datagram, and what others
// may send us.

#include "ike/fragments.hpp"

#include "stranger.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint8_t kSkf = 53;

EngineConfig of_size(std::size_t size) {
    EngineConfig config = without_dpd();
    config.fragment_size = size;
    return config;
}

bool in_fragments(const Passing& message) { return message.at(16) == kSkf; }

// A stranger with an established SA, who speaks in fragments.
struct Settled : Awaiting {
    Settled() : Awaiting(without_dpd()) { REQUIRE(stranger.establish()); }

    std::vector<Bytes> fragments(std::size_t size, std::size_t content = 900) {
        return stranger.seal_fragments(
            ExchangeType::informational, {make_notify(40000, Bytes(content, 1))}, stranger.next_id, size
        );
    }
    bool silent(const Bytes& fragment) { return stranger.deliver(fragment).empty(); }
    bool answered(const Bytes& fragment) {
        const auto answer = stranger.open_answer(stranger.deliver(fragment));
        stranger.next_id += answer ? 1 : 0;
        return answer && answer->find_error() == nullptr;
    }
    // All of them but the last one change nothing, and the last is answered.
    bool answered_at_last(const std::vector<Bytes>& all) {
        return std::all_of(all.begin(), all.end() - 1, [&](const Bytes& each) { return silent(each); }) &&
               answered(all.back());
    }
};

}  // namespace

TEST_CASE("large messages go in datagrams of the configured size, small ones and IKE_SA_INIT go whole") {
    for (const char* family : {"192.0.2.", "2001:db8::"}) {
        Dialogue d(1, of_size(300), of_size(300));
        const std::size_t headers = *family == '1' ? 28 : 48;
        for (Side* side : {&d.a, &d.b})
            side->endpoint.address = *Address::parse(std::string(family) + (side == &d.a ? "1" : "2"));
        for (Side* side : {&d.a, &d.b}) {
            Peer peer = side == &d.a ? d.peer_of_a() : d.peer_of_b();
            peer.family = side->endpoint.address.family();
            d.call(*side, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
        }
        d.advance(5s).expect_tunnel();
        std::size_t fragments = 0;
        for (const Passing& message : d.sent) {
            CHECK(in_fragments(message) <= (message.exchange() == kAuth));
            if (message.exchange() != kInit) CHECK(headers + message.bytes.size() <= 300);
            fragments += in_fragments(message) ? 1 : 0;
        }
        CHECK(fragments >= 4);
    }
}

TEST_CASE("no datagram is larger than configured, also where it is a matter of single octets") {
    const auto largest = [](std::size_t size) {
        Dialogue d(1, of_size(size), of_size(size));
        d.both_connect().advance(1s).expect_tunnel();
        std::size_t most = 0;
        for (const Passing& message : d.sent) {
            if (message.exchange() == kAuth) most = std::max(most, 28 + message.bytes.size());
        }
        return most;
    };
    const std::size_t whole = largest(1280);
    CHECK(largest(whole) == whole);
    for (std::size_t size = whole - 20; size < whole; ++size) CHECK(largest(size) <= size);
}

TEST_CASE("with datagrams of the default size nothing of ours is in fragments") {
    Dialogue d;
    d.both_connect().advance(5s).expect_tunnel();
    CHECK(std::none_of(d.sent.begin(), d.sent.end(), in_fragments));
}

TEST_CASE("a tunnel comes up in fragments, whichever of them is lost, doubled or late") {
    for_each_fault([](Dialogue& d) { d.both_connect().advance(12s).expect_tunnel(); }, 1, of_size(300));
}

TEST_CASE("a tunnel comes up in fragments that arrive in another order, doubled, at a third of loss") {
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        Dialogue d(seed, of_size(300), of_size(300));
        base::Random luck = base::Random::from_number(seed);
        d.fate = [&](const Passing&) {
            constexpr std::array fates{
                Fate::lost, Fate::lost, Fate::doubled, Fate::late, Fate::arrives, Fate::arrives};
            return fates[luck.u32() % fates.size()];
        };
        d.both_connect().advance_until(120s, [&] { return d.tunnel(); });
        CHECK(d.tunnel());
    }
}

TEST_CASE("a message that is repeated in fragments consists of the very same datagrams") {
    Dialogue d(1, of_size(300), of_size(300));
    d.fate = [&](const Passing& message) {
        return !message.by_a && message.exchange() == kAuth ? Fate::lost : Fate::arrives;
    };
    d.both_connect().advance_until(20s, [&] { return d.count(kAuth, true) >= 12; });
    for (const bool by_a : {true, false}) {
        std::multiset<Bytes> said;
        for (const Passing& message : d.sent) {
            if (message.exchange() == kAuth && message.by_a == by_a) said.insert(message.bytes);
        }
        const std::set<Bytes> once(said.begin(), said.end());
        CHECK(once.size() >= 2);
        CHECK(said.size() >= 2 * once.size());
        for (const Bytes& each : once) CHECK(said.count(each) * once.size() == said.size());
    }
}

TEST_CASE("a peer that announced no fragments gets none, and hears of none") {
    Dialogue d(1, {}, of_size(300));
    Peer peer = d.peer_of_b();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    Stranger s(d);
    auto payloads = s.init_payloads();
    std::erase(payloads, Payload{make_notify(notify::fragmentation_supported)});
    REQUIRE(s.init(payloads));
    const auto said = decode(*parse(s.init_response));
    REQUIRE(said.has_value());
    CHECK(said->find_notify(notify::fragmentation_supported) == nullptr);
    REQUIRE(s.request(ExchangeType::ike_auth, s.auth_payloads()));
    CHECK_FALSE(in_fragments(d.sent.back()));
}

TEST_CASE("A6, row 47: fragments of no sense or without integrity are dropped and spoil nothing") {
    Settled t;
    const auto good = t.fragments(300);
    REQUIRE(good.size() > 3);
    CHECK(t.silent(good[0]));
    const auto changed = [&](std::size_t at, std::uint8_t value) {
        Bytes bytes = good[1];
        bytes[at] = value;
        return bytes;
    };
    const std::uint64_t before = t.d.b.drops("bad fragment");
    CHECK(t.silent(changed(33, 0)));    // number 0
    CHECK(t.silent(changed(33, 200)));  // beyond the total
    CHECK(t.silent(changed(35, 0)));    // total 0
    CHECK(t.silent(changed(34, 255)));  // total 65,280 and more
    CHECK(t.silent(changed(35, 2)));    // fewer than the one before had
    CHECK(t.d.b.drops("bad fragment") == before + 5);
    CHECK(t.silent(changed(35, 60)));  // more, but that is not what was sealed
    CHECK(t.silent(changed(80, static_cast<std::uint8_t>(good[1][80] ^ 1))));
    CHECK(t.d.b.drops("integrity check failed") == 2);
    CHECK(t.answered_at_last({good.begin() + 1, good.end()}));
}

TEST_CASE("A6, row 47: of two sets of one message the finer one counts") {
    Settled t;
    const auto coarse = t.fragments(500), fine = t.fragments(300);
    REQUIRE(fine.size() > coarse.size());
    CHECK(t.silent(coarse[0]));
    CHECK(t.silent(fine[0]));
    for (std::size_t i = 0; i < coarse.size(); ++i) CHECK(t.silent(coarse[i]));
    CHECK(t.answered_at_last({fine.begin() + 1, fine.end()}));
}

TEST_CASE("A6: a message that comes whole after some of its fragments is answered once") {
    Settled t;
    const auto fragments = t.fragments(300);
    CHECK(t.silent(fragments[0]));
    const std::vector<Payload> payloads{make_notify(40000, Bytes(900, 1))};
    CHECK(t.answered(t.stranger.seal_request(ExchangeType::informational, payloads, t.stranger.next_id)));
    for (const Bytes& each : fragments) CHECK(t.silent(each));
    CHECK(t.answered_at_last(t.fragments(300)));
}

TEST_CASE("A6, row 47: a message in more fragments or octets than anybody needs is never put together") {
    Settled t;
    for (const Bytes& each : t.fragments(300, 60000)) CHECK(t.silent(each));   // some 250
    for (const Bytes& each : t.fragments(1400, 60000)) CHECK(t.silent(each));  // 44
    CHECK(t.d.b.drops("bad fragment") > 200);
    t.d.advance(31s);
    CHECK(t.answered_at_last(t.fragments(300)));
}

TEST_CASE("an incomplete message is forgotten after half a minute") {
    Settled t;
    const auto fragments = t.fragments(300);
    for (std::size_t i = 1; i < fragments.size(); ++i) CHECK(t.silent(fragments[i]));
    t.d.advance(31s);
    CHECK(t.answered_at_last(fragments));
}

TEST_CASE("malformed content is told INVALID_SYNTAX however it came") {
    Settled t;
    const auto fragments = t.stranger.seal_fragments(
        ExchangeType::informational,
        {make_notify(40000, Bytes(900, 1)), OpaquePayload{41, false, {1}}},
        t.stranger.next_id,
        300
    );
    for (std::size_t i = 0; i + 1 < fragments.size(); ++i) CHECK(t.silent(fragments[i]));
    const auto answer = t.stranger.open_answer(t.stranger.deliver(fragments.back()));
    REQUIRE(answer.has_value());
    CHECK(answer->find_notify(notify::invalid_syntax) != nullptr);
    CHECK(t.d.b.children.empty());
}
