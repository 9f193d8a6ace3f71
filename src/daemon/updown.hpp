#pragma once

// ranet's `updown` scripts: run beside us, never waited for by anything but the reaper.

#include <map>
#include <string>

namespace aronet::daemon {

// Starts `/bin/sh -c script` with the environment added to our own. Returns 0 or an errno.
int spawn_script(const std::string& script, const std::map<std::string, std::string>& environment);

// Collects children that have ended, in answer to SIGCHLD.
void reap_children();

}  // namespace aronet::daemon
