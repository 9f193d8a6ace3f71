#include "base/log.hpp"

#include <catch2/catch.hpp>

using namespace aronet::base;

namespace {

Instant at(int seconds) { return Instant(std::chrono::seconds(seconds)); }

}  // namespace

TEST_CASE("every drop is counted, and one line a minute and reason is let through") {
    Drops drops;
    std::uint64_t suppressed = 99;
    CHECK(drops.count("late", at(0), &suppressed));
    CHECK(suppressed == 0);
    for (int i = 1; i < 60; ++i) CHECK_FALSE(drops.count("late", at(i)));
    CHECK(drops.count("late", at(60), &suppressed));
    CHECK(suppressed == 59);
    CHECK_FALSE(drops.count("late", at(119)));
    CHECK(drops.count("late", at(120), &suppressed));
    CHECK(suppressed == 1);
    CHECK(drops.totals().at("late") == 63);
}

TEST_CASE("reasons do not silence each other") {
    Drops drops;
    CHECK(drops.count("late", at(0)));
    CHECK(drops.count("forged", at(0)));
    CHECK_FALSE(drops.count("forged", at(1)));
    CHECK(drops.totals().at("late") == 1);
    CHECK(drops.totals().at("forged") == 2);
    CHECK(drops.totals().size() == 2);
}
