#include "daemon/netns.hpp"

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
    return fd && inside_namespace(fd.get(), [] {}) == 0;
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

// A file for a namespace to be mounted on, and then what `bind` mounts there: 0 or an errno.
int take_name(const std::string& name, const std::function<int(const std::string& path)>& bind) {
    if (const int error = prepare_directory(); error != 0) return error;
    const std::string path = path_of_namespace(name);
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
    if (!file) return errno;
    const int error = bind(path);
    if (error != 0) unlink(path.c_str());
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

std::string path_of_namespace(const std::string& name) { return std::string(kDirectory) + "/" + name; }

int make_namespace(const std::string& name) {
    return is_namespace(name) ? 0 : take_name(name, bind_new_namespace);
}

int remove_namespace(const std::string& name) {
    const std::string path = path_of_namespace(name);
    if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) return errno;
    return unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

Descriptor open_namespace(const std::string& name) {
    return Descriptor(open(path_of_namespace(name).c_str(), O_RDONLY | O_CLOEXEC));
}

bool leads_to(const std::string& name, int namespace_fd) {
    struct stat named {
    }, itself{};
    return stat(path_of_namespace(name).c_str(), &named) == 0 && fstat(namespace_fd, &itself) == 0 &&
           named.st_dev == itself.st_dev && named.st_ino == itself.st_ino;
}

int restore_name(const std::string& name, int namespace_fd) {
    if (leads_to(name, namespace_fd)) return 0;
    if (is_namespace(name)) return EEXIST;
    const std::string itself = "/proc/self/fd/" + std::to_string(namespace_fd);
    return take_name(name, [&](const std::string& path) {
        return mount(itself.c_str(), path.c_str(), "none", MS_BIND, nullptr) == 0 ? 0 : errno;
    });
}

int inside_namespace(int namespace_fd, const std::function<void()>& work) {
    int error = 0;
    if (namespace_fd < 0) {
        work();
        return error;
    }
    std::thread([&] {
        error = setns(namespace_fd, CLONE_NEWNET) == 0 ? 0 : errno;
        if (error == 0) work();
    }).join();
    return error;
}

// What lies below the two directories depends on the namespace they were opened in, not on who reads it.
base::Result<Netns, int> Netns::of(const std::string& name) {
    Netns space;
    space.itself_ = open_namespace(name);
    if (!space.itself_) return errno;
    const int error = inside_namespace(space.descriptor(), [&] {
        space.ipv4_ = Descriptor(open("/proc/sys/net/ipv4", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        space.ipv6_ = Descriptor(open("/proc/sys/net/ipv6", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    });
    if (error != 0) return error;
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
        int refused = 0;
        const int unentered = inside_namespace(descriptor(), [&] {
            opened = Descriptor(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
            refused = errno;
        });
        if (!opened) errno = unentered != 0 ? unentered : refused;
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
