#include "base/time.hpp"

#include <catch2/catch.hpp>

using namespace aronet::base;

namespace {

template <class T>
concept CanBeAsked = requires { T::now(); };

}  // namespace

TEST_CASE("the clock of the core cannot be asked") {
    STATIC_REQUIRE_FALSE(CanBeAsked<Clock>);
    STATIC_REQUIRE(CanBeAsked<std::chrono::steady_clock>);
}

TEST_CASE("instants are of their own clock and cannot be mixed with those of others") {
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::chrono::steady_clock::time_point, Instant>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::chrono::system_clock::time_point, Instant>);
}

TEST_CASE("durations become whole numbers of a unit, cut towards zero") {
    CHECK(milliseconds(1999us) == 1);
    CHECK(milliseconds(-1999us) == -1);
    CHECK(milliseconds(2s) == 2000);
    CHECK(microseconds(1999ns) == 1);
    CHECK(microseconds(1h) == 3'600'000'000);
}
