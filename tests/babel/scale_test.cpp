// A node of a full mesh of a thousand: its memory, and what it says once all is known. What it costs in time
// is printed by bench/babel-scale.

#include "emulated.hpp"

using namespace aronet;
using namespace aronet::babel;

TEST_CASE("a million routes of 999 neighbours lie in less than 150 MB, and then little is said") {
    EmulatedConfig config;
    config.peers = 999;
    config.prefixes = 1000;
    config.shared = true;
    config.update = 300s;
    Emulated node(config);
    const double before = megabytes();
    REQUIRE(node.converge(10s) < 2s);
    node.run(5s);
    CHECK(node.routes() == 999'000);
    CHECK(megabytes() - before < 150);
    const std::size_t packets = node.packets(), bytes = node.bytes();
    node.run(60s);
    CHECK((node.packets() - packets) / 60 < 150);
    CHECK((node.bytes() - bytes) / 60 < 60'000);
    CHECK(node.routes() == 999'000);
}
