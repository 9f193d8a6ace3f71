#include "daemon/privileges.hpp"

#include <cap-ng.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace aronet::daemon {
namespace {

using overlay::SeccompChoice;

constexpr std::uint16_t kFirstPortOfAll = 1024;  // the ports before it take CAP_NET_BIND_SERVICE

// No daemon of the network has a use for these: they reach into other processes and into the kernel itself.
constexpr std::array kNever{
// Other processes. (The leak checker looks at its own process so.)
#ifndef __SANITIZE_ADDRESS__
    "ptrace",
#endif
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_getfd",
    "kcmp",
    // Programs and rings inside the kernel, and files past their paths.
    "bpf",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "open_by_handle_at",
    "fanotify_init",
    "lookup_dcookie",
    // Its keys, and the machine.
    "keyctl",
    "add_key",
    "request_key",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "iopl",
    "ioperm",
    "modify_ldt",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "vhangup",
    "personality",
    "uselib",
    "_sysctl",
    "nfsservctl",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "stime",
    "move_pages",
    "migrate_pages",
};
constexpr std::array kExecuting{"execve", "execveat"};
constexpr std::array kMounting{
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "setns",
    "unshare",
};
constexpr std::array<scmp_datum_t, 7> kNewNamespaces{
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
};
// All that is left to a process which holds descriptors.
constexpr std::array kHolding{
    "poll",     "ppoll",
    "accept4",  "recvmsg",
    "sendmsg",  "getsockopt",
    "close",    "unlink",
    "unlinkat", "exit_group",
    "exit",     "clock_gettime",
    "brk",      "mmap",
    "munmap",   "rt_sigreturn",
    "futex",    "restart_syscall",
    "geteuid",  "clock_gettime64",
    "madvise",  "mprotect",
    "write",    "stat",
    "stat64",   "newfstatat",
    "statx",    "fstatat64",
};
constexpr std::array<scmp_datum_t, 4> kFamilies{AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};  // rising

// Every call but those that are refused, or none but those that are allowed. The first error is kept.
class Filter {
public:
    explicit Filter(SeccompChoice choice, bool only_what_is_allowed = false)
        : action_(choice == SeccompChoice::log ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(EPERM)),
          context_(seccomp_init(only_what_is_allowed ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW)) {
        if (!context_) error_ = ENOMEM;
        keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, action_));
    }

    void refuse(const char* call) {
        const int number = seccomp_syscall_resolve_name(call);
        if (number != __NR_SCMP_ERROR) keep(seccomp_rule_add(context_.get(), action_, number, 0));
    }
    void refuse(const char* call, scmp_arg_cmp when) {
        const int number = seccomp_syscall_resolve_name(call);
        keep(seccomp_rule_add_array(context_.get(), action_, number, 1, &when));
    }
    // Its arguments are out of a filter's sight. The C library does without.
    void deny_existence(const char* call) {
        const int number = seccomp_syscall_resolve_name(call);
        if (action_ != SCMP_ACT_LOG)
            keep(seccomp_rule_add(context_.get(), SCMP_ACT_ERRNO(ENOSYS), number, 0));
    }

    void allow(const char* call) {
        const int number = seccomp_syscall_resolve_name(call);
        if (number != __NR_SCMP_ERROR) keep(seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, number, 0));
    }

    // 0 or an errno. Whether new privileges are possible is not for the filter to say.
    int load() {
        keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_NNP, 0));
        if (error_ == 0) keep(seccomp_load(context_.get()));
        return error_;
    }

private:
    void keep(int result) {
        if (result < 0 && error_ == 0) error_ = -result;
    }
    struct Released {
        void operator()(void* context) const { seccomp_release(context); }
    };

    std::uint32_t action_;
    std::unique_ptr<void, Released> context_;
    int error_ = 0;
};

// A rule may look at an argument once: what is allowed lies between the ranges that are not.
void refuse_other_families(Filter& filter) {
    filter.refuse("socket", {0, SCMP_CMP_LT, kFamilies.front(), 0});
    filter.refuse("socket", {0, SCMP_CMP_GT, kFamilies.back(), 0});
    for (scmp_datum_t family = kFamilies.front(); family < kFamilies.back(); ++family) {
        if (std::ranges::find(kFamilies, family) == kFamilies.end())
            filter.refuse("socket", {0, SCMP_CMP_EQ, family, 0});
    }
}

int filter_calls(const Privileges& needed, SeccompChoice choice) {
    Filter filter(choice);
    for (const char* call : kNever) filter.refuse(call);
    if (!needed.executes) {
        for (const char* call : kExecuting) filter.refuse(call);
    }
    if (!needed.enters && !needed.is_unlimited) {
        for (const char* call : kMounting) filter.refuse(call);
        for (const scmp_datum_t flag : kNewNamespaces)
            filter.refuse("clone", {0, SCMP_CMP_MASKED_EQ, flag, flag});
        filter.deny_existence("clone3");
    }
    if (!needed.is_unlimited) refuse_other_families(filter);
    return filter.load();
}

// 0 or an errno. What a script inherits of an unprivileged daemon is what that has.
int drop_capabilities(const Privileges& needed) {
    capng_get_caps_process();
    const bool may_narrow_bounds = has_capability(CAP_SETPCAP);
    std::set<int> kept, had;
    for (int capability = 0; capability <= static_cast<int>(CAP_LAST_CAP); ++capability) {
        if (capng_have_capability(CAPNG_PERMITTED, unsigned(capability)) == 0) continue;
        had.insert(capability);
        if (needed.capabilities.contains(capability)) kept.insert(capability);
    }
    if (had == kept) return 0;  // a sandbox may not even let us say so
    capng_clear(CAPNG_SELECT_BOTH);
    unsigned sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
    if (needed.executes) sets |= CAPNG_INHERITABLE;
    for (const int capability : kept) capng_update(CAPNG_ADD, capng_type_t(sets), unsigned(capability));
    errno = EPERM;
    return capng_apply(may_narrow_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) == 0 ? 0 : errno;
}

}  // namespace

Privileges needed(const overlay::Config& config, bool is_root, bool was_handed_over) {
    Privileges out;
    out.capabilities.insert(CAP_NET_ADMIN);
    if (is_root) out.capabilities.insert(CAP_DAC_OVERRIDE);
    for (const overlay::EndpointConfig& endpoint : config.endpoints) {
        if (!endpoint.updown.empty()) out.executes = true;
        if (endpoint.port < kFirstPortOfAll) out.capabilities.insert(CAP_NET_BIND_SERVICE);
    }
    out.enters = config.mode == overlay::Mode::netns && !was_handed_over;
    if (out.enters) out.capabilities.insert(CAP_SYS_ADMIN);
    out.is_unlimited = out.executes && is_root;
    return out;
}

bool has_capability(int capability) {
    capng_get_caps_process();
    return capng_have_capability(CAPNG_EFFECTIVE, unsigned(capability)) != 0;
}

// Capabilities last: without CAP_SYS_ADMIN a filter takes that nothing new can be gained, which is not so for
// root's scripts.
std::string give_up_all_but(const Privileges& needed, SeccompChoice seccomp) {
    if (!needed.is_unlimited && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return std::string("new privileges cannot be given up: ") + std::strerror(errno);
    if (const int error = seccomp == SeccompChoice::off ? 0 : filter_calls(needed, seccomp)) {
        return std::string("calls of the kernel cannot be filtered: ") + std::strerror(error) +
               "; \"daemon\": {\"seccomp\": \"off\"} does without";
    }
    if (const int error = needed.is_unlimited ? 0 : drop_capabilities(needed))
        return std::string("capabilities cannot be given up: ") + std::strerror(error);
    return "";
}

std::string give_up_everything() {
    const auto failed = [](const char* what, int error) { return std::string(what) + std::strerror(error); };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("new privileges: ", errno);
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0) return failed("capabilities: ", errno);
    Filter filter(SeccompChoice::enforce, true);
    for (const char* call : kHolding) filter.allow(call);
    const int error = filter.load();
    return error == 0 ? "" : failed("calls of the kernel: ", error);
}

}  // namespace aronet::daemon
