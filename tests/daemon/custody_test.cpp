// Descriptors that outlive who opened them, with the holder in a process of its own as in the field.

#include "daemon/custody.hpp"

#include "manager.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace aronet::daemon;
using aronet::test::Manager;

namespace {

Descriptor file_of(const std::string& text) {
    Descriptor file(memfd_create("held", MFD_CLOEXEC));
    REQUIRE(write(file.get(), text.data(), text.size()) == ssize_t(text.size()));
    return file;
}

std::string text_of(const Descriptor& file) {
    char text[64] = {};
    const ssize_t size = pread(file.get(), text, sizeof text, 0);
    return size < 0 ? "nothing" : std::string(text, std::size_t(size));
}

struct Holder {
    Holder() : path(std::filesystem::temp_directory_path() / ("held-" + std::to_string(getpid()))) {
        const Descriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(listen(listener.get(), 1) == 0);
        pid = fork();
        if (pid == 0) _exit(hold(listener.get()));
    }
    ~Holder() {
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
        unlink(path.c_str());
    }
    bool ended() { return exited() && !std::filesystem::exists(path); }
    bool exited() {
        int status = 0;
        for (int i = 0; i < 100; ++i) {
            if (waitpid(pid, &status, WNOHANG) == pid) {
                pid = -1;
                return WIFEXITED(status) && WEXITSTATUS(status) == 0;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        return false;
    }
    std::string path;
    pid_t pid;
};

}  // namespace

TEST_CASE("row 14: what one process gave the holder the next one takes, as often as that happens") {
    Holder holder;
    {
        Custody first(holder.path, {}, true);
        CHECK(first.why().empty());
        CHECK_FALSE(first.take("a"));
        first.keep("a", file_of("old").get());
        first.drop("a");
        first.keep("a", file_of("of a").get());
        first.keep("b", file_of("of b").get());
    }
    for (int i = 0; i < 2; ++i) {
        Custody next(holder.path, {}, true);
        const Descriptor a = next.take("a");
        CHECK(text_of(a) == "of a");
        CHECK((fcntl(a.get(), F_GETFD) & FD_CLOEXEC) != 0);
        if (i == 1) CHECK_FALSE(next.take("b"));
        next.drop_others();
    }
    Custody last(holder.path, {}, true);
    CHECK(last.take("a"));
    last.end();
    CHECK(holder.ended());
}

TEST_CASE("a holder with nothing to hold ends with its only user") {
    Holder holder;
    {
        Custody only(holder.path, {}, true);
        only.keep("a", file_of("of a").get());
        CHECK(only.take("a").get() < 0);  // it is of this process already
    }
    { Custody(holder.path, {}, true).drop_others(); }
    CHECK(holder.ended());
}

TEST_CASE("where nothing is wanted and nothing was left nobody is started") {
    const std::string path = std::filesystem::temp_directory_path() / ("nobody-" + std::to_string(getpid()));
    Custody custody(path, {}, false);
    CHECK(custody.why().empty());
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a holder that nobody can find any more holds nothing, and leaves what took its place") {
    for (const bool is_replaced : {false, true}) {
        Holder holder;
        { Custody(holder.path, {}, true).keep("a", file_of("of a").get()); }
        std::filesystem::remove(holder.path);
        if (is_replaced) std::ofstream(holder.path) << "somebody else's";
        CHECK(holder.exited());
        CHECK(std::filesystem::exists(holder.path) == is_replaced);
    }
}

TEST_CASE("row 15: under a manager it has all that is kept, also what a daemon left with a holder") {
    Holder holder;
    {
        Custody by_hand(holder.path, {}, true);
        by_hand.keep("a", file_of("of a").get());
        by_hand.keep("b", file_of("of b").get());
    }
    Manager manager;
    {
        std::vector<Handed> handed;
        handed.push_back({"b", file_of("newer")});
        handed.push_back({"c", file_of("of c")});
        Custody managed(holder.path, std::move(handed), true);
        CHECK(managed.why().empty());
        CHECK(holder.ended());
        CHECK(text_of(managed.take("a")) == "of a");
        CHECK(text_of(managed.take("b")) == "newer");
        managed.keep("d", file_of("of d").get());
        managed.drop_others();
    }
    manager.end();
    CHECK(manager.kept == std::multimap<std::string, std::string>{{"a", "of a"}, {"d", "of d"}});
}
