#pragma once

// Network namespaces: by name, as `ip netns` keeps them (a bind mount below /run/netns), and what the daemon
// uses of one.

#include "base/result.hpp"
#include "daemon/handover.hpp"

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

namespace aronet::daemon {

// As the sockets of a namespace are called when it is handed over.
inline constexpr const char* kNetnsSocket = "netns-socket";

std::string path_of_namespace(const std::string& name);
// 0 or an errno. Adopts a namespace that is there already.
int make_namespace(const std::string& name);
int remove_namespace(const std::string& name);
Descriptor open_namespace(const std::string& name);  // invalid when there is none; errno says why
bool leads_to(const std::string& name, int namespace_fd);  // whether it is this one's
// A namespace lives on without its name while somebody has it open: gives it the name again. 0 or an errno;
// EEXIST: somebody else's has it by now.
int restore_name(const std::string& name, int namespace_fd);

// Runs `work` inside the namespace, in a thread of its own, and waits for it; descriptors made there stay
// there. A negative descriptor is the namespace we are in: then it simply runs. 0, or the errno of what could
// not be entered.
int inside_namespace(int namespace_fd, const std::function<void()>& work);

// A namespace as the daemon uses it, which is in another one: netlink is told of it by its descriptor,
// sysctls are files below directories that were opened in it, and a thread enters it to open a socket. That
// takes CAP_SYS_ADMIN. Who has it can hand the namespace over to a process without: sockets are opened before
// then, and given out until there are no more.
class Netns {
public:
    Netns() = default;                                            // the one we are in
    static base::Result<Netns, int> of(const std::string& name);  // or an errno
    static Netns taken_from(std::vector<Handed>& all);  // what was handed over; else the one we are in

    std::vector<Handed> hand_over() &&;

    int descriptor() const { return itself_.get(); }  // -1: the one we are in
    bool was_handed_over() const { return handed_over_; }
    // Closed on exec and never blocks; invalid: errno says why. What is handed over is of protocol 0.
    Descriptor open_socket(int domain, int type, int protocol = 0);
    // Of a file below /proc/sys, that of "net/ipv4" or "net/ipv6" where it is another namespace than ours.
    Descriptor open_sysctl(const std::string& path, int flags) const;

private:
    Descriptor itself_, ipv4_, ipv6_;
    bool handed_over_ = false;
    std::vector<Descriptor> sockets_;  // handed over, and not yet given out
};

}  // namespace aronet::daemon
