#include "ike/known_answers.hpp"

#include <catch2/catch.hpp>

TEST_CASE("this machine's libraries give the known answer of every algorithm") {
    CHECK(aronet::ike::broken_algorithm() == "");
}
