// What the nodes want of their kernels stays, whoever takes it away and whatever is refused.

#include "sim/story.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstdlib>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

struct Meshed {
    explicit Meshed(std::size_t nodes) : world(1, plans(nodes)) {
        world.start_all();
        REQUIRE(world.converge(20s));
        world.run_for(20s);
    }
    // Somebody does that to a node's kernel, and so long after it looks as before.
    void comes_back(std::size_t host, netlink::Wish wish, Duration within) {
        const std::string before = world.kernel(host).audit();
        INFO(netlink::describe(wish));
        world.suffer(host, std::move(wish));
        world.run_for(within);
        INFO(report(world));
        CHECK(world.kernel(host).audit() == before);
        CHECK(world.unreached().empty());
        world.run_for(11s);  // whoever does the next thing is somebody else
    }

    World world;
};

}  // namespace

TEST_CASE("whatever somebody takes away from a node in its kernel is there again within a second") {
    Meshed mesh(3);
    for (const std::size_t host : {0u, 1u}) {  // with a VRF and with a namespace
        Kernel& kernel = mesh.world.kernel(host);
        for (const auto& [key, route] : Fib::Routes(kernel.routes()))
            mesh.comes_back(host, netlink::RemoveRoute{key}, 1s);
        for (const auto& address : std::set<netlink::LinkAddress>(kernel.addresses()))
            mesh.comes_back(host, netlink::RemoveAddress{address}, 1s);
        for (const netlink::Rule& rule : std::set<netlink::Rule>(kernel.rules()))
            mesh.comes_back(host, netlink::RemoveRule{rule}, 1s);
        for (const auto& [if_id, policies] : std::map(kernel.policies()))
            mesh.comes_back(host, netlink::RemovePolicies{if_id}, 1s);
    }
    CHECK(mesh.world.violations().empty());
}

TEST_CASE("a route that somebody else puts in the place of ours does not stay there") {
    Meshed mesh(3);
    for (const auto& [key, route] : Fib::Routes(mesh.world.kernel(0).routes())) {
        netlink::Route other = route;
        other.mtu = 1234;
        mesh.comes_back(0, netlink::AddRoute{other}, 1s);
    }
}

TEST_CASE("a link that somebody takes away or alters is as it was, with all that hung on it") {
    Meshed mesh(3);
    for (const std::size_t host : {0u, 1u}) {
        for (const netlink::Link& link : mesh.world.kernel(host).links()) {
            const bool is_far_end =
                std::holds_alternative<netlink::Veth>(link.kind) && link.space == netlink::Space::overlay;
            if (is_far_end) continue;
            mesh.comes_back(host, netlink::RemoveLink{link.space, link.name}, 10s);
            if (!std::holds_alternative<netlink::Tunnel>(link.kind)) continue;
            netlink::Link other = link;
            other.mtu = 9000;
            mesh.comes_back(host, netlink::AddLink{other}, 1s);
        }
    }
}

// The keys of an SA that is gone must not be used again: there have to be others.
TEST_CASE("for an SA that somebody takes away there is another, and traffic goes on within a second") {
    Meshed mesh(2);
    for (int direction = 0; direction < 2; ++direction) {
        const auto sas = mesh.world.kernel(0).sas();
        REQUIRE(sas.size() == 2);
        for (const auto& [id, sa] : sas) {
            if (int(sa.direction) != direction) continue;
            mesh.world.suffer(0, netlink::RemoveSa{id, sa.source.address});
            mesh.world.run_for(1s);
            const Kernel& kernel = mesh.world.kernel(0);
            CHECK(kernel.outbound(kernel.links().back().name, *netlink::Address::parse("fe80::1")));
            mesh.world.run_for(20s);
            CHECK(mesh.world.kernel(0).sas().size() == 2);
            CHECK_FALSE(mesh.world.kernel(0).sas().contains(id));
        }
    }
    CHECK(mesh.world.unreached().empty());
}

TEST_CASE("row 10: an SA that was altered while notices overflowed is replaced by another") {
    Meshed mesh(2);
    for (const auto direction : {base::Direction::in, base::Direction::out}) {
        const auto sas = mesh.world.kernel(0).sas();
        REQUIRE(sas.size() == 2);
        for (const auto& [id, sa] : sas) {
            if (sa.direction != direction) continue;
            const base::Endpoint elsewhere{sa.source.address.plus(77), sa.source.port};
            std::vector<netlink::Wish> wishes;
            wishes.push_back(netlink::MoveSa{id, direction, elsewhere, sa.destination});
            mesh.world.suffer_untold(0, std::move(wishes));
            mesh.world.run_for(20s);
            CHECK(mesh.world.kernel(0).sas().size() == 2);
            CHECK_FALSE(mesh.world.kernel(0).sas().contains(id));
        }
    }
    CHECK(mesh.world.unreached().empty());
}

TEST_CASE("when everything but the daemons has forgotten, a look at everything brings it back") {
    Meshed mesh(3);
    for (const std::size_t host : {0u, 1u}) {
        Kernel& kernel = mesh.world.kernel(host);
        const std::string before = kernel.audit();
        // The notices of this are lost.
        for (const auto& [key, route] : Fib::Routes(kernel.routes()))
            kernel.suffer(netlink::RemoveRoute{key});
        for (const auto& [if_id, policies] : std::map(kernel.policies()))
            kernel.suffer(netlink::RemovePolicies{if_id});
        for (const auto& [id, sa] : std::map(kernel.sas()))
            kernel.suffer(netlink::RemoveSa{id, sa.source.address});
        mesh.world.lose_notices(host);
        mesh.world.run_for(30s);
        CHECK(kernel.audit() == before);
        CHECK(mesh.world.unreached().empty());
    }
}

namespace {

struct Refusal {
    std::uint64_t at = 0;  // 0: none
    int error = 0;
    std::uint64_t times = 1;
};

struct Told {
    std::string audit;
    std::uint64_t changes = 0;
    bool gave_up = false;  // stopped of itself, for a reason
};

// Two nodes of which one is refused something, for a minute, and its end.
Told told(std::size_t host, const Refusal& refusal) {
    World world(1, plans(2));
    world.errors_allowed = true;
    world.kernel(host).fail_at(refusal.at, refusal.error, refusal.times);
    world.start_all();
    world.run_for(60s);
    const Kernel& kernel = world.kernel(host);
    Told told{kernel.audit(), kernel.changes(), world.is_stopped(host)};
    CHECK(kernel.failures() == (refusal.at == 0 ? 0 : refusal.times));
    if (!told.gave_up) CHECK(world.unreached().empty());
    world.stop(host);
    world.run_for(10s);
    CHECK(kernel.is_empty());
    return told;
}

}  // namespace

// Somebody else's link under the name of the main one is a reason to stop (row 13), whoever says so.
TEST_CASE(
    "row 11, 22: whichever change the kernel refuses once, for whatever reason, in the end it looks as if "
    "it had not"
) {
    const bool all = std::getenv("ARONET_ALL") != nullptr;
    for (const std::size_t host : {0u, 1u}) {
        const Told whole = told(host, {});
        REQUIRE(whole.changes > 20);
        for (const int error : {ENOMEM, EPERM, EEXIST, EINVAL, ENOBUFS, EBUSY}) {
            unsigned given_up = 0;
            for (std::uint64_t n = 1; n <= whole.changes; ++n) {
                for (const std::uint64_t times : {1u, 4u}) {
                    if (times > 1 && (!all || n + times > whole.changes)) continue;
                    INFO(
                        "host " << host << ", change " << n << ", error " << error << ", " << times
                                << " times"
                    );
                    const Told refused = told(host, {n, error, times});
                    given_up += times == 1 && refused.gave_up ? 1 : 0;
                    if (!refused.gave_up) CHECK(refused.audit == whole.audit);
                    if (error != EEXIST) CHECK_FALSE(refused.gave_up);
                }
            }
            CHECK(given_up == (error == EEXIST ? 1 : 0));
        }
    }
}

TEST_CASE("row 11: what the kernel refuses to remove at first is removed later") {
    World world(1, plans(2));
    std::set<std::string> refused;
    world.watch = [&](std::size_t host, const netlink::Wish& wish) {
        const bool removes = std::holds_alternative<netlink::RemoveSa>(wish) ||
                             std::holds_alternative<netlink::RemovePolicies>(wish) ||
                             std::holds_alternative<netlink::RemoveNamespace>(wish);
        Kernel& kernel = world.kernel(host);
        if (removes && refused.insert(std::to_string(host) + netlink::describe(wish)).second)
            kernel.fail_at(kernel.changes() + 1, EBUSY);
    };
    world.start_all();
    REQUIRE(world.converge(20s));
    world.ask(0, "rekey", R"({"peer": "sim/node2"})");
    world.run_for(20s);
    for (const std::size_t host : {0u, 1u}) CHECK(world.kernel(host).sas().size() == 2);
    for (const std::size_t host : {0u, 1u}) world.load_registry(host, {host});
    world.run_for(10s);
    for (const std::size_t host : {0u, 1u}) {
        CHECK(world.kernel(host).sas().empty());
        CHECK(world.kernel(host).policies().empty());
        world.stop(host);
    }
    world.run_for(10s);
    CHECK(refused.size() == 11);
    INFO(report(world));
    CHECK(world.violations().empty());
    CHECK((world.is_stopped(0) && world.is_stopped(1)));
}

TEST_CASE("C13: an interface that somebody removes in the midst of an installation delays its tunnel, no more"
) {
    for (const unsigned before : {0u, 1u, 2u, 3u}) {
        CAPTURE(before);
        World world(7, plans(2));
        world.errors_allowed = true;
        unsigned seen = 0;
        world.watch = [&](std::size_t, const netlink::Wish& wish) {
            seen += std::holds_alternative<netlink::AddSa>(wish) ? 1 : 0;
        };
        world.start_all();
        while (seen <= before) world.run_for(1ms);
        world.suffer(
            before % 2,
            netlink::RemoveLink{
                before % 2 == 0 ? netlink::Space::underlay : netlink::Space::overlay,
                world.kernel(before % 2).links().back().name}
        );
        CHECK(world.converge(10s));
        world.run_for(40s);
        INFO(report(world));
        CHECK(world.violations().empty());
        for (const std::size_t host : {0u, 1u}) CHECK(world.kernel(host).sas().size() == 2);
    }
}
