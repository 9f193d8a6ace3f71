#pragma once

// `aronet netns`: what root does for a daemon that is not root, in a second and before it runs
// (docs/privileges.md).

#include <string>
#include <vector>

namespace aronet::daemon {

// Makes the configuration's namespace, opens in it what the daemon needs and hands that over: to the command,
// which this process becomes, else to the service's manager. Where the configuration has no namespace there
// is nothing to do but the command. An exit status.
int prepare_namespace(const std::string& config_path, const std::vector<std::string>& command);
int remove_prepared_namespace(const std::string& config_path);

}  // namespace aronet::daemon
