#pragma once

// Of the host's routes into the overlay (overlay/desired.hpp) what others have to know.

#include "overlay/config.hpp"

#include <vector>

namespace aronet::overlay {

bool has_host_table(const Config& config);  // and the rules that lead there

// Prefixes of the configuration's segment lists that have their ordinary way instead: not all nodes on the
// list are known, or it is one of its own segments.
std::vector<Prefix> lists_out_of_force(const Config& config, const Registry& registry);

}  // namespace aronet::overlay
