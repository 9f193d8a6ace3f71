// What a process may do after it has given up the rest: tried in a child, because there is no way back.

#include "daemon/privileges.hpp"

#include "daemon/descriptor.hpp"
#include "has.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <thread>

using namespace aronet;
using daemon::Privileges;
using overlay::SeccompChoice;

namespace {

overlay::Config config_of(overlay::Mode mode) {
    overlay::Config config;
    config.mode = mode;
    config.endpoints.resize(2);
    return config;
}

// In a child that has given up all but what is needed: its exit status, 99 where that was refused.
int after_giving_up(const Privileges& needed, SeccompChoice seccomp, const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) _exit(daemon::give_up_all_but(needed, seccomp).empty() ? work() : 99);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int error_of(long result) { return result < 0 ? errno : 0; }

struct Call {
    const char* name;
    std::function<long()> make;
};
const std::vector<Call> kRefused{
    {"ptrace", [] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
    {"bpf", [] { return syscall(SYS_bpf, 0, nullptr, 0); }},
    {"io_uring_setup", [] { return syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"keyctl", [] { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }},
    {"open_by_handle_at", [] { return syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
    {"perf_event_open", [] { return syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0); }},
    {"process_vm_readv", [] { return syscall(SYS_process_vm_readv, getpid(), nullptr, 0, nullptr, 0, 0); }},
    {"init_module", [] { return syscall(SYS_init_module, nullptr, 0, nullptr); }},
    {"mount", [] { return long(mount("", "/nowhere", "tmpfs", 0, nullptr)); }},
    {"move_mount", [] { return syscall(SYS_move_mount, -1, "", -1, "", 0); }},
    {"setns", [] { return long(setns(-1, 0)); }},
    {"unshare", [] { return long(unshare(CLONE_NEWUSER)); }},
    {"clone of a namespace", [] { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr); }},
    {"execve", [] { return long(execl("/nowhere", "nowhere", nullptr)); }},
    {"execveat", [] { return syscall(SYS_execveat, -1, "", nullptr, nullptr, 0); }},
    {"a packet socket", [] { return long(socket(AF_PACKET, SOCK_RAW, 0)); }},
    {"a vsock", [] { return long(socket(AF_VSOCK, SOCK_STREAM, 0)); }},
    {"a Bluetooth socket", [] { return long(socket(AF_BLUETOOTH, SOCK_RAW, 0)); }},
    {"a socket of AX.25", [] { return long(socket(AF_AX25, SOCK_DGRAM, 0)); }},
};

int first_not_refused() {
    for (std::size_t i = 0; i < kRefused.size(); ++i) {
        if (error_of(kRefused[i].make()) != EPERM) return static_cast<int>(i) + 1;
    }
    return 0;
}

// What the daemon does all the time.
int first_refused() {
    int step = 1;
    for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
        const daemon::Descriptor opened(socket(family, SOCK_DGRAM, 0));
        if (!opened) return step;
        ++step;
    }
    bool ran = false;
    std::thread([&] { ran = true; }).join();
    if (!ran) return step;
    const daemon::Descriptor file(open("/proc/sys/net/ipv4/ip_forward", O_RDONLY | O_CLOEXEC));
    return file ? 0 : step + 1;
}

std::string line_of_status(const std::string& name) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name + ":")) return line.substr(line.find_last_of("\t ") + 1);
    }
    return "";
}

std::uint64_t capabilities(const std::string& set) { return std::stoull(line_of_status(set), nullptr, 16); }

}  // namespace

TEST_CASE("what is needed follows from the configuration") {
    const Privileges vrf = daemon::needed(config_of(overlay::Mode::vrf), false, false);
    CHECK(vrf == Privileges{{CAP_NET_ADMIN}, false, false, false});
    const Privileges made = daemon::needed(config_of(overlay::Mode::netns), false, false);
    CHECK(made == Privileges{{CAP_NET_ADMIN, CAP_SYS_ADMIN}, false, true, false});
    CHECK(daemon::needed(config_of(overlay::Mode::netns), false, true) == vrf);
    CHECK(daemon::needed(config_of(overlay::Mode::none), false, false) == vrf);

    overlay::Config low = config_of(overlay::Mode::vrf);
    low.endpoints[1].port = 500;
    CHECK(
        daemon::needed(low, false, false).capabilities == std::set<int>{CAP_NET_ADMIN, CAP_NET_BIND_SERVICE}
    );

    const Privileges root = daemon::needed(config_of(overlay::Mode::vrf), true, false);
    CHECK(root.capabilities == std::set<int>{CAP_NET_ADMIN, CAP_DAC_OVERRIDE});
    CHECK_FALSE(root.is_unlimited);
    overlay::Config scripts = config_of(overlay::Mode::vrf);
    scripts.endpoints[0].updown = "/bin/true";
    CHECK(daemon::needed(scripts, true, false).is_unlimited);
    CHECK(daemon::needed(scripts, false, false) == Privileges{{CAP_NET_ADMIN}, true, false, false});
}

TEST_CASE("capabilities are given up for good, those for the programs that are executed too", "[native]") {
    const Privileges needed{{CAP_NET_ADMIN}, false, false, false};
    const int status = after_giving_up(needed, SeccompChoice::enforce, [] {
        const std::uint64_t only = std::uint64_t{1} << CAP_NET_ADMIN;
        if (capabilities("CapEff") != only) return 1;
        if (capabilities("CapPrm") != only) return 2;
        if (capabilities("CapBnd") != only) return 3;
        if (capabilities("CapInh") != 0 || capabilities("CapAmb") != 0) return 4;
        if (line_of_status("NoNewPrivs") != "1") return 5;
        if (line_of_status("Seccomp") != "2") return 6;
        return daemon::has_capability(CAP_NET_ADMIN) && !daemon::has_capability(CAP_SYS_ADMIN) ? 0 : 7;
    });
    CHECK(status == 0);
}

TEST_CASE("calls that the daemon has no use for are refused, those it needs are not", "[native]") {
    const Privileges needed{{CAP_NET_ADMIN}, false, false, false};
    const int open = after_giving_up(needed, SeccompChoice::enforce, first_not_refused);
    INFO((open == 0 || open > int(kRefused.size()) ? "" : kRefused[std::size_t(open) - 1].name));
    CHECK(open == 0);
    CHECK(after_giving_up(needed, SeccompChoice::enforce, first_refused) == 0);
    CHECK(after_giving_up(needed, SeccompChoice::enforce, [] {
              int status = 0;
              std::thread([&] { status = first_not_refused(); }).join();  // a thread that comes later
              return status;
          }) == 0);
}

TEST_CASE(
    "scripts can be executed where there are any, and namespaces entered where they are made", "[native]"
) {
    const auto execute = [] { return error_of(execl("/bin/true", "true", nullptr)); };
    const auto enter = [] { return error_of(unshare(CLONE_NEWNET)); };
    const Privileges plain{{CAP_NET_ADMIN}, false, false, false};
    CHECK(after_giving_up(plain, SeccompChoice::enforce, execute) == EPERM);
    CHECK(after_giving_up({{CAP_NET_ADMIN}, true, false, false}, SeccompChoice::enforce, execute) == 0);
    CHECK(after_giving_up(plain, SeccompChoice::enforce, enter) == EPERM);
    const Privileges making{{CAP_NET_ADMIN, CAP_SYS_ADMIN}, false, true, false};
    CHECK(after_giving_up(making, SeccompChoice::enforce, enter) == 0);
    // Root's scripts have root's means, but for what reaches into the kernel.
    const Privileges unlimited{{CAP_NET_ADMIN}, true, false, true};
    CHECK(after_giving_up(unlimited, SeccompChoice::enforce, [] {
              return daemon::has_capability(CAP_SYS_ADMIN) && line_of_status("NoNewPrivs") == "0" ? 0 : 1;
          }) == 0);
    CHECK(after_giving_up(unlimited, SeccompChoice::enforce, [] {
              return error_of(syscall(SYS_bpf, 0, nullptr, 0));
          }) == EPERM);
}

TEST_CASE("a filter that only logs, and none, refuse nothing", "[native]") {
    const Privileges needed{{CAP_NET_ADMIN}, false, false, false};
    const auto execute = [] { return error_of(execl("/bin/true", "true", nullptr)); };
    CHECK(after_giving_up(needed, SeccompChoice::log, execute) == 0);
    CHECK(after_giving_up(needed, SeccompChoice::log, [] {
              return line_of_status("Seccomp") == "2" ? 0 : 1;
          }) == 0);
    CHECK(after_giving_up(needed, SeccompChoice::off, execute) == 0);
    CHECK(after_giving_up(needed, SeccompChoice::off, [] {
              return line_of_status("Seccomp") == "0" ? 0 : 1;
          }) == 0);
}
