#include "story.hpp"

#include <atomic>
#include <thread>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;

// A ring stays, every other pair is cut with the chance the shape gives it.
void cut_to_shape(World& world, base::Random& random, Shape shape) {
    const std::uint64_t percent = shape == Shape::ring ? 100 : shape == Shape::full ? 0 : random.below(100);
    for (std::size_t a = 0; a < world.size(); ++a) {
        for (std::size_t b = a + 1; b < world.size(); ++b) {
            const bool in_ring = b == a + 1 || (a == 0 && b + 1 == world.size());
            if (!in_ring && random.below(100) < percent) world.cut(a, b);
        }
    }
}

void cut_for_a_while(World& world, std::size_t host, std::size_t other) {
    if (host == other || world.is_cut(host, other)) other = (host + 1) % world.size();
    world.cut(host, other);
    world.run_for(15s);
    world.mend(host, other);
}

void something_happens(World& world, base::Random& random) {
    const std::size_t host = random.below(world.size()), other = random.below(world.size());
    switch (random.below(5)) {
        case 0:
            cut_for_a_while(world, host, other);
            break;
        case 1:
            world.kill(host);
            world.run_for(random.between(1s, 20s));
            world.start(host);
            break;
        case 2:
            world.stop(host);
            world.run_for(10s);
            world.start(host);
            break;
        case 3:
            world.lose_notices(host);
            break;
        default:
            world.run_for(random.between(1s, 30s));
            break;
    }
}

}  // namespace

std::vector<HostPlan> plans(std::size_t count) {
    std::vector<HostPlan> list;
    for (std::size_t i = 0; i < count; ++i) {
        HostPlan plan;
        plan.name = "node" + std::to_string(i + 1);
        plan.mode = i % 2 == 0 ? overlay::Mode::vrf : overlay::Mode::netns;
        list.push_back(plan);
    }
    return list;
}

std::string report(const World& world) {
    std::string text;
    for (const std::string& violation : world.violations()) text += violation + "\n";
    for (const std::string& pair : world.unreached()) text += pair + "\n";
    for (const std::string& message : world.last_messages()) text += "  " + message + "\n";
    return text;
}

const char* to_string(Shape shape) {
    switch (shape) {
        case Shape::ring:
            return "ring";
        case Shape::full:
            return "full";
        case Shape::random:
            return "random";
    }
    return "";
}

Outcome tell(std::uint64_t seed, std::size_t nodes_max, Shape shape) {
    base::Random random = base::Random::from_number(seed);
    const std::size_t nodes = 3 + random.below(nodes_max - 2);
    auto hosts = plans(nodes);
    hosts[random.below(nodes)].behind_nat = true;
    for (std::size_t i = 0; i < nodes; i += 3) hosts[i].changes_keys = true;
    World world(seed, hosts);
    world.weather = {
        random.between(1ms, 30ms),
        random.between(0ms, 20ms),
        unsigned(random.below(6)),
        unsigned(random.below(4))};
    cut_to_shape(world, random, shape);
    world.start_all();
    bool fine = world.converge(60s);
    for (int i = 0; fine && i < 4; ++i) {
        something_happens(world, random);
        fine = world.converge(120s);
    }
    for (std::size_t i = 0; fine && i < nodes; ++i) world.stop(i);
    if (fine) world.run_for(10s);
    for (std::size_t i = 0; fine && i < nodes; ++i) fine = world.is_stopped(i);
    fine = fine && world.violations().empty();
    return {
        seed,
        fine,
        fine ? ""
             : report(world) + "again: aronet-sim " + std::to_string(seed) + " " + std::to_string(nodes_max) +
                   " 1 " + to_string(shape) + "\n"};
}

std::vector<Outcome> tell_all(std::uint64_t first, std::uint64_t count, std::size_t nodes_max, Shape shape) {
    std::vector<Outcome> outcomes(count);
    std::atomic<std::uint64_t> next = 0;
    std::vector<std::thread> tellers(std::max(1u, std::thread::hardware_concurrency()));
    for (std::thread& teller : tellers) {
        teller = std::thread([&] {
            for (std::uint64_t i = next++; i < count; i = next++)
                outcomes[i] = tell(first + i, nodes_max, shape);
        });
    }
    for (std::thread& teller : tellers) teller.join();
    return outcomes;
}

}  // namespace aronet::sim
