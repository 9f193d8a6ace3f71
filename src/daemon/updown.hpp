#pragma once

// ranet's `updown` scripts, run beside us as strongSwan runs them: for one tunnel one after the other, in the
// order of what happened. A script that hangs is killed, one that fails is told of; neither delays anything
// but the next script of its own tunnel.

#include "base/log.hpp"
#include "base/time.hpp"
#include "overlay/node.hpp"

#include <sys/types.h>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace aronet::daemon {

class Updown {
public:
    static constexpr base::Duration kPatience = std::chrono::seconds(30);  // with one script
    static constexpr std::size_t kWaitingMax = 16;                         // scripts of one tunnel

    ~Updown();  // kills what still runs

    void run(overlay::RunUpdown script, base::Instant now);
    void reap(base::Instant now);  // in answer to SIGCHLD
    void tick(base::Instant now);
    std::optional<base::Deadline> deadline() const;
    void hurry(base::Instant give_up_at);  // on a stop: everything ends until then
    bool idle() const { return tunnels_.empty(); }
    std::vector<base::Note> take_notes() { return std::exchange(notes_, {}); }

private:
    struct Tunnel {
        std::deque<overlay::RunUpdown> scripts;  // the first one runs
        pid_t pid = 0;
        base::Instant give_up_at{};
    };
    using Tunnels = std::map<std::string, Tunnel>;

    void start(Tunnels::iterator tunnel, base::Instant now);
    void warn(const Tunnels::value_type& tunnel, const std::string& what);

    Tunnels tunnels_;  // those with a script, by the name of the interface
    std::optional<base::Instant> end_;
    std::vector<base::Note> notes_;
};

}  // namespace aronet::daemon
