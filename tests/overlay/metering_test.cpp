#include "overlay/metering.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;
using base::Direction;

namespace {

const base::SaId kIn{*base::Address::parse("192.0.2.1"), 0x1001};
const base::SaId kOut{*base::Address::parse("192.0.2.2"), 0x2001};

netlink::Counters counters(std::vector<netlink::Counters::Sa> sas) { return {std::move(sas)}; }

struct Metered : Metering {
    Metered() {
        begins(kIn, 7, Direction::in);
        begins(kOut, 7, Direction::out);
    }
};

}  // namespace

TEST_CASE("a reading tells what has come since the one before, per direction") {
    Metered metering;
    auto growth = metering.read(counters({{kIn, 1000, 10, {}}, {kOut, 50, 1, {}}}));
    REQUIRE(growth.size() == 2);
    CHECK(growth[0].if_id == 7);
    CHECK(growth[0].direction == Direction::in);
    CHECK(growth[0].by.bytes == 1000);
    CHECK(growth[0].by.packets == 10);
    CHECK(growth[1].direction == Direction::out);
    growth = metering.read(counters({{kIn, 1500, 12, {}}, {kOut, 50, 1, {}}}));
    REQUIRE(growth.size() == 1);
    CHECK(growth[0].by.bytes == 500);
    CHECK(growth[0].by.packets == 2);
}

TEST_CASE("SAs of others and SAs at rest say nothing") {
    Metered metering;
    CHECK(metering.read(counters({{{kIn.destination, 0x9999}, 1000, 10, {}}, {kOut, 0, 0, {}}})).empty());
    CHECK(metering.read(counters({})).empty());
}

TEST_CASE("an SA that is about to go is read once more") {
    Metered metering;
    metering.ends(kIn);
    CHECK(metering.read(counters({{kIn, 100, 1, {}}})).size() == 1);
    CHECK(metering.read(counters({{kIn, 900, 9, {}}})).empty());
}

TEST_CASE("counters that begin anew are another SA's") {
    Metered metering;
    metering.read(counters({{kIn, 1000, 10, {}}}));
    const auto growth = metering.read(counters({{kIn, 300, 3, {}}}));
    REQUIRE(growth.size() == 1);
    CHECK(growth[0].by.bytes == 300);
}

TEST_CASE("when an SA was used last is handed on where it is known") {
    Metered metering;
    const base::Instant at(std::chrono::seconds(5));
    CHECK(metering.read(counters({{kIn, 1, 1, at}})).at(0).last_used == at);
    CHECK_FALSE(metering.read(counters({{kIn, 2, 2, {}}})).at(0).last_used);
}
