#pragma once

// What would be changed in the kernel, as commands of `ip`, `nft` and `sysctl`: one a line, behind "+" what
// is added or replaced, behind "-" what is removed. Made by what the node itself goes by, so it cannot say
// otherwise.

#include "overlay/desired.hpp"
#include "overlay/node.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace aronet::overlay {

// For changes in the order they are made, where there are these links.
std::vector<std::string> in_words(
    std::vector<netlink::Wish> wishes,
    const std::vector<netlink::Link>& there,
    const Config& config,
    bool kernel_datapath
);

struct Present {  // in the kernel
    netlink::Snapshot snapshot;
    bool has_namespace = false;  // of the overlay, where it is to have one
    bool has_clamp = false;      // of TCP's segments: the running daemon's
    std::function<std::optional<std::string>(const Sysctl&)> value_of;  // none: not there yet
};

// What a start would change: what an earlier run left and is not wanted goes.
std::vector<std::string> plan_start(
    const Config& config, const Registry& registry, const Host& host, const Present& present
);

}  // namespace aronet::overlay
