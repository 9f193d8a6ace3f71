#pragma once

// A network of complete nodes in one thread and in virtual time: underlay with delay, loss, duplication and
// cuts, NATs, a simulated Linux per node. After every event the invariants are checked; equal seeds give
// equal runs.

#include "kernel.hpp"
#include "overlay/desired.hpp"
#include "overlay/node.hpp"

#include <algorithm>
#include <functional>
#include <iosfwd>
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
    bool operator==(const Weather&) const = default;
};

struct HostPlan {
    std::string name;
    bool behind_nat = false;  // no known address
    bool tells_keys = false;  // to a Recorder
    overlay::Mode mode = overlay::Mode::vrf;
    bool changes_keys = false;  // every half minute
    Duration suspicion_time = std::chrono::seconds(1);
    std::function<void(overlay::Config&)> configure;  // beyond that
    bool tells_connect = true;                        // the registry has its rules
};

class Recorder;

// What must not be, and where and when it was.
struct Violation {
    std::string what, text;
};

class World {
public:
    World(std::uint64_t seed, const std::vector<HostPlan>& plans);
    ~World();

    Weather weather;
    Duration kernels_take{};  // until what they say is heard
    void start(std::size_t host, bool has_registry = true);
    void start_all();
    void stop(std::size_t host, bool keep = false);  // says goodbye, or leaves its kernel as it is
    void kill(std::size_t host);                     // its kernel keeps what it has
    void suspend(std::size_t host);  // time passes without it: no packet, no tick, no forwarding
    void resume(std::size_t host);
    bool is_awake(std::size_t host) const;   // lives, and is not suspended
    void cut(std::size_t a, std::size_t b);  // nothing passes between the two; as often as it is mended
    void mend(std::size_t a, std::size_t b);
    void cut_one_way(std::size_t from, std::size_t to);
    void mend_one_way(std::size_t from, std::size_t to);
    bool is_cut(std::size_t from, std::size_t to) const { return cuts_.contains({from, to}); }
    void rebind(std::size_t host);      // its NAT forgets and maps anew
    void roam(std::size_t host);        // another network: another address of its own, another NAT
    void change_key(std::size_t host);  // in the registries that are loaded from now on
    void load_registry(std::size_t host, const std::set<std::size_t>& members);
    // Another configuration, from now on.
    void reconfigure(std::size_t host, std::function<void(overlay::Config&)> configure);
    const HostPlan& plan(std::size_t host) const;
    void load_registries();                               // each the members it has, where they are now
    void tell(std::size_t host, netlink::Notice notice);  // as if its kernel had
    void suffer(std::size_t host, netlink::Wish wish);    // somebody else does that to its kernel
    // Somebody else's link has the name of one of its own for a while.
    void occupy(std::size_t host, const netlink::Link& link);
    void vacate(std::size_t host, const netlink::Link& link);
    void lose_notices(std::size_t host) { tell(host, netlink::Lost{}); }
    // Somebody does all that to its kernel, and none of it is told, but that something was not.
    void suffer_untold(std::size_t host, std::vector<netlink::Wish> wishes);
    void lose_address_untold(std::size_t host);
    bool esp_arrives = true;                                            // or is lost, whoever sends it
    std::function<void(std::size_t host, const netlink::Wish&)> watch;  // sees what is asked of the kernels

    void run_for(Duration duration);
    // Runs until every living node reaches every prefix of every other, or the time is over.
    bool converge(Duration limit);
    bool reaches(std::size_t from, std::size_t to) const;  // whether or not they live
    std::vector<std::string> unreached() const;            // "a cannot reach b", for living nodes
    // Each kernel has what its node thinks and wants, no more and no less, and each pair that can talk has
    // exactly one pair of SAs: what of this is wrong, at each look for so long. Keys may just be changing.
    std::set<std::string> inexact_for(Duration duration);

    Kernel& kernel(std::size_t host);
    Instant now() const { return now_; }
    std::uint64_t ike_sent() const { return ike_sent_; }  // datagrams of all hosts
    std::size_t size() const { return hosts_.size(); }
    std::string ask(std::size_t host, const std::string& verb, const std::string& body = "");
    bool is_stopped(std::size_t host) const;
    bool is_behind_nat(std::size_t host) const;

    const std::vector<Violation>& violations() const { return violations_; }
    std::vector<std::string> last_messages() const;
    bool errors_allowed = false;       // where a test makes the kernel refuse
    std::optional<Duration> hole_max;  // nothing is unreached for longer while the underlay has a way
    Recorder* recorder = nullptr;
    std::ostream* log = nullptr;  // of all nodes

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
    void refuse(Host& host, const std::string& link, const base::Address& asker, const base::Address& there);
    void carry(const Host& from, const Host& to, const std::function<void()>& deliver);
    Host* owner_of(const base::Endpoint& endpoint) const;
    overlay::Registry registry_of(const std::set<std::size_t>& members) const;
    overlay::Registry learn(Host& host);  // of its members, as of now
    void in_trouble(Host& host);
    void remember(const Host& host, const std::string& text);

    // --- invariants.cpp
    const Host* next_hop(const Host& host, const base::Address& to) const;
    enum class Walk { reached, lost, loop };
    bool is_excused(const Host& from, const base::Address& looping) const;
    Walk walk(const Host& from, const base::Address& to) const;
    template <class Visit>
    void visit_unreached(Visit visit) const;  // until it says false
    bool all_reached();
    void disturb();
    void check(Host& host);
    void check_links(const Host& host);
    void check_sas();
    void check_holes();
    bool can_talk(const Host& a, const Host& b) const;
    std::vector<std::size_t> parts() const;  // of the underlay: hosts with equal numbers can reach each other
    std::set<std::string> inexact(Host& host);  // audit.cpp
    void violate(const std::string& what, const std::string& where);
    std::uint64_t generation() const;

    Instant now_{};
    base::Random random_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::map<std::pair<Instant, std::uint64_t>, Event> events_;
    std::uint64_t order_ = 0, disturbances_ = 0, ike_sent_ = 0;
    std::map<base::Endpoint, std::size_t> by_outside_;
    std::multiset<std::pair<std::size_t, std::size_t>> cuts_;  // from, to
    std::map<std::pair<std::size_t, base::SaId>, Instant> lonely_since_;
    std::optional<std::pair<std::uint64_t, bool>> reached_;           // at which generation of everything
    std::optional<std::uint64_t> holes_seen_;                         // likewise
    std::map<std::pair<std::size_t, base::Address>, Instant> holes_;  // since when
    std::vector<Violation> violations_;
    std::vector<std::string> messages_;
};

}  // namespace aronet::sim
