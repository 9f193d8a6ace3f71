// The process that holds descriptors: no configuration, no secret, no privilege.

#include "daemon/custody.hpp"
#include "daemon/exit_status.hpp"
#include "daemon/fd_message.hpp"
#include "daemon/privileges.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>

namespace aronet::daemon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kPatience{5};  // with the next process
constexpr std::size_t kHeldMax = 64;

class Holder {
public:
    explicit Holder(int listener) : listener_(listener) {}

    // Until it is told to end, has nothing to hold any more, or nobody comes.
    void work() {
        alone_since_ = Clock::now();
        while (!is_told_to_end_) {
            pollfd all[] = {{listener_.get(), POLLIN, 0}, {user_.get(), POLLIN, 0}};
            const int ready = poll(all, user_ ? 2 : 1, user_ ? -1 : patience_left());
            if (ready == 0) return;
            const bool left = user_ && all[1].revents != 0 && !listen_to_user();
            if (all[0].revents != 0) {
                hear_user_out();
                admit();
            }
            if (left && !user_ && held_.empty()) return;
        }
    }

private:
    int patience_left() const {
        const auto left = alone_since_ + kPatience - Clock::now();
        return std::max(
            0, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(left).count())
        );
    }

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
    if (!give_up_everything().empty()) return exit_status::failure;
    Holder(listener).work();
    unlink(address.sun_path);
    return exit_status::ok;
}

}  // namespace aronet::daemon
