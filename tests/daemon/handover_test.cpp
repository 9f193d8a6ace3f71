// Descriptors on their way from one process to another.

#include "daemon/handover.hpp"

#include "manager.hpp"

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
using aronet::test::Manager;

namespace {

Handed file_of(const std::string& name, const std::string& text) {
    Handed file{name, Descriptor(memfd_create(name.c_str(), MFD_CLOEXEC))};
    REQUIRE(write(file.descriptor.get(), text.data(), text.size()) == ssize_t(text.size()));
    return file;
}

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
