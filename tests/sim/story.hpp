#pragma once

// Stories of a mesh to which things happen, told from their plots: what failed, the least that it takes, and
// what was said meanwhile.

#include "plot.hpp"
#include "recorder.hpp"

namespace aronet::sim {

struct Outcome {
    std::uint64_t seed = 0;
    std::string what;    // that failed, without where and when; empty: all was fine
    std::string report;  // of it, with the last messages; ends with the command that tells it again
    bool fine() const { return what.empty(); }
};

struct Audience {
    Recorder* recorder = nullptr;
    std::ostream* log = nullptr;
};

Outcome tell(const Plot& plot, const Audience& audience = {});
// Stories on all cores; what became of them in the order of the plots.
std::vector<Outcome> tell_all(const std::vector<Plot>& plots);

// The least of a plot that still fails the same way when it is told so.
Plot shrink(Plot plot, const std::string& what, const std::function<Outcome(const Plot&)>& told);

std::vector<HostPlan> plans(std::size_t count);  // alternately VRF and namespace
std::string report(const World& world);

}  // namespace aronet::sim
