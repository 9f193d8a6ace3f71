// A way is lost, and this is known: what follows is done within one round trip of the link. Another way that
// is feasible is taken; where there is none, the neighbours are told.

#include "babel/desk.hpp"
#include "babel/mesh.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

constexpr Duration kOneWay = 10ms;            // at least; at most twice that
constexpr Duration kRoundTrip = 2 * kOneWay;  // the shortest there is

bool knows_of_loss(Mesh& mesh) {
    for (const NeighbourView& n : mesh.speaker(0).neighbours()) {
        if (n.on == 1) return n.dead || !n.reachable;
    }
    return true;
}

void interface_down(Mesh& mesh) { mesh.cut(0, 1); }

void hellos_missed(Mesh& mesh) {
    mesh.silence(0, 1, true);
    for (const Instant end = mesh.now() + 20s; mesh.now() < end && !knows_of_loss(mesh);) mesh.run(1ms);
}

void probes_unanswered(Mesh& mesh) {
    std::vector<Traffic> counters;
    const auto look = [&](Duration d, const std::function<bool()>& enough) {
        for (const Instant end = mesh.now() + d; mesh.now() < end && !enough();) {
            mesh.look(counters, true);
            for (int i = 0; i < 250 && !enough(); ++i) mesh.run(1ms);
        }
    };
    look(5s, [] { return false; });
    mesh.silence(0, 1, true);
    look(5s, [&] { return knows_of_loss(mesh); });
}

Duration until(Mesh& mesh, const std::function<bool()>& holds) {
    const Instant start = mesh.now();
    while (!holds() && mesh.now() - start < 60s) mesh.run(1ms);
    return mesh.now() - start;
}

// The link between 0 and 1 is the first of the mesh. When a loss returns, 0 knows of it.
struct Known {
    const char* how;
    std::function<void(Mesh&)> loss;
};
const std::vector<Known> kLosses{
    {"an interface goes down", interface_down},
    {"Hellos are missed", hellos_missed},
    {"unicast probes are not answered", probes_unanswered}};

}  // namespace

TEST_CASE("whichever way a next hop is lost, the other way is taken in the moment that this is known") {
    for (const Known& known : kLosses) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(known.how, seed);
            Mesh mesh(seed);
            mesh.config = four_seconds();
            for (int i = 0; i < 4; ++i) mesh.add_node();
            mesh.connect(0, 1, 96, kOneWay);
            mesh.connect(1, 3, 96, kOneWay);
            mesh.connect(0, 2, 120, kOneWay);
            mesh.connect(2, 3, 96, kOneWay);
            mesh.run(40s);
            REQUIRE(mesh.reaches(0, 3));
            known.loss(mesh);
            REQUIRE(knows_of_loss(mesh));
            CHECK(mesh.reaches(0, 3));
        }
    }
}

TEST_CASE("whichever way the only next hop is lost, the neighbours have heard within a round trip") {
    for (const Known& known : kLosses) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(known.how, seed);
            Mesh mesh(seed);
            mesh.config = four_seconds();
            for (int i = 0; i < 3; ++i) mesh.add_node();
            mesh.connect(0, 1, 96, kOneWay);
            mesh.connect(0, 2, 96, kOneWay);
            mesh.run(40s);
            REQUIRE(mesh.knows(2, Mesh::own(1)));
            known.loss(mesh);
            REQUIRE(knows_of_loss(mesh));
            CHECK_FALSE(mesh.knows(0, Mesh::own(1)));
            const Duration took = until(mesh, [&] { return !mesh.knows(2, Mesh::own(1)); });
            CAPTURE(base::milliseconds(took));
            CHECK(took <= kRoundTrip);
        }
    }
}

// A way that is not feasible is left: only its neighbour is asked, so that no request to all takes the news
// along.
TEST_CASE("news told just before a loss do not keep the neighbours from hearing of it within a round trip") {
    constexpr Duration kShort = 2ms;
    for (const int others : {0, 498}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(others, seed);
            Mesh mesh(seed);
            mesh.config = four_seconds();
            for (int i = 0; i < 4; ++i) mesh.add_node();
            mesh.connect(0, 1, 96, kShort);
            mesh.connect(0, 2, 96, kShort);
            mesh.connect(0, 3, 96, kShort);
            mesh.connect(1, 3, 96, kShort);
            for (int i = 0; i < others; ++i) mesh.open_end(0);
            mesh.run(40s);
            REQUIRE(mesh.knows(2, Mesh::own(1)));
            mesh.announce(0, to("fd77::/64"));
            mesh.run(5ms);
            mesh.cut(0, 1);
            const Duration took = until(mesh, [&] { return !mesh.knows(2, Mesh::own(1)); });
            CAPTURE(base::milliseconds(took));
            CHECK(took <= 2 * kShort);
        }
    }
}
