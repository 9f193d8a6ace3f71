#pragma once

// Network namespaces by name, as `ip netns` keeps them: a bind mount below /run/netns.

#include "base/result.hpp"
#include "daemon/descriptor.hpp"

#include <cerrno>
#include <functional>
#include <string>

namespace aronet::daemon {

// 0 or an errno. Adopts a namespace that is there already.
int make_namespace(const std::string& name);
int remove_namespace(const std::string& name);
Descriptor open_namespace(const std::string& name);  // invalid when there is none; errno says why

// Runs `work` inside the namespace, in a thread of its own, and waits for it; descriptors made there stay
// there. A negative descriptor is the namespace we are in: then it simply runs.
void inside_namespace(int namespace_fd, const std::function<void()>& work);

}  // namespace aronet::daemon
