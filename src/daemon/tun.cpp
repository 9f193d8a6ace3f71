#include "daemon/tun.hpp"

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

int set_mtu(ifreq& request, std::uint32_t mtu) {
    const Descriptor any(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    request.ifr_mtu = static_cast<int>(mtu);
    return any && ioctl(any.get(), SIOCSIFMTU, &request) == 0 ? 0 : errno;
}

}  // namespace

void provide_tun() {
    if (access(kDevice, F_OK) == 0) return;
    mkdir("/dev/net", 0755);
    mknod(kDevice, S_IFCHR | 0600, makedev(10, 200));
}

int open_tun(const std::string& name, std::uint32_t mtu, Descriptor& opened) {
    if (name.empty() || name.size() >= IFNAMSIZ) return EINVAL;
    Descriptor tun(open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
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

bool is_attached(int tun, const std::string& name) {
    ifreq request{};
    return ioctl(tun, TUNGETIFF, &request) == 0 && name == request.ifr_name;
}

}  // namespace aronet::daemon
