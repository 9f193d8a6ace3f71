// Descriptors on their way from one process to another.

#include "daemon/handover.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

using namespace aronet::daemon;

namespace {

Handed file_of(const std::string& name, const std::string& text) {
    Handed file{name, Descriptor(memfd_create(name.c_str(), MFD_CLOEXEC))};
    REQUIRE(write(file.descriptor.get(), text.data(), text.size()) == ssize_t(text.size()));
    return file;
}

std::string text_of(int file) {
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
        tell_manager("END");
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
        Descriptor given;
        if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
            given = Descriptor(fd);
        }
        const std::string state = text;
        const std::string name = state.substr(std::min(state.find("FDNAME=") + 7, state.size()));
        if (state.starts_with("FDSTORE=1\n")) kept.emplace(name, text_of(given.get()));
        if (state.starts_with("FDSTOREREMOVE=1\n")) kept.erase(name);
        told.push_back(state);
        return state != "END";
    }

    std::string path_;
    Descriptor socket_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("what is given to the manager replaces what it kept by the same name, and it has it when told so") {
    Manager manager;
    std::vector<Handed> all;
    all.push_back(file_of("one", "an old one"));
    CHECK(give_to_manager(all) == "");
    CHECK(manager.kept.size() == 1);  // already, without another word
    all.clear();
    all.push_back(file_of("one", "first"));
    all.push_back(file_of("two", "second"));
    all.push_back(file_of("one", "third"));
    CHECK(give_to_manager(all) == "");
    manager.end();
    CHECK(
        manager.kept ==
        std::multimap<std::string, std::string>{{"one", "first"}, {"one", "third"}, {"two", "second"}}
    );
    // A manager looks after what it keeps, and drops what has an error, unless it is told not to.
    for (const std::string& state : manager.told) {
        if (state.starts_with("FDSTORE=1")) CHECK(state.find("\nFDPOLL=0\n") != std::string::npos);
    }
}

TEST_CASE("without a manager nothing can be given, and nothing is told") {
    unsetenv("NOTIFY_SOCKET");
    std::vector<Handed> all;
    all.push_back(file_of("one", "text"));
    CHECK(give_to_manager(all) == "there is no service manager to ask");
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    CHECK(give_to_manager(all) == "/nowhere/at/all: No such file or directory");
    tell_manager("READY=1");
    unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("a program that is executed finds what it was handed, and its children do not") {
    std::vector<Handed> all;
    for (const char* name : {"one", "two", "one"}) all.push_back(file_of(name, name));
    const pid_t child = fork();
    if (child == 0) {
        _exit(execute(
            {"/bin/sh",
             "-c",
             R"sh([ "$LISTEN_PID.$LISTEN_FDS.$LISTEN_FDNAMES" = "$$.3.one:two:one" ] &&
                [ "$(cat /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5)" = onetwoone ] &&
                ! [ -e /proc/self/fd/6 ])sh"},
            all
        ));
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(execute({"/nowhere"}, {}) == ENOENT);
}

TEST_CASE("what another process was handed is left alone, what is ours is taken once") {
    const pid_t child = fork();
    if (child == 0) {
        const int file = memfd_create("test", 0);
        for (const int fd : {3, 4, 5}) dup2(file, fd);
        const auto offer = [](const std::string& pid) {
            setenv("LISTEN_PID", pid.c_str(), 1);
            setenv("LISTEN_FDS", "3", 1);
            setenv("LISTEN_FDNAMES", "one:two", 1);
        };
        offer(std::to_string(getpid() + 1));
        if (!take_handed().empty()) _exit(1);
        if (fcntl(3, F_GETFD) != 0) _exit(2);
        offer(std::to_string(getpid()));
        const auto all = take_handed();
        if (all.size() != 3 || all[0].name != "one" || all[1].name != "two" || !all[2].name.empty()) _exit(3);
        for (const int fd : {3, 4, 5}) {
            if (fcntl(fd, F_GETFD) != FD_CLOEXEC || all[std::size_t(fd) - 3].descriptor.get() != fd) _exit(4);
        }
        _exit(std::getenv("LISTEN_FDS") == nullptr && take_handed().empty() ? 0 : 5);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
}
