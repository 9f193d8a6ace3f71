// When keys end (docs/ike.md: rekeying): somewhere in the last tenth of their lifetime, drawn anew each time
// by each side, so that all of a mesh do not rekey at once and two peers seldom at the same moment.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr Duration kLifetime = 1000s, kRange = kLifetime / 10;
constexpr std::uint64_t kSeeds = 200;

enum class Kind : std::uint8_t { ike, child };

EngineConfig living(Kind kind, Duration lifetime) {
    EngineConfig config = without_dpd();
    config.ike_lifetime = kind == Kind::ike ? lifetime : 0s;
    config.child_lifetime = kind == Kind::child ? lifetime : 0s;
    return config;
}

// Whatever makes a rekeyed SA the present one.
std::uint64_t present(const Side& side, Kind kind) {
    return kind == Kind::ike ? side.view().spi_i : side.sending.value_or(0);
}

}  // namespace

TEST_CASE("SAs are rekeyed anywhere in the last tenth of their lifetime, each time drawn anew, never later") {
    for (const Kind kind : {Kind::ike, Kind::child}) {
        std::array<unsigned, 10> tenths{};
        unsigned alike = 0;  // twice running the same
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            Dialogue d(seed, living(kind, kLifetime), living(kind, 0s));
            d.both_connect().advance_until(1s, [&] { return d.tunnel(); });
            Duration before{};
            for (std::size_t turn = 1; turn <= 3; ++turn) {
                CAPTURE(kind == Kind::ike, seed, turn);
                const Instant since = d.now;
                const std::uint64_t old = present(d.a, kind);
                d.advance_until(2 * kLifetime, [&] { return d.count(kCreateChild, true) == turn; });
                const Duration age = d.now - since;
                REQUIRE(age >= kLifetime - kRange);
                REQUIRE(age <= kLifetime);
                ++tenths.at(std::min<std::size_t>(9, (age - (kLifetime - kRange)) / (kRange / 10)));
                alike += age == before ? 1 : 0;
                before = age;
                d.advance_until(1s, [&] { return present(d.a, kind) != old; });
            }
        }
        CHECK(alike == 0);
        for (const unsigned count : tenths) {  // 60 each, were they quite even
            CHECK(count >= 30);
            CHECK(count <= 90);
        }
    }
}

TEST_CASE("two peers of one lifetime seldom rekey at the same moment, though each does its share") {
    for (const Kind kind : {Kind::ike, Kind::child}) {
        unsigned by_a = 0, by_b = 0, collisions = 0;
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            Dialogue d(seed, living(kind, kLifetime), living(kind, kLifetime));
            Instant asked_by_a{}, asked_by_b{};
            d.fate = [&](const Passing& message) {
                if (message.exchange() != kCreateChild || message.response()) return Fate::arrives;
                ++(message.by_a ? by_a : by_b);
                (message.by_a ? asked_by_a : asked_by_b) = d.now;
                const Duration apart = asked_by_a - asked_by_b;
                collisions += apart <= d.delay && apart >= -d.delay ? 1 : 0;
                return Fate::arrives;
            };
            d.both_connect().advance(3 * kLifetime).expect_tunnel();
        }
        CAPTURE(kind == Kind::ike, by_a, by_b, collisions);
        CHECK(by_a + by_b >= 3 * kSeeds);
        CHECK(by_a >= kSeeds);
        CHECK(by_b >= kSeeds);
        CHECK(collisions <= 3);  // within 10 ms out of 100 s: one of 5000
    }
}
