#include "ike/pursuit.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;

TEST_CASE("pauses grow from almost nothing to the cap") {
    auto random = base::Random::from_number(1);
    for (unsigned failures = 1; failures < 40; ++failures) {
        const Duration pause = pause_after(failures, 30s, random);
        CHECK(pause >= 100ms);
        CHECK(pause <= (failures <= 3 ? Duration(1s) : Duration(30s)));
        if (failures > 10) CHECK(pause >= 20s);
    }
}

TEST_CASE("a queue lets few in per endpoint, in order, and nobody is lost") {
    Queue queue(2);
    const Address address = *Address::parse("192.0.2.1");
    const Endpoint here{address, 12025}, there{address, 12026};
    CHECK(queue.enter(1, here));
    CHECK(queue.enter(2, here));
    CHECK_FALSE(queue.enter(3, here));
    CHECK_FALSE(queue.enter(4, here));
    CHECK_FALSE(queue.enter(4, here));  // asking twice changes nothing
    CHECK(queue.enter(5, there));
    CHECK(queue.leave(3) == std::nullopt);  // gave up waiting
    CHECK(queue.leave(1) == std::optional<PeerId>(4));
    CHECK(queue.enter(4, here));  // its place is kept for it
    CHECK(queue.leave(4) == std::nullopt);
    CHECK(queue.leave(4) == std::nullopt);
    CHECK(queue.leave(2) == std::nullopt);
    CHECK(queue.enter(6, here));
}
