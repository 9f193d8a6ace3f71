// A peer that lost all it had and comes back with new SPIs is recognised within one round trip of its first
// message: counted in virtual time, with equal delays both ways and data planes that install at once.
//
// The first message on a new SPI, a request or an answer to IKE_SA_INIT, proves nothing: anybody could send
// it. So what can be believed comes a round trip later, after our next message: the IKE_AUTH of the peer, a
// request or an answer. With this one the traffic has to go over to the new SA. Where a cookie is asked for,
// the request that brings it back counts as the first: what came before had no return address.

#include "dialogue.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// When the first message of `side` on a new SPI arrived, and its first protected one.
struct Arrivals {
    std::optional<Instant> first, authenticated;
};

void watch(Dialogue& d, const Side& side, bool cookies, Arrivals& seen) {
    const bool of_a = &side == &d.a;
    d.fate = [&d, &seen, of_a, cookies, skipped = false](const Passing& message) mutable {
        if (message.by_a != of_a) return Fate::arrives;
        if (message.exchange() == kInit && !seen.first) {
            if (!cookies || std::exchange(skipped, true)) seen.first = d.now + d.delay;
        }
        if (message.exchange() == kAuth && !seen.authenticated) seen.authenticated = d.now + d.delay;
        return Fate::arrives;
    };
}

// An SA of our own making that is younger than ten seconds may have crossed the INITIAL_CONTACT, and is asked
// before it is closed (docs/ike.md: duplicates); the traffic does not wait for that.
void comes_back(Dialogue& d, bool a_restarts, bool cookies, bool young) {
    d.both_connect().advance(4s).expect_tunnel();
    if (!young) d.advance(7s + std::chrono::milliseconds(d.a.random->below(12000)));  // probes are anywhere
    Side& gone = a_restarts ? d.a : d.b;
    const Side& stays = a_restarts ? d.b : d.a;
    const ChildId old = *stays.sending;
    Arrivals seen;
    watch(d, gone, cookies, seen);
    d.restart(gone, d.a.random->u64());
    d.advance_until(5s, [&] {  // at every moment it sends on the old one or on the new one
        CHECK(stays.sending.has_value());
        return stays.sending != old;
    });
    REQUIRE(seen.first.has_value());
    CHECK(d.now == seen.authenticated);
    CHECK(d.now == *seen.first + 2 * d.delay);
    if (!young) {
        CHECK_FALSE(stays.children.contains(old));
        CHECK(stays.children.size() == 1);
    }
    d.advance(d.delay);  // its answer is there
    CHECK(d.tunnel());
    d.fate = {};
    d.advance(40s).expect_tunnel();
}

}  // namespace

TEST_CASE("C17, row 43: traffic to a peer that restarted goes over a round trip after its first message") {
    for (const Duration delay : std::initializer_list<Duration>{1ms, 10ms, 150ms}) {
        for (unsigned bits = 0; bits < 8; ++bits) {
            const bool a_restarts = (bits & 1) != 0, cookies = (bits & 2) != 0, young = (bits & 4) != 0;
            for (std::uint64_t seed = 1; seed <= 10; ++seed) {
                CAPTURE(delay / 1ms, a_restarts, cookies, young, seed);
                EngineConfig config;
                if (cookies) config.cookie_threshold = 0;
                Dialogue d(seed, copy(config), copy(config));
                d.delay = delay;
                comes_back(d, a_restarts, cookies, young);
            }
        }
    }
}

// It only answers: on what it lost we ask, learn of that (INVALID_IKE_SPI, which proves nothing either) and
// begin anew. Its first message on a new SPI is its answer to IKE_SA_INIT.
TEST_CASE(
    "C17, row 43: traffic to a restarted peer that cannot initiate goes over a round trip after its answer"
) {
    for (const Duration delay : std::initializer_list<Duration>{1ms, 10ms, 150ms}) {
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            CAPTURE(delay / 1ms, seed);
            Dialogue d(seed);
            d.delay = delay;
            d.a_unknown = true;
            d.both_connect().advance(4s).expect_tunnel();
            d.advance(std::chrono::milliseconds(d.a.random->below(12000)));
            const ChildId old = *d.a.sending;
            Arrivals seen;
            watch(d, d.b, false, seen);
            d.restart(d.b, 500 + seed);
            d.advance_until(40s, [&] { return d.a.sending != old; });
            REQUIRE(seen.first.has_value());
            CHECK(d.now == seen.authenticated);
            CHECK(d.now == *seen.first + 2 * delay);
            d.advance(delay);
            CHECK(d.tunnel());
            d.fate = {};
            d.advance(30s).expect_tunnel();
        }
    }
}
