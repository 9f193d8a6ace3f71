#include "daemon/netns.hpp"

#include "base/result.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <thread>

namespace aronet::daemon {
namespace {

constexpr const char* kDirectory = "/run/netns";

std::string path_of(const std::string& name) { return std::string(kDirectory) + "/" + name; }

// The directory has to be a shared mount of its own, or the namespaces would not show in other mount
// namespaces.
int prepare_directory() {
    if (mkdir(kDirectory, 0755) != 0 && errno != EEXIST) return errno;
    if (mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0) return 0;
    if (errno != EINVAL) return errno;
    if (mount(kDirectory, kDirectory, "none", MS_BIND | MS_REC, nullptr) != 0) return errno;
    return mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0 ? 0 : errno;
}

bool is_namespace(const std::string& name) {
    const Descriptor fd = open_namespace(name);
    if (!fd) return false;
    int error = 0;
    std::thread([&] { error = setns(fd.get(), CLONE_NEWNET) == 0 ? 0 : errno; }).join();
    return error == 0;
}

int bind_new_namespace(const std::string& path) {
    int error = 0;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) != 0 ||
            mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) != 0) {
            error = errno;
        }
    }).join();
    return error;
}

}  // namespace

int make_namespace(const std::string& name) {
    if (is_namespace(name)) return 0;
    if (const int error = prepare_directory(); error != 0) return error;
    const std::string path = path_of(name);
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
    if (!file) return errno;
    const int error = bind_new_namespace(path);
    if (error != 0) unlink(path.c_str());
    return error;
}

int remove_namespace(const std::string& name) {
    const std::string path = path_of(name);
    if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) return errno;
    return unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

Descriptor open_namespace(const std::string& name) {
    return Descriptor(open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
}

void inside_namespace(int namespace_fd, const std::function<void()>& work) {
    if (namespace_fd < 0) return work();
    std::thread([&] {
        base::ensure(setns(namespace_fd, CLONE_NEWNET) == 0, "a namespace that was opened can be entered");
        work();
    }).join();
}

}  // namespace aronet::daemon
