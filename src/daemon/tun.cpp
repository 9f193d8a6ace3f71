#include "daemon/tun.hpp"

#include "daemon/netns.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

constexpr const char* kDevice = "/dev/net/tun";

Descriptor open_device() {
    Descriptor tun(open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (tun || errno != ENOENT) return tun;
    mkdir("/dev/net", 0755);
    if (mknod(kDevice, S_IFCHR | 0600, makedev(10, 200)) != 0 && errno != EEXIST) return {};
    return Descriptor(open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

int set_mtu(ifreq& request, std::uint32_t mtu) {
    const Descriptor any(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    request.ifr_mtu = static_cast<int>(mtu);
    return any && ioctl(any.get(), SIOCSIFMTU, &request) == 0 ? 0 : errno;
}

// The device belongs to the namespace in which the clone device is opened.
int open_here(const std::string& name, std::uint32_t mtu, Descriptor& opened) {
    Descriptor tun = open_device();
    if (!tun) return errno;
    ifreq request{};
    std::memcpy(request.ifr_name, name.data(), name.size());
    request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);  // none that is there already
    if (if_nametoindex(name.c_str()) != 0) return EEXIST;
    if (ioctl(tun.get(), TUNSETIFF, &request) != 0) return errno;
    if (const int error = mtu == 0 ? 0 : set_mtu(request, mtu)) return error;
    opened = std::move(tun);
    return 0;
}

}  // namespace

int open_tun(const std::string& name, std::uint32_t mtu, int namespace_fd, Descriptor& opened) {
    if (name.empty() || name.size() >= IFNAMSIZ) return EINVAL;
    if (namespace_fd < 0) return open_here(name, mtu, opened);
    int error = 0;
    inside_namespace(namespace_fd, [&] { error = open_here(name, mtu, opened); });
    return error;
}

bool is_attached(int tun, const std::string& name) {
    ifreq request{};
    return ioctl(tun, TUNGETIFF, &request) == 0 && name == request.ifr_name;
}

}  // namespace aronet::daemon
