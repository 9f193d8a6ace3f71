#pragma once

// Descriptors that were opened before the process that uses them, handed over by systemd's protocol
// (sd_listen_fds(3), sd_notify(3)): kept for a service by its manager, or given to a program by executing it.
// Whoever speaks that protocol may stand in for systemd. Knows nothing of what the descriptors are.

#include "daemon/descriptor.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace aronet::daemon {

struct Handed {
    std::string name;  // several may have one; no colon
    Descriptor descriptor;
};

// What was handed to this process, to be asked for once and before there are threads: the variables that tell
// of it are removed. None of it goes on to programs that are executed.
std::vector<Handed> take_handed();

// Has the service's manager keep them, instead of those it kept by the same names, for the next process of
// the service. Returns when it does: "", or what went wrong.
std::string give_to_manager(const std::vector<Handed>& all);

// One that is in use, while the service runs; asks nobody whether it is.
bool has_manager();
std::string keep_with_manager(const std::string& name, int descriptor);  // "" or what went wrong
void drop_from_manager(const std::string& name);

// Becomes the program, which is handed them. Returns only where that fails, with an errno.
int execute(const std::vector<std::string>& command, const std::vector<Handed>& all);

void tell_manager(const std::string& state);  // if there is one

// How often it is to be told WATCHDOG=1, if it watches this process: twice in the time after which it takes
// it for hung (sd_watchdog_enabled(3)). To be asked for once: the variables that tell of it are removed.
std::optional<std::chrono::microseconds> take_watchdog();

}  // namespace aronet::daemon
