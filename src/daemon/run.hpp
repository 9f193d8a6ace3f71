#pragma once

// `aronet daemon run`: from two files to a running node, and back to an exit status.

#include <string>

namespace aronet::daemon {

// docs/control.md, exit statuses.
namespace exit_status {
inline constexpr int ok = 0, failure = 1, usage = 2, not_running = 3, permission = 4, bad_config = 5,
                     bad_registry = 6, not_ready = 7, timeout = 8;
}

struct RunOptions {
    std::string config_path;
    std::string registry_path;  // empty: wait for `aronet load`
    std::string version;
};

int run(const RunOptions& options);

}  // namespace aronet::daemon
