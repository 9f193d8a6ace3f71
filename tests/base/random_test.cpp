#include "base/random.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <set>

using namespace aronet::base;

TEST_CASE("equal seeds give equal bytes, other seeds others") {
    Random a = Random::from_number(7), b = Random::from_number(7), c = Random::from_number(8);
    const Bytes bytes = a.bytes(2000);
    CHECK(bytes == b.bytes(2000));
    CHECK(bytes != c.bytes(2000));
}

TEST_CASE("the bytes are the same in pieces of any size as at once") {
    for (const std::size_t piece : {1u, 7u, 479u, 480u, 481u, 1000u}) {
        INFO("pieces of " << piece);
        Random whole = Random::from_number(1), cut = Random::from_number(1);
        Bytes pieces;
        while (pieces.size() < 3000) {
            const Bytes next = cut.bytes(piece);
            pieces.insert(pieces.end(), next.begin(), next.end());
        }
        CHECK(whole.bytes(pieces.size()) == pieces);
    }
}

TEST_CASE("nothing is given out twice") {
    Random random = Random::from_number(1);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 10000; ++i) CHECK(seen.insert(random.u64()).second);
}

TEST_CASE("below is uniform and never reaches its bound") {
    Random random = Random::from_number(2);
    for (const std::uint64_t bound : {1u, 2u, 3u, 7u, 10u}) {
        std::array<unsigned, 10> counts{};
        for (int i = 0; i < 10000; ++i) {
            const std::uint64_t value = random.below(bound);
            REQUIRE(value < bound);
            ++counts.at(value);
        }
        for (std::uint64_t value = 0; value < bound; ++value) {
            INFO(value << " below " << bound);
            CHECK(counts[value] > 10000 / bound * 8 / 10);
        }
    }
    // A bound that 2^64 is no multiple of by far: a plain remainder would favour the lower half two to one.
    unsigned low = 0;
    for (int i = 0; i < 3000; ++i)
        low += random.below(std::uint64_t{3} << 62) < (std::uint64_t{3} << 61) ? 1 : 0;
    CHECK(low > 1350);
    CHECK(low < 1650);
}

TEST_CASE("a duration between two is between them, both included") {
    Random random = Random::from_number(3);
    std::set<Duration> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(random.between(Duration(3), Duration(6)));
    CHECK(seen == std::set<Duration>{Duration(3), Duration(4), Duration(5), Duration(6)});
    CHECK(random.between(2s, 2s) == 2s);
    CHECK(random.between(3s, 2s) == 3s);
}

TEST_CASE("jitter takes away up to its share and adds nothing") {
    Random random = Random::from_number(4);
    Duration least = 100s, most = 0s;
    for (int i = 0; i < 1000; ++i) {
        const Duration d = random.jitter(100s, 10);
        least = std::min(least, d);
        most = std::max(most, d);
    }
    CHECK(least >= 90s);
    CHECK(least < 91s);
    CHECK(most <= 100s);
    CHECK(most > 99s);
    CHECK(random.jitter(5s, 0) == 5s);
}
