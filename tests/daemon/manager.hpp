#pragma once

// The service manager's part in handing descriptors on.

#include "daemon/handover.hpp"

#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace aronet::test {

inline std::string text_of(int file) {
    char text[64] = {};
    const ssize_t size = pread(file, text, sizeof text, 0);
    return size < 0 ? "unreadable" : std::string(text, std::size_t(size));
}

// A service manager as far as its store goes: what is kept, by name.
class Manager {
public:
    Manager()
        : path_(std::filesystem::temp_directory_path() / ("manager-" + std::to_string(getpid()))),
          socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        setenv("NOTIFY_SOCKET", path_.c_str(), 1);
        thread_ = std::thread([this] {
            while (receive()) continue;
        });
    }
    ~Manager() { end(); }
    // Everything that was sent has been read afterwards.
    void end() {
        if (!thread_.joinable()) return;
        daemon::tell_manager("END");
        thread_.join();
        unsetenv("NOTIFY_SOCKET");
        unlink(path_.c_str());
    }

    std::multimap<std::string, std::string> kept;  // name, text
    std::vector<std::string> told;

private:
    bool receive() {
        char text[512] = {};
        iovec vector{text, sizeof text - 1};
        alignas(cmsghdr) char control[256];
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        if (recvmsg(socket_.get(), &message, 0) < 0) return false;
        daemon::Descriptor given;
        if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
            given = daemon::Descriptor(fd);
        }
        const std::string state = text;
        const std::string name = state.substr(std::min(state.find("FDNAME=") + 7, state.size()));
        if (state.starts_with("FDSTORE=1\n")) kept.emplace(name, text_of(given.get()));
        if (state.starts_with("FDSTOREREMOVE=1\n")) kept.erase(name);
        told.push_back(state);
        return state != "END";
    }

    std::string path_;
    daemon::Descriptor socket_;
    std::thread thread_;
};

}  // namespace aronet::test
