#include "daemon/custody.hpp"

#include "daemon/fd_message.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <sstream>

namespace aronet::daemon {
namespace {

constexpr timeval kPatience{2, 0};  // with a process that has nothing else to do
constexpr int kListener = 3;        // as `aronet hold` has it

std::optional<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return std::nullopt;
    path.copy(address.sun_path, path.size());
    return address;
}

// Nothing of ours goes along: another image, another session, no descriptor but the listener. Twice forked,
// so that it is nobody's child to wait for.
[[noreturn]] void become_holder(int listener) {
    setsid();
    if (fork() != 0) _exit(0);
    const int nowhere = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < kListener; ++fd) dup2(nowhere, fd);
    if (listener == kListener) {
        fcntl(listener, F_SETFD, 0);
    } else {
        dup2(listener, kListener);
    }
    close_range(kListener + 1, ~0u, 0);
    if (chdir("/") != 0) _exit(1);
    char name[] = "aronet", what[] = "hold";
    char* const arguments[] = {name, what, nullptr};
    char* const environment[] = {nullptr};
    execve("/proc/self/exe", arguments, environment);
    _exit(1);
}

}  // namespace

Custody::Custody(std::string path, std::vector<Handed> handed, bool wanted)
    : path_(std::move(path)), managed_(has_manager()), left_(std::move(handed)) {
    if (managed_) {
        move_to_manager();
        return;
    }
    left_.clear();
    if (!ask_holder() && wanted && (!start_holder() || !ask_holder()))
        why_ = path_ + ": " + std::strerror(errno);
}

// Of what a daemon left that was started otherwise.
void Custody::move_to_manager() {
    const std::size_t before = left_.size();
    if (!ask_holder()) return;
    std::vector<Handed> held(
        std::make_move_iterator(left_.begin() + std::ptrdiff_t(before)), std::make_move_iterator(left_.end())
    );
    left_.resize(before);
    for (Handed& each : held) {
        if (std::ranges::find(left_, each.name, &Handed::name) != left_.end()) continue;
        give_to_manager(each.name, each.descriptor.get());
        left_.push_back(std::move(each));
    }
    end_holder();
}

void Custody::give_to_manager(const std::string& name, int descriptor) {
    if (std::string why = keep_with_manager(name, descriptor); !why.empty()) why_ = std::move(why);
}

void Custody::end_holder() {
    tell("end");
    receive_message(holder_.get());  // that it is over
    holder_.close();
    unlink(path_.c_str());  // in somebody else's directory it may not
}

bool Custody::ask_holder() {
    const auto address = address_of(path_);
    if (!address) {
        errno = ENAMETOOLONG;
        return false;
    }
    Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
        return false;
    if (!is_trusted(socket.get())) {
        errno = EPERM;
        return false;
    }
    auto said = receive_message(socket.get());
    if (!said) return false;
    std::istringstream names(said->text);
    std::string name;
    std::getline(names, name);  // whose words these are
    for (Descriptor& descriptor : said->descriptors) {
        if (std::getline(names, name)) left_.push_back({name, std::move(descriptor)});
    }
    holder_ = std::move(socket);
    return true;
}

// The socket is there before the process is: whoever comes then is heard.
bool Custody::start_holder() {
    const auto address = address_of(path_);
    if (!address) return false;
    const Descriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    unlink(path_.c_str());
    const mode_t before = umask(0177);
    const bool bound =
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
    umask(before);
    if (!bound || listen(listener.get(), 1) != 0) return false;
    const pid_t child = fork();
    if (child == 0) become_holder(listener.get());
    return child > 0 && waitpid(child, nullptr, 0) == child;
}

Descriptor Custody::take(const std::string& name) {
    const auto found = std::ranges::find(left_, name, &Handed::name);
    if (found == left_.end()) return {};
    Descriptor descriptor = std::move(found->descriptor);
    left_.erase(found);
    kept_.push_back(name);
    return descriptor;
}

void Custody::keep(const std::string& name, int descriptor) {
    if (std::ranges::find(kept_, name) != kept_.end()) return;
    kept_.push_back(name);
    if (managed_) {
        give_to_manager(name, descriptor);
    } else {
        tell("keep " + name, descriptor);
    }
}

void Custody::drop(const std::string& name) {
    std::erase(kept_, name);
    if (managed_) {
        drop_from_manager(name);
    } else {
        tell("drop " + name);
    }
}

void Custody::drop_others() {
    for (const Handed& each : std::exchange(left_, {})) drop(each.name);
}

void Custody::end() {
    drop_others();
    if (managed_) {
        for (const std::string& name : kept_) drop_from_manager(name);
    } else if (holder_) {
        end_holder();
    }
}

void Custody::tell(const std::string& what, int descriptor) {
    if (!holder_) return;
    std::vector<int> descriptors;
    if (descriptor >= 0) descriptors.push_back(descriptor);
    if (const int error = send_message(holder_.get(), what, descriptors); error != 0)
        why_ = path_ + ": " + std::strerror(error);
}

}  // namespace aronet::daemon
