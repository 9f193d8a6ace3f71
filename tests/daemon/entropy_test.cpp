// Where the system gives no random octets, nothing that needs them goes on.

#include "daemon/entropy.hpp"

#include <catch2/catch.hpp>

#include <seccomp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

using namespace aronet;

namespace {

// How a child ends that asks for a seed after these calls were taken from it.
int ends_without(std::initializer_list<int> calls) {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none{0, 0};
        setrlimit(RLIMIT_CORE, &none);
        std::signal(SIGABRT, SIG_DFL);
        const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        for (const int call : calls) seccomp_rule_add(filter, SCMP_ACT_ERRNO(EIO), call, 0);
        if (seccomp_load(filter) != 0) _exit(99);
        const base::Secret seed = daemon::entropy();
        _exit(seed.size() == 32 ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("row 26: without entropy there is no seed, and no process") {
    CHECK(ends_without({}) == 0);
    CHECK(ends_without({SCMP_SYS(getrandom), SCMP_SYS(openat), SCMP_SYS(open)}) == -SIGABRT);
}

TEST_CASE("two seeds are never the same") {
    const base::Secret one = daemon::entropy(), other = daemon::entropy();
    CHECK_FALSE(one == other);
}
