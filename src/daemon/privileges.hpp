#pragma once

// What the process may do once it runs (docs/privileges.md): which capabilities it keeps, and which calls of
// the kernel it can make. Decided by the configuration; then everything else is given up for good.

#include "overlay/config.hpp"

#include <set>
#include <string>

namespace aronet::daemon {

struct Privileges {
    std::set<int> capabilities;  // CAP_*
    bool executes = false;       // updown scripts
    bool enters = false;         // makes namespaces, and enters them
    bool is_unlimited = false;   // scripts of root, which need whatever they need
    bool operator==(const Privileges&) const = default;
};

// A namespace that was handed over need not be made. A daemon of root goes on to read and write its files.
Privileges needed(const overlay::Config& config, bool is_root, bool was_handed_over);

bool has_capability(int capability);  // CAP_*, and effective

// To be called before there are threads: they have what their maker has. "" or what went wrong.
std::string give_up_all_but(const Privileges& needed, overlay::SeccompChoice seccomp);

// For a process that only waits, and passes descriptors on.
std::string give_up_everything();

}  // namespace aronet::daemon
