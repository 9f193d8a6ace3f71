// What a handshake costs, and what a peer: two engines in one process with nothing between them, against the
// crypto that no implementation can leave out, measured in the same run. Figures, printed; see
// bench/ike-scale.

#include "ike/crypto.hpp"
#include "ike/engine.hpp"
#include "measure.hpp"

#include <catch2/catch.hpp>

#include <sodium.h>

#include <cstdio>
#include <deque>
#include <map>

using namespace aronet;
using namespace aronet::ike;
using namespace std::chrono_literals;

namespace {

// Of one side: an ephemeral key, its half of X25519, one signature, one verification.
double crypto_floor(int rounds) {
    std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> identity{};
    std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret{};
    crypto_sign_keypair(identity.data(), secret.data());
    std::array<unsigned char, 32> own{}, scalar{}, shared{};
    std::array<unsigned char, crypto_sign_BYTES> signature{};
    std::array<unsigned char, 600> octets{};  // about what AUTH covers
    const double start = cpu_seconds();
    for (int i = 0; i < rounds; ++i) {
        randombytes_buf(scalar.data(), scalar.size());
        crypto_scalarmult_base(own.data(), scalar.data());
        REQUIRE(crypto_scalarmult(shared.data(), scalar.data(), own.data()) == 0);
        crypto_sign_detached(signature.data(), nullptr, octets.data(), octets.size(), secret.data());
        REQUIRE(
            crypto_sign_verify_detached(signature.data(), octets.data(), octets.size(), identity.data()) == 0
        );
    }
    return (cpu_seconds() - start) / rounds;
}

struct Side {
    Side(unsigned number, const base::Secret& key)
        : endpoint{*base::Address::parse("192.0.2." + std::to_string(number)), 12025},
          random(base::Random::from_number(number)) {
        EngineConfig config;
        config.private_key = key.copy();
        config.dpd_interval = 0s;
        config.cookie_threshold = config.half_open_max = 1 << 16;
        config.cookie_threshold_per_source = config.half_open_max_per_source = 1 << 16;
        config.concurrent_per_endpoint = 64;
        engine = std::make_unique<Engine>(std::move(config), random);
    }

    Endpoint endpoint;
    base::Random random;
    std::unique_ptr<Engine> engine;
    Actions actions;
    std::map<ChildId, bool> children;  // whether traffic would leave on it
};

class Pair {
public:
    explicit Pair(std::size_t peers) {
        for (PeerId id = 1; id <= peers; ++id) {
            connect(b, peer(id, "b", "a", a, false));
            connect(a, peer(id, "a", "b", b, true));
        }
    }

    // Until everybody has a tunnel.
    void run(std::size_t peers) {
        while (up() < 2 * peers && now.time_since_epoch() < 60s) {
            now += 1ms;
            for (Side* side : {&a, &b}) {
                if (const auto due = side->engine->deadline(); due && due->at <= now)
                    side->engine->tick(now, side->actions);
                obey(*side);
            }
            deliver();
        }
    }

    std::size_t up() const {
        std::size_t count = 0;
        for (const Side* side : {&a, &b}) {
            for (const auto& [id, sending] : side->children) count += sending ? 1 : 0;
        }
        return count;
    }

private:
    Peer peer(PeerId id, const char* ours, const char* theirs, const Side& other, bool first) const {
        Peer peer;
        peer.id = id;
        peer.local = {"acme", ours + std::to_string(id), "0", false};
        peer.remote = {"acme", theirs + std::to_string(id), "0", false};
        peer.remote_keys = {everybody};
        if (first) peer.remote_endpoint = other.endpoint;
        peer.initiate_first = first;
        peer.if_id = peer.reqid = id;
        return peer;
    }

    void connect(Side& side, const Peer& peer) {
        side.engine->connect(peer, now, side.actions);
        obey(side);
    }

    void deliver() {
        for (; !wire.empty(); wire.pop_front()) {
            const Send& send = wire.front();
            Side& to = send.to == a.endpoint ? a : b;
            Side& from = send.to == a.endpoint ? b : a;
            to.engine->handle({send.bytes, from.endpoint, to.endpoint}, now, to.actions);
            obey(to);
        }
    }

    void obey(Side& side) {
        while (!side.actions.empty()) {
            for (Action& action : std::exchange(side.actions, {})) {
                if (auto* send = std::get_if<Send>(&action)) {
                    wire.push_back(std::move(*send));
                } else if (const auto* child = std::get_if<ChildUp>(&action)) {
                    side.children[child->child] = false;
                    side.engine->installed(child->child, now, side.actions);
                } else if (const auto* chosen = std::get_if<Switch>(&action)) {
                    side.children[chosen->child] = true;
                }
            }
        }
    }

    base::Secret key = base::Secret(32);
    PublicKey everybody = public_key_of(key);

public:
    Instant now{};
    Side a{1, key}, b{2, key};
    std::deque<Send> wire;
};

}  // namespace

TEST_CASE("what a handshake and a peer cost", "[handshake]") {
    Pair(10).run(10);  // both are measured warm
    std::map<std::size_t, double> cost;
    for (const std::size_t peers : {10u, 100u, 500u, 2000u}) {
        const double before = crypto_floor(1000);
        const double memory = megabytes(), start = cpu_seconds();
        Pair pair(peers);
        pair.run(peers);
        cost[peers] = (cpu_seconds() - start) / double(2 * peers);
        CHECK(pair.up() == 2 * peers);
        // A machine's speed changes within seconds: the floor is that of the same moment.
        const double floor = (before + crypto_floor(1000)) / 2;
        std::printf(
            "%4zu peers: %.3f ms a handshake and side, %.2f of the crypto alone (%.3f ms); %.0f bytes a peer "
            "and side\n",
            peers,
            cost[peers] * 1e3,
            cost[peers] / floor,
            floor * 1e3,
            (megabytes() - memory) * 1e6 / double(2 * peers)
        );
    }
    std::printf("growth from 10 to 2000 peers: n^%.2f\n", exponent(cost[10], cost[2000], 10, 2000));
}
