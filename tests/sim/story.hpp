#pragma once

// One random story of a mesh: who is in it, what weather there is, what happens to it; told by its seed
// alone.

#include "world.hpp"

namespace aronet::sim {

struct Outcome {
    bool fine = false;
    std::string report;  // what failed and the last messages; ends with the command that tells it again
};

Outcome tell(std::uint64_t seed, std::size_t nodes_max);

std::vector<HostPlan> plans(std::size_t count);  // alternately VRF and namespace
std::string report(const World& world);

}  // namespace aronet::sim
