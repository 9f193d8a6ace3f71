// The process that holds descriptors: no configuration, no secret, no privilege.

#include "daemon/custody.hpp"
#include "daemon/exit_status.hpp"
#include "daemon/fd_message.hpp"
#include "daemon/privileges.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace aronet::daemon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kPatience{5};       // with the next process
constexpr std::chrono::milliseconds kGlance{500};  // whether it could find us at all
constexpr std::size_t kHeldMax = 64;

// The socket's file, by which we are found; somebody may remove it, or put another one in its place.
class Place {
public:
    explicit Place(const char* path) : path_(path) { is_known_ = stat(path, &first_) == 0; }
    bool is_ours() const {
        struct stat present {};
        return is_known_ && stat(path_, &present) == 0 && is_first(present);
    }
    // What we may not look at any more others may still find.
    bool is_lost() const {
        struct stat present {};
        if (!is_known_) return false;
        return stat(path_, &present) == 0 ? !is_first(present) : errno == ENOENT || errno == ENOTDIR;
    }
    void leave() const {
        if (is_ours()) unlink(path_);
    }

private:
    bool is_first(const struct stat& file) const {
        return file.st_dev == first_.st_dev && file.st_ino == first_.st_ino;
    }

    const char* path_;
    struct stat first_ {};
    bool is_known_;
};

class Holder {
public:
    Holder(int listener, const Place& place) : listener_(listener), place_(place) {}

    // Until it is told to end, has nothing to hold any more, or nobody comes, or could.
    void work() {
        alone_since_ = Clock::now();
        while (!is_told_to_end_) {
            pollfd all[] = {{listener_.get(), POLLIN, 0}, {user_.get(), POLLIN, 0}};
            const int ready = poll(all, user_ ? 2 : 1, user_ ? -1 : int(kGlance.count()));
            if (ready == 0 && (is_over() || place_.is_lost())) return;
            const bool left = user_ && all[1].revents != 0 && !listen_to_user();
            if (all[0].revents != 0) {
                hear_user_out();
                admit();
            }
            if (left && !user_ && held_.empty()) return;
        }
    }

private:
    bool is_over() const { return Clock::now() >= alone_since_ + kPatience; }

    // The one before has ended, or is about to: there is one daemon of a name.
    void admit() {
        Descriptor next(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!next || !is_trusted(next.get())) return;
        std::string text = "aronet holder 1\n";
        std::vector<int> descriptors;
        for (const Handed& each : held_) {
            text += each.name + "\n";
            descriptors.push_back(each.descriptor.get());
        }
        if (send_message(next.get(), text, descriptors) == 0) user_ = std::move(next);
    }

    // What it said before another one came, it said in time.
    void hear_user_out() {
        while (user_) {
            pollfd one{user_.get(), POLLIN, 0};
            if (poll(&one, 1, 0) <= 0 || !listen_to_user()) return;
        }
    }

    // False: it has gone.
    bool listen_to_user() {
        auto said = receive_message(user_.get());
        if (!said) {
            user_.close();
            alone_since_ = Clock::now();
            return false;
        }
        const std::size_t space = std::min(said->text.find(' '), said->text.size());
        const std::string verb = said->text.substr(0, space);
        const std::string name = said->text.substr(std::min(space + 1, said->text.size()));
        is_told_to_end_ = verb == "end";
        if (verb == "keep" || verb == "drop")
            std::erase_if(held_, [&](const Handed& each) { return each.name == name; });
        if (verb == "keep" && said->descriptors.size() == 1 && held_.size() < kHeldMax)
            held_.push_back({name, std::move(said->descriptors.front())});
        return true;
    }

    Descriptor listener_, user_;
    const Place& place_;
    std::vector<Handed> held_;
    Clock::time_point alone_since_;
    bool is_told_to_end_ = false;
};

}  // namespace

int hold(int listener) {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    const bool is_socket = getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    if (!is_socket || address.sun_family != AF_UNIX) return exit_status::usage;
    const Place place(address.sun_path);
    if (!give_up_everything().empty()) return exit_status::failure;
    Holder holder(listener, place);
    holder.work();
    place.leave();  // before it goes, by which the daemon knows that it is over
    return exit_status::ok;
}

}  // namespace aronet::daemon
