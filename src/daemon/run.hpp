#pragma once

// `aronet daemon run`: from two files to a running node, and back to an exit status.

#include <string>

namespace aronet::daemon {

struct RunOptions {
    std::string config_path;
    std::string registry_path;  // empty: wait for `aronet load`
    std::string version;
    std::string keys_to = {};  // a folder for tables of all keys; only in builds with ARONET_KEY_TABLES
};

int run(const RunOptions& options);

}  // namespace aronet::daemon
