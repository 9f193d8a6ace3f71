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
// Prints what a start would change in the kernel as it is, and changes nothing.
int plan(const std::string& config_path, const std::string& registry_path);

}  // namespace aronet::daemon
