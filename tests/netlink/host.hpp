#pragma once

// Two fresh network namespaces and a Session on real netlink sockets in them, for tests that want the
// kernel's opinion.

#include "has.hpp"
#include "netlink/session.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <thread>

namespace aronet::netlink {

class Host {
public:
    Host() {
        REQUIRE(geteuid() == 0);
        std::thread([this] {
            open_space(0);
            sockets_[2] = open_socket(NETLINK_XFRM, groups(Channel::xfrm));
            open_space(1);
        }).join();
        session_.use_overlay(spaces_[1]);
    }
    ~Host() {
        for (const int fd : sockets_) close(fd);
        for (const int fd : spaces_) close(fd);
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    // Hands the wish over and waits for its answer; every other notice is kept.
    Done perform(Wish wish) {
        const ChangeId id = ++last_id_;
        session_.handle(Change{id, std::move(wish)}, now(), output_);
        return wait_for<Done>([&](const Done& done) { return done.id == id; });
    }

    // All at once; the answers in the order they came.
    std::vector<Done> perform_all(std::vector<Wish> wishes) {
        for (Wish& wish : wishes) session_.handle(Change{++last_id_, std::move(wish)}, now(), output_);
        std::vector<Done> answers;
        while (answers.size() < wishes.size()) answers.push_back(wait_for<Done>());
        return answers;
    }

    template <class T>
    T wait_for(const std::function<bool(const T&)>& wanted = [](const T&) { return true; }) {
        for (int turns = 0; turns < 300; ++turns) {
            for (auto it = notices_.begin(); it != notices_.end(); ++it) {
                const T* found = std::get_if<T>(&*it);
                if (found == nullptr || !wanted(*found)) continue;
                T copy = *found;
                notices_.erase(it);
                return copy;
            }
            exchange();
        }
        FAIL("no such notice within three seconds");
        return T{};
    }

    template <class T>
    bool has_heard() const {
        return std::ranges::any_of(notices_, [](const Notice& each) {
            return std::holds_alternative<T>(each);
        });
    }

    Snapshot snapshot(const std::string& link_prefix) {
        REQUIRE(perform(TakeSnapshot{link_prefix}).error == 0);
        return wait_for<Snapshot>();
    }

    // What a shell command prints inside the space.
    std::string run(Space space, const std::string& command) {
        std::string text;
        std::thread([&] {
            setns(spaces_[static_cast<std::size_t>(space)], CLONE_NEWNET);
            FILE* pipe = popen((command + " 2>&1").c_str(), "r");
            std::array<char, 4096> buffer;
            while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), pipe))
                text.append(buffer.data(), size);
            pclose(pipe);
        }).join();
        return text;
    }

    Session& session() { return session_; }

private:
    void open_space(std::size_t index) {
        REQUIRE(unshare(CLONE_NEWNET) == 0);
        spaces_[index] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        sockets_[index] = open_socket(NETLINK_ROUTE, groups(Channel::underlay_route));
    }

    static int open_socket(int protocol, std::span<const int> memberships) {
        const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1;
        const int room = 8 << 20;  // as the daemon has it
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
        setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
        for (const int group : memberships)
            setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
        return fd;
    }

    static base::Instant now() { return base::Instant(std::chrono::steady_clock::now().time_since_epoch()); }

    void exchange() {
        SessionOutput output = std::exchange(output_, {});
        for (auto& notice : output.notices) notices_.push_back(std::move(notice));
        for (const auto& message : output.send) {
            const int fd = sockets_[static_cast<std::size_t>(message.channel)];
            REQUIRE(send(fd, message.bytes.data(), message.bytes.size(), 0) == ssize_t(message.bytes.size()));
        }
        std::array<pollfd, 3> ready{
            {{sockets_[0], POLLIN, 0}, {sockets_[1], POLLIN, 0}, {sockets_[2], POLLIN, 0}}};
        if (!output_.send.empty() || !output.send.empty() || output.notices.empty())
            poll(ready.data(), 3, 10);
        for (std::size_t i = 0; i < 3; ++i) {
            if ((ready[i].revents & POLLIN) == 0) continue;
            ssize_t size;
            while ((size = recv(sockets_[i], buffer_.data(), buffer_.size(), MSG_DONTWAIT)) > 0)
                session_.handle(static_cast<Channel>(i), {buffer_.data(), std::size_t(size)}, now(), output_);
        }
        for (auto& notice : output_.notices) notices_.push_back(std::move(notice));
        output_.notices.clear();
    }

    std::array<int, 2> spaces_{};
    std::array<int, 3> sockets_{};
    Session session_;
    SessionOutput output_;
    std::vector<Notice> notices_;
    ChangeId last_id_ = 0;
    std::vector<base::Byte> buffer_ = std::vector<base::Byte>(256 * 1024);
};

inline Address address(const char* text) { return *Address::parse(text); }
inline Prefix prefix(const char* text) { return *Prefix::parse(text); }

inline Link veth_link() {
    Link link;
    link.name = "ov";
    link.kind = Veth{"ov", Space::overlay};
    return link;
}

}  // namespace aronet::netlink
