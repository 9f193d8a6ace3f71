#include "daemon/handover.hpp"

#include "daemon/fd_message.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>

namespace aronet::daemon {
namespace {

constexpr int kFirst = 3;          // SD_LISTEN_FDS_START
constexpr int kPatience = 10'000;  // ms, with the manager

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string take_variable(const char* name) {
    std::string value = variable(name);
    unsetenv(name);
    return value;
}

// One datagram to the manager, with descriptors.
std::string send(const std::string& state, const std::vector<int>& descriptors) {
    const std::string path = variable("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) return "there is no service manager to ask";
    path.copy(address.sun_path, path.size());
    if (path.front() == '@') address.sun_path[0] = '\0';
    const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0)
        return path + ": " + std::strerror(errno);
    const int error = send_message(socket.get(), state, descriptors);
    return error == 0 ? "" : path + ": " + std::strerror(error);
}

// The manager closes its end once it has read everything before.
std::string wait_for_manager() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return std::strerror(errno);
    const Descriptor here(ends[0]);
    Descriptor there(ends[1]);
    if (std::string error = send("BARRIER=1", {there.get()}); !error.empty()) return error;
    there.close();
    pollfd closed{here.get(), POLLHUP, 0};
    return poll(&closed, 1, kPatience) == 1 ? "" : "the service manager does not answer";
}

}  // namespace

std::vector<Handed> take_handed() {
    const std::string pid = take_variable("LISTEN_PID"), count = take_variable("LISTEN_FDS");
    std::string names = take_variable("LISTEN_FDNAMES");
    std::vector<Handed> all;
    int number = 0;
    std::from_chars(count.data(), count.data() + count.size(), number);
    if (pid != std::to_string(getpid())) return all;
    for (int fd = kFirst; fd < kFirst + std::min(number, kDescriptorsMax); ++fd) {
        const std::size_t end = std::min(names.find(':'), names.size());
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) all.push_back({names.substr(0, end), Descriptor(fd)});
        names.erase(0, end + 1);
    }
    return all;
}

std::string give_to_manager(const std::vector<Handed>& all) {
    std::set<std::string> names;
    for (const Handed& each : all) names.insert(each.name);
    for (const std::string& name : names) {
        if (std::string error = send("FDSTOREREMOVE=1\nFDNAME=" + name, {}); !error.empty()) return error;
    }
    // Not to be looked after: a netlink socket that overflowed is as good as before.
    for (const Handed& each : all) {
        const std::string state = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + each.name;
        if (std::string error = send(state, {each.descriptor.get()}); !error.empty()) return error;
    }
    return wait_for_manager();
}

bool has_manager() { return !variable("NOTIFY_SOCKET").empty(); }

// Not to be looked after, as above.
std::string keep_with_manager(const std::string& name, int descriptor) {
    drop_from_manager(name);
    return send("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, {descriptor});
}

void drop_from_manager(const std::string& name) { send("FDSTOREREMOVE=1\nFDNAME=" + name, {}); }

int execute(const std::vector<std::string>& command, const std::vector<Handed>& all) {
    const int end = kFirst + static_cast<int>(all.size());
    std::vector<Descriptor> apart;  // none of them where another one belongs
    std::string names;
    for (const Handed& each : all) {
        apart.emplace_back(fcntl(each.descriptor.get(), F_DUPFD_CLOEXEC, end));
        if (!apart.back()) return errno;
        names += (names.empty() ? "" : ":") + each.name;
    }
    for (int fd = kFirst; fd < end; ++fd) {
        if (dup2(apart[static_cast<std::size_t>(fd - kFirst)].get(), fd) < 0) return errno;
    }
    if (!all.empty()) {
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", std::to_string(all.size()).c_str(), 1);
        setenv("LISTEN_FDNAMES", names.c_str(), 1);
    }
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments.front(), arguments.data());
    return errno;
}

void tell_manager(const std::string& state) {
    if (!variable("NOTIFY_SOCKET").empty()) send(state, {});
}

std::optional<std::chrono::microseconds> take_watchdog() {
    const std::string pid = take_variable("WATCHDOG_PID"), patience = take_variable("WATCHDOG_USEC");
    std::int64_t microseconds = 0;
    std::from_chars(patience.data(), patience.data() + patience.size(), microseconds);
    const bool is_ours = pid.empty() || pid == std::to_string(getpid());
    if (!is_ours || microseconds < 2) return std::nullopt;
    return std::chrono::microseconds(microseconds / 2);
}

}  // namespace aronet::daemon
