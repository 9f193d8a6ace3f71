#include "daemon/netns.hpp"

#include "base/result.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

namespace aronet::daemon {
namespace {

constexpr const char* kDirectory = "/run/netns";

// As they are called when they are handed over.
constexpr const char *kItself = "netns", *kIpv4 = "netns-ipv4", *kIpv6 = "netns-ipv6";
// Babel's own, and more for its groups: on a kernel before 6.7 each of them has room for 300 links.
constexpr int kUdpSockets = 16;

std::string path_of(const std::string& name) { return std::string(kDirectory) + "/" + name; }

// The directory has to be a shared mount of its own, or the namespaces would not show in other mount
// namespaces.
int prepare_directory() {
    if (mkdir(kDirectory, 0755) != 0 && errno != EEXIST) return errno;
    if (mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0) return 0;
    if (errno != EINVAL) return errno;
    if (mount(kDirectory, kDirectory, "none", MS_BIND | MS_REC, nullptr) != 0) return errno;
    return mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0 ? 0 : errno;
}

bool is_namespace(const std::string& name) {
    const Descriptor fd = open_namespace(name);
    if (!fd) return false;
    int error = 0;
    std::thread([&] { error = setns(fd.get(), CLONE_NEWNET) == 0 ? 0 : errno; }).join();
    return error == 0;
}

int bind_new_namespace(const std::string& path) {
    int error = 0;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) != 0 ||
            mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) != 0) {
            error = errno;
        }
    }).join();
    return error;
}

int option(int socket, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

bool is_of(const Descriptor& socket, int domain, int type) {
    return option(socket.get(), SO_DOMAIN) == domain && option(socket.get(), SO_TYPE) == type;
}

}  // namespace

int make_namespace(const std::string& name) {
    if (is_namespace(name)) return 0;
    if (const int error = prepare_directory(); error != 0) return error;
    const std::string path = path_of(name);
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
    if (!file) return errno;
    const int error = bind_new_namespace(path);
    if (error != 0) unlink(path.c_str());
    return error;
}

int remove_namespace(const std::string& name) {
    const std::string path = path_of(name);
    if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) return errno;
    return unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

Descriptor open_namespace(const std::string& name) {
    return Descriptor(open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
}

void inside_namespace(int namespace_fd, const std::function<void()>& work) {
    if (namespace_fd < 0) return work();
    std::thread([&] {
        base::ensure(setns(namespace_fd, CLONE_NEWNET) == 0, "a namespace that was opened can be entered");
        work();
    }).join();
}

// What lies below the two directories depends on the namespace they were opened in, not on who reads it.
base::Result<Netns, int> Netns::of(const std::string& name) {
    Netns space;
    space.itself_ = open_namespace(name);
    if (!space.itself_) return errno;
    inside_namespace(space.descriptor(), [&] {
        space.ipv4_ = Descriptor(open("/proc/sys/net/ipv4", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        space.ipv6_ = Descriptor(open("/proc/sys/net/ipv6", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    });
    return space;
}

Netns Netns::taken_from(std::vector<Handed>& all) {
    Netns space;
    space.handed_over_ = true;
    for (Handed& each : all) {
        if (each.name == kItself) space.itself_ = std::move(each.descriptor);
        if (each.name == kIpv4) space.ipv4_ = std::move(each.descriptor);
        if (each.name == kIpv6) space.ipv6_ = std::move(each.descriptor);
        if (each.name == kNetnsSocket) space.sockets_.push_back(std::move(each.descriptor));
    }
    std::erase_if(all, [](const Handed& each) { return !each.descriptor; });
    if (!space.itself_) return {};
    return space;
}

std::vector<Handed> Netns::hand_over() && {
    std::vector<Handed> all;
    const auto add = [&](const char* name, Descriptor descriptor) {
        if (descriptor) all.push_back({name, std::move(descriptor)});
    };
    add(kNetnsSocket, open_socket(AF_NETLINK, SOCK_RAW));
    for (int i = 0; i < kUdpSockets; ++i) add(kNetnsSocket, open_socket(AF_INET6, SOCK_DGRAM));
    add(kIpv4, std::move(ipv4_));
    add(kIpv6, std::move(ipv6_));
    add(kItself, std::move(itself_));
    return all;
}

Descriptor Netns::open_socket(int domain, int type, int protocol) {
    Descriptor opened;
    if (!handed_over_) {
        int error = 0;
        inside_namespace(descriptor(), [&] {
            opened = Descriptor(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
            error = errno;
        });
        if (!opened) errno = error;
        return opened;
    }
    const auto fit =
        std::ranges::find_if(sockets_, [&](const auto& each) { return is_of(each, domain, type); });
    if (fit == sockets_.end()) {
        errno = EPERM;
        return opened;
    }
    opened = std::move(*fit);
    sockets_.erase(fit);
    return opened;
}

Descriptor Netns::open_sysctl(const std::string& path, int flags) const {
    if (!itself_) return Descriptor(open(("/proc/sys/" + path).c_str(), flags | O_CLOEXEC));
    for (const auto& [start, directory] : {std::pair("net/ipv4/", &ipv4_), std::pair("net/ipv6/", &ipv6_)}) {
        if (path.starts_with(start))
            return Descriptor(openat(directory->get(), path.c_str() + std::strlen(start), flags | O_CLOEXEC));
    }
    errno = ENOENT;
    return {};
}

}  // namespace aronet::daemon
