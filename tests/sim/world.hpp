#pragma once

// A network of complete nodes in one thread and in virtual time: underlay with delay, loss, duplication and
// cuts, NATs, a simulated Linux per node. After every event the invariants are checked; equal seeds give
// equal runs.

#include "kernel.hpp"
#include "overlay/desired.hpp"
#include "overlay/node.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace aronet::sim {

using base::Duration;
using base::Instant;

struct Weather {
    Duration delay = std::chrono::milliseconds(5);
    Duration jitter = std::chrono::milliseconds(0);  // also reorders
    unsigned loss_percent = 0, duplicate_percent = 0;
};

struct HostPlan {
    std::string name;
    bool behind_nat = false;  // no known address
    overlay::Mode mode = overlay::Mode::vrf;
    bool changes_keys = false;  // every half minute
    Duration suspicion_time = std::chrono::seconds(1);
    std::function<void(overlay::Config&)> configure;  // beyond that
    bool tells_connect = true;                        // the registry has its rules
};

class World {
public:
    World(std::uint64_t seed, const std::vector<HostPlan>& plans);
    ~World();

    Weather weather;
    void start(std::size_t host);
    void start_all();
    void stop(std::size_t host, bool keep = false);  // says goodbye, or leaves its kernel as it is
    void kill(std::size_t host);                     // its kernel keeps what it has
    void cut(std::size_t a, std::size_t b);          // nothing passes between the two
    void mend(std::size_t a, std::size_t b);
    bool is_cut(std::size_t a, std::size_t b) const { return cuts_.contains(std::minmax(a, b)); }
    void rebind(std::size_t host);  // its NAT forgets and maps anew
    void roam(std::size_t host);    // another network: another address of its own, another NAT
    void load_registry(std::size_t host, const std::set<std::size_t>& members);
    void tell(std::size_t host, netlink::Notice notice);  // as if its kernel had
    void suffer(std::size_t host, netlink::Wish wish);    // somebody else does that to its kernel
    void lose_notices(std::size_t host) { tell(host, netlink::Lost{}); }
    bool esp_arrives = true;                                            // or is lost, whoever sends it
    std::function<void(std::size_t host, const netlink::Wish&)> watch;  // sees what is asked of the kernels

    void run_for(Duration duration);
    // Runs until every living node reaches every prefix of every other, or the time is over.
    bool converge(Duration limit);
    bool reaches(std::size_t from, std::size_t to) const;  // whether or not they live
    std::vector<std::string> unreached() const;            // "a cannot reach b", for living nodes

    Kernel& kernel(std::size_t host);
    Instant now() const { return now_; }
    std::uint64_t ike_sent() const { return ike_sent_; }  // datagrams of all hosts
    std::size_t size() const { return hosts_.size(); }
    std::string ask(std::size_t host, const std::string& verb, const std::string& body = "");
    bool is_stopped(std::size_t host) const;
    bool is_behind_nat(std::size_t host) const;

    const std::vector<std::string>& violations() const { return violations_; }
    std::vector<std::string> last_messages() const;
    bool errors_allowed = false;  // where a test makes the kernel refuse

private:
    struct Host;
    struct Event {
        std::size_t host;
        std::function<void(Host&)> happens;
    };

    void schedule(Instant at, std::size_t host, std::function<void(Host&)> happens);
    void step();
    void settle(Host& host);
    void perform(Host& host, overlay::Action& action);
    void send_ike(Host& host, overlay::SendIke& send);
    void send_babel(Host& host, overlay::SendBabel& send);
    void refuse(Host& host, const std::string& link, const base::Address& there);
    void carry(const Host& from, const Host& to, const std::function<void()>& deliver);
    Host* owner_of(const base::Endpoint& endpoint) const;
    overlay::Registry registry_of(const std::set<std::size_t>& members) const;

    // --- invariants.cpp
    const Host* next_hop(const Host& host, const base::Address& to) const;
    enum class Walk { reached, lost, loop };
    Walk walk(const Host& from, const base::Address& to) const;
    template <class Visit>
    void visit_unreached(Visit visit) const;  // until it says false
    bool all_reached();
    void disturb();
    void check(Host& host);
    void check_links(const Host& host);
    void check_sas();
    void violate(const std::string& text);

    Instant now_{};
    base::Random random_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::map<std::pair<Instant, std::uint64_t>, Event> events_;
    std::uint64_t order_ = 0, disturbances_ = 0, ike_sent_ = 0;
    std::map<base::Endpoint, std::size_t> by_outside_;
    std::set<std::pair<std::size_t, std::size_t>> cuts_;
    Instant unsettled_until_{};  // a restart gives a prefix two origins for a moment (RFC 8966 1.1)
    std::map<std::pair<std::size_t, base::SaId>, Instant> lonely_since_;
    std::optional<std::pair<std::uint64_t, bool>> reached_;  // at which generation of everything
    std::vector<std::string> violations_, messages_;
};

}  // namespace aronet::sim
