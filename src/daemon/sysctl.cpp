#include "daemon/sysctl.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>

namespace aronet::daemon {

std::string sysctl_path(const std::string& key) {
    std::string path;
    for (const char c : key) path += c == '.' ? '/' : c == '/' ? '.' : c;
    return path;
}

base::Result<std::string, int> read_sysctl(const Netns& space, const std::string& key) {
    const Descriptor file = space.open_sysctl(sysctl_path(key), O_RDONLY);
    if (!file) return errno;
    std::array<char, 256> text;
    const ssize_t size = read(file.get(), text.data(), text.size());
    if (size < 0) return errno;
    std::string value(text.data(), static_cast<std::size_t>(size));
    while (!value.empty() && value.back() == '\n') value.pop_back();
    return value;
}

int write_sysctl(const Netns& space, const std::string& key, const std::string& value) {
    const Descriptor file = space.open_sysctl(sysctl_path(key), O_WRONLY);
    if (!file) return errno;
    return write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size()) ? 0 : errno;
}

}  // namespace aronet::daemon
