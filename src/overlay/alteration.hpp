#pragma once

// What of a configuration can be another while the daemon runs, and what lasts until it is started anew.
// Pure.

#include "overlay/config.hpp"

#include <string>
#include <vector>

namespace aronet::overlay {

std::vector<std::string> lasting_keys();

// One line for each key of `wanted` that is another than in `running` and cannot be, with its place in the
// file.
std::vector<std::string> refused_changes(const Config& running, const Config& wanted);

// Whether `wanted` is another node, or has its links and routes elsewhere: nothing that `running` leaves in
// the kernel is of use to it.
bool is_elsewhere(const Config& running, const Config& wanted);

// The keys that are another, of those that can be.
std::vector<std::string> changed_keys(const Config& running, const Config& wanted);

}  // namespace aronet::overlay
