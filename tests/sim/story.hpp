#pragma once

// One random story of a mesh: who is in it, what weather there is, what happens to it; told by its seed, the
// most nodes it may have and its shape alone.

#include "world.hpp"

namespace aronet::sim {

struct Outcome {
    std::uint64_t seed = 0;
    bool fine = false;
    std::string report;  // what failed and the last messages; ends with the command that tells it again
};

enum class Shape : std::uint8_t { ring, full, random };  // who can talk to whom in the underlay
const char* to_string(Shape shape);

Outcome tell(std::uint64_t seed, std::size_t nodes_max, Shape shape);
// The stories of `count` seeds from `first` on, on all cores; told in the order of the seeds.
std::vector<Outcome> tell_all(std::uint64_t first, std::uint64_t count, std::size_t nodes_max, Shape shape);

std::vector<HostPlan> plans(std::size_t count);  // alternately VRF and namespace
std::string report(const World& world);

}  // namespace aronet::sim
