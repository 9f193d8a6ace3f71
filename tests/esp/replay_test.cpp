#include "esp/replay.hpp"

#include "base/random.hpp"

#include <catch2/catch.hpp>

#include <set>

using aronet::base::Random;
using aronet::esp::ReplayWindow;
using Verdict = ReplayWindow::Verdict;

TEST_CASE("a replay window is brought into its bounds") {
    CHECK(ReplayWindow(0, false).size() == 32);
    CHECK(ReplayWindow(128, false).size() == 128);
    CHECK(ReplayWindow(1u << 20, false).size() == 4096);
}

TEST_CASE("zero is never a sequence number") {
    CHECK_FALSE(ReplayWindow(64, false).whole(0));
    CHECK_FALSE(ReplayWindow(64, true).whole(0));
}

TEST_CASE("a replay window agrees with a set that remembers everything") {
    for (const std::uint32_t size : {32u, 33u, 64u, 100u, 128u, 1024u, 4095u, 4096u}) {
        ReplayWindow window(size, true);
        std::set<std::uint64_t> seen;
        Random random = Random::from_number(size);
        std::uint64_t newest = 0;
        for (int i = 0; i < 20000; ++i) {
            const std::uint64_t step = random.below(i % 50 == 0 ? 3 * size : 4);
            const std::uint64_t back = random.below(size + size / 4);
            const std::uint64_t sequence = newest + step > back ? newest + step - back : 1;
            const bool old = sequence <= newest && newest - sequence >= size;
            const auto expected = old                       ? Verdict::old
                                  : seen.contains(sequence) ? Verdict::duplicate
                                                            : Verdict::fresh;
            REQUIRE(window.check(sequence) == expected);
            if (expected != Verdict::fresh) continue;
            REQUIRE(window.accept(sequence) == (sequence > newest));
            seen.insert(sequence);
            newest = std::max(newest, sequence);
            REQUIRE(window.newest() == newest);
        }
    }
}

TEST_CASE("asking moves nothing") {
    ReplayWindow window(32, false);
    window.accept(5);
    CHECK(window.check(1'000'000) == Verdict::fresh);
    CHECK(window.newest() == 5);
    CHECK(window.check(4) == Verdict::fresh);
    CHECK(window.check(4) == Verdict::fresh);
}

TEST_CASE("extended numbers are recovered from their low half all around the wrap") {
    constexpr std::uint64_t k32 = std::uint64_t{1} << 32;
    for (const std::uint64_t turn : {k32, 7 * k32}) {
        for (std::uint64_t newest = turn - 300; newest < turn + 300; newest += 7) {
            ReplayWindow window(128, true);
            window.accept(newest);
            for (std::uint64_t sequence = newest - 127; sequence < newest + 2000; ++sequence)
                REQUIRE(window.whole(static_cast<std::uint32_t>(sequence)) == sequence);
        }
    }
}

TEST_CASE("before the first wrap nothing lies in a subspace below zero") {
    ReplayWindow window(128, true);
    window.accept(10);
    CHECK(window.whole(0xfffffff0) == std::nullopt);
    CHECK(window.whole(11) == 11);
}

TEST_CASE("an extended number beyond 64 bits does not exist") {
    ReplayWindow window(64, true);
    window.accept(UINT64_MAX - 1);
    CHECK(window.whole(0xffffffff) == UINT64_MAX);
    CHECK(window.whole(5) == std::nullopt);
}
