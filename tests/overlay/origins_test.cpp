#include "overlay/origins.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

babel::Destination to(const char* text) { return babel::Destination::of(*base::Prefix::parse(text)); }

struct Said {
    const char* prefix;
    babel::RouterId router;
    const char* peer;  // who says so; empty: this node
    babel::Metric metric = 100;
};

// cairo has 10.3.0.0/16, dakar has 10.4.0.0/16, both have 10.9.0.0/16; this is athens.
std::set<std::string> disputes(const std::vector<Said>& all) {
    babel::Holders holders;
    const babel::Holder athens{"olive", "athens"}, cairo{"maple", "cairo"}, dakar{"maple", "dakar"};
    holders.add(*base::Prefix::parse("10.1.0.0/16"), athens);
    holders.add(*base::Prefix::parse("10.3.0.0/16"), cairo);
    holders.add(*base::Prefix::parse("10.4.0.0/16"), dakar);
    for (const auto& holder : {cairo, dakar}) holders.add(*base::Prefix::parse("10.9.0.0/16"), holder);
    Origins origins(holders, "olive/athens");
    for (const Said& said : all) {
        const babel::Destination about = to(said.prefix);
        const std::string peer = said.peer;
        origins.see({about, said.router, peer.empty() ? std::nullopt : std::optional(7u), said.metric}, peer);
    }
    return origins.disputes();
}

using Texts = std::set<std::string>;

}  // namespace

TEST_CASE("who may be transit may announce everything, as long as it begins where it should") {
    CHECK(disputes({{"10.1.0.0/16", 0xa, "", 0},
                    {"10.3.0.0/16", 0xc, "maple/cairo", 0},
                    {"10.3.0.0/16", 0xc, "maple/dakar"},
                    {"10.3.0.0/16", 0xc, "olive/berlin"},
                    {"10.3.7.0/24", 0xc, "maple/cairo", 5},
                    {"10.4.0.0/16", 0xd, "olive/berlin"}}
    ).empty());
}

TEST_CASE("who announces another's prefix is named, by what it says of itself through its own tunnel") {
    CHECK(
        disputes({{"10.3.0.0/16", 0xc, "maple/cairo", 0}, {"10.4.0.0/16", 0xc, "maple/cairo", 0}}) ==
        Texts{"maple/cairo announces 10.4.0.0/16 of maple/dakar"}
    );
    // Also beside the node whose prefix it is, as part of it, and heard from others.
    CHECK(
        disputes(
            {{"10.3.0.0/16", 0xc, "maple/cairo", 0},
             {"10.4.0.0/16", 0xd, "maple/dakar", 0},
             {"10.4.0.0/16", 0xc, "olive/berlin"},
             {"10.4.1.0/24", 0xc, "olive/berlin"}}
        ) == Texts{"maple/cairo announces 10.4.0.0/16 and 1 more of maple/dakar"}
    );
    CHECK(
        disputes({{"10.1.0.0/16", 0xa, "", 0}, {"10.4.0.0/16", 0xa, "", 0}}) ==
        Texts{"olive/athens announces 10.4.0.0/16 of maple/dakar"}
    );
}

TEST_CASE("where nobody says which router it is, the router is named by its id") {
    CHECK(
        disputes({{"10.3.0.0/16", 0xc, "olive/berlin"}, {"10.4.0.0/16", 0xc, "olive/berlin"}}) ==
        Texts{"the router 00:00:00:00:00:00:00:0c announces prefixes of maple/cairo and maple/dakar"}
    );
    // Two say that they are it.
    CHECK(
        disputes(
            {{"10.3.0.0/16", 0xc, "maple/cairo", 0},
             {"10.3.0.0/16", 0xc, "olive/berlin", 0},
             {"10.4.0.0/16", 0xc, "olive/berlin", 0}}
        ) == Texts{"the router 00:00:00:00:00:00:00:0c announces prefixes of maple/cairo and maple/dakar"}
    );
}

TEST_CASE("a prefix of one node that begins at two routers is told of, an anycast one is not") {
    CHECK(
        disputes({{"10.4.0.0/16", 0xd, "maple/dakar", 0}, {"10.4.0.0/16", 0xe, "olive/berlin"}}) ==
        Texts{"10.4.0.0/16 is announced by the routers 00:00:00:00:00:00:00:0d and 00:00:00:00:00:00:00:0e"}
    );
    CHECK(disputes({{"10.9.0.0/16", 0xd, "maple/dakar", 0}, {"10.9.0.0/16", 0xc, "maple/cairo", 0}}).empty());
    // Routers behind dakar, with parts of what it has.
    CHECK(disputes({{"10.4.1.0/24", 0xd, "maple/dakar", 0}, {"10.4.1.0/24", 0xe, "maple/dakar", 0}}).empty());
}
