#pragma once

// How a command ends: its exit status (docs/control.md) and what it says of it.

#include <iostream>
#include <string>

namespace aronet::daemon {

namespace exit_status {
inline constexpr int ok = 0, failure = 1, usage = 2, not_running = 3, permission = 4, bad_config = 5,
                     bad_registry = 6, not_ready = 7, timeout = 8;
}

inline int complain(int status, const std::string& text) {
    std::cerr << "aronet: " << text << "\n";
    return status;
}

}  // namespace aronet::daemon
