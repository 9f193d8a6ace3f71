// What one process leaves in words for the next.

#include "overlay/memory.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

using Kept = std::map<std::string, std::string>;

void keep(Kept& kept, const Remember& what) {
    if (what.value.empty()) {
        kept.erase(what.key);
    } else {
        kept[what.key] = what.value;
    }
}

babel::Distance distance(const char* prefix, babel::Metric metric) {
    return {babel::Destination::of(*base::Prefix::parse(prefix)), 0xabcdef, 7, metric};
}

}  // namespace

TEST_CASE("what was remembered is recalled") {
    Kept kept;
    keep(kept, remember_router_id(0xfeed));
    keep(kept, remember_seqno(65535));
    keep(kept, remember_hello("aronet-1", 12));
    keep(kept, remember_hello("aronet-2", 13));
    keep(kept, forget_hello("aronet-2"));
    keep(kept, remember(distance("fd00::/64", 100)));
    keep(kept, remember(distance("fd00::/64", 90)));
    keep(kept, remember(distance("10.0.0.0/8", 5)));
    keep(kept, forget_distance(distance("10.0.0.0/8", 5).destination, 0xabcdef));
    keep(kept, remember_sysctl(netlink::Space::underlay, "net.ipv4.ip_forward", "0"));
    keep(kept, remember_tunnel(0xffff, "ends key"));
    keep(kept, remember_tunnel(7, "ends key"));
    keep(kept, forget_tunnel(7));
    const Memory memory = recall(kept);
    CHECK(memory.tunnels == std::map<std::uint32_t, std::string>{{0xffff, "ends key"}});
    CHECK(memory.router_id == babel::RouterId(0xfeed));
    CHECK(memory.seqno == 65535);
    CHECK(memory.hellos == std::map<std::string, babel::SeqNo>{{"aronet-1", 12}});
    CHECK(memory.distances == std::vector{distance("fd00::/64", 90)});
    REQUIRE(memory.sysctls.size() == 1);
    CHECK(memory.sysctls.at({netlink::Space::underlay, "net.ipv4.ip_forward"}) == "0");
}

TEST_CASE("what makes no sense is as if it were not there") {
    Kept kept;
    keep(kept, remember(distance("fd00::/64", 100)));
    CHECK(recall(kept).distances.empty());  // of nobody
    keep(kept, remember_router_id(1));
    CHECK(recall(kept).distances.size() == 1);
    for (const char* key :
         {"distance",
          "distance fd00::/64",
          "distance fd00::/64 10.0.0.0/8 ab",
          "distance x ::/0 ab",
          "hello"})
        kept[key] = "1 1";
    kept["distance fd01::/64 ::/0 ab"] = "1 65535";
    kept["distance fd02::/64 ::/0 ab"] = "1";
    kept["hello aronet-1"] = "65536";
    CHECK(recall(kept).distances.size() == 1);
    CHECK(recall(kept).hellos.empty());
    for (const char* none : {"0", "ffffffffffffffff", "x", ""}) {
        kept["router-id"] = none;
        CHECK_FALSE(recall(kept).router_id);
    }
}
