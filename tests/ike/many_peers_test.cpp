// One engine with a thousand peers, on a wire with a delay and nothing else. What takes no virtual time shows
// who waits for whom.

#include "ike/engine.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>

using namespace aronet;
using namespace aronet::ike;
using namespace std::chrono_literals;

namespace {

constexpr Duration kDelay = 10ms;

base::Secret seed_of(std::size_t host) {
    base::Secret seed(32);
    base::Random::from_number(7000 + host).fill(seed.mutable_view());
    return seed;
}

// Host 0 is the hub, and has a tunnel with each other.
class Star {
public:
    explicit Star(std::size_t count) : hosts_(count) {
        for (std::size_t i = 0; i < count; ++i) {
            Host& host = hosts_[i];
            host.random.reset(new base::Random(base::Random::from_number(i + 1)));
            EngineConfig config;
            config.private_key = seed_of(i);
            host.engine = std::make_unique<Engine>(std::move(config), *host.random);
            by_address_[endpoint(i)] = i;
        }
        for (std::size_t i = 1; i < count; ++i) connect(0, i), connect(i, 0);
    }

    void advance(Duration time) {
        const Instant end = now_ + time;
        while (!due_.empty() && due_.begin()->first <= end) {
            now_ = due_.begin()->first;
            const std::size_t index = due_.begin()->second;
            act(index, [&](Host& host) { host.engine->tick(now_, host.actions); });
            arrive();
        }
        now_ = end;
    }
    void rekey(std::size_t peer) {
        const ChildId child = hosts_[0].sending.at(peer);
        act(0, [&](Host& host) { host.engine->rekey(child, now_, host.actions); });
    }
    void renew(std::size_t peer) {
        act(0, [&](Host& host) { host.engine->renew(PeerId(peer), now_, host.actions); });
    }
    std::set<std::size_t> up() const {
        std::set<std::size_t> all;
        for (const PeerView& peer : hosts_[0].engine->peers()) {
            if (peer.state == PeerState::established && hosts_[0].sending.contains(peer.id))
                all.insert(peer.id);
        }
        return all;
    }
    ChildId child(std::size_t peer) const { return hosts_[0].sending.at(peer); }
    std::uint64_t rekeyings(std::size_t peer) const {
        for (const PeerView& each : hosts_[0].engine->peers()) {
            if (each.id == peer) return each.rekeyings;
        }
        return 0;
    }

    std::size_t slow = 0;  // it hears, and is not heard

private:
    struct Host {
        std::unique_ptr<base::Random> random;
        std::unique_ptr<Engine> engine;
        Actions actions;
        std::map<std::size_t, ChildId> sending;
        std::optional<Instant> deadline;
    };
    struct Flight {
        Endpoint from, to;
        base::Bytes bytes;
    };
    static constexpr std::size_t kWire = ~std::size_t(0);  // what is due is a datagram

    static Endpoint endpoint(std::size_t index) { return {Address::parse("10.0.0.1")->plus(index), 12025}; }
    void connect(std::size_t on, std::size_t other) {
        const auto identity = [](std::size_t host) {
            return Identity{"acme", "node" + std::to_string(host), "0", false};
        };
        Peer peer;
        peer.id = PeerId(other);
        peer.local = identity(on);
        peer.remote = identity(other);
        peer.remote_keys = {public_key_of(seed_of(other))};
        peer.remote_endpoint = endpoint(other);
        peer.initiate_first = on == 0;
        act(on, [&](Host& host) { host.engine->connect(peer, now_, host.actions); });
    }
    template <class What>
    void act(std::size_t index, const What& what) {
        if (index == kWire) return;
        Host& host = hosts_[index];
        what(host);
        while (!host.actions.empty()) {
            for (const Action& action : std::exchange(host.actions, {})) obey(index, action);
        }
        if (host.deadline) due_.erase({*host.deadline, index});
        const auto deadline = host.engine->deadline();
        host.deadline = deadline ? std::optional(deadline->at) : std::nullopt;
        if (host.deadline) due_.insert({*host.deadline, index});
    }
    void obey(std::size_t index, const Action& action) {
        Host& host = hosts_[index];
        if (const auto* send = std::get_if<Send>(&action)) {
            if (index != 0 && index == slow) return;
            flights_.emplace(now_ + kDelay, Flight{endpoint(index), send->to, send->bytes});
            due_.insert({now_ + kDelay, kWire});
        } else if (const auto* up = std::get_if<ChildUp>(&action)) {
            host.engine->installed(up->child, now_, host.actions);
        } else if (const auto* chosen = std::get_if<Switch>(&action)) {
            host.sending[chosen->peer] = chosen->child;
        } else if (const auto* down = std::get_if<ChildDown>(&action)) {
            if (host.sending[down->peer] == down->child) host.sending.erase(down->peer);
        }
    }
    void arrive() {
        due_.erase({now_, kWire});
        while (!flights_.empty() && flights_.begin()->first <= now_) {
            const Flight flight = flights_.extract(flights_.begin()).mapped();
            const Datagram datagram{flight.bytes, flight.from, flight.to};
            act(by_address_.at(flight.to),
                [&](Host& host) { host.engine->handle(datagram, now_, host.actions); });
        }
    }

    Instant now_{};
    std::vector<Host> hosts_;
    std::map<Endpoint, std::size_t> by_address_;
    std::multimap<Instant, Flight> flights_;
    std::set<std::pair<Instant, std::size_t>> due_;
};

constexpr std::size_t kPeers = 1000, kSlow = 500;

}  // namespace

TEST_CASE("row 51: of a thousand peers one does not answer for a minute, and no other waits for it") {
    Star star(kPeers + 1);
    star.slow = kSlow;
    star.advance(1s);
    std::set<std::size_t> others;
    for (std::size_t i = 1; i <= kPeers; ++i) {
        if (i != kSlow) others.insert(others.end(), i);
    }
    CHECK(star.up() == others);  // its start holds up no other start
    star.slow = 0;
    star.advance(10s);
    CHECK(star.up().size() == kPeers);

    star.slow = kSlow;
    std::map<std::size_t, ChildId> before;
    star.rekey(kSlow);  // it is asked first, of everything
    star.renew(kSlow);
    for (const std::size_t peer : others) before[peer] = star.child(peer), star.rekey(peer);
    star.advance(1s);
    for (const std::size_t peer : others) star.renew(peer);
    star.advance(1s);
    std::size_t rekeyed = 0;
    for (const std::size_t peer : others)
        rekeyed += star.child(peer) != before[peer] && star.rekeyings(peer) == 1 ? 1 : 0;
    CHECK(rekeyed == kPeers - 1);
    star.advance(58s);
    star.slow = 0;
    star.advance(35s);  // it may have been given up, and is tried again every half minute
    CHECK(star.up().size() == kPeers);
}
