#pragma once

// The inside of overlay::Node, shared by the files that make it up.

#include "babel/speaker.hpp"
#include "base/timers.hpp"
#include "ike/engine.hpp"
#include "overlay/keeper.hpp"
#include "overlay/legacy.hpp"
#include "overlay/metering.hpp"
#include "overlay/node.hpp"
#include "overlay/sightings.hpp"
#include "overlay/tunnel.hpp"
#include "overlay/way_out.hpp"

#include <map>
#include <set>

namespace aronet::overlay {

// What is to go, whatever the kernel says at first.
using Removal = std::variant<netlink::RemoveSa, netlink::RemovePolicies, netlink::RemoveNamespace>;

// Why a change was asked for: decides what its answer means.
struct Purpose {
    enum class Kind : std::uint8_t {
        other,
        space,
        sa,
        moved_sa,
        policies,
        sysctl,
        strict_vrf,
        clamp,
        clean_up,
        snapshot,
        look_again,
        counters,
        link_counters
    };
    Kind kind = Kind::other;
    std::uint32_t if_id = 0;
    ike::ChildId child = 0;
    std::string words;  // for a line in the log when it fails
    std::optional<Removal> removal = {};
    unsigned refused = 0;  // the removal, so far
};

struct Ordinary {  // an interface beside the tunnels, while Babel runs on it
    babel::InterfaceId id = 0;
    babel::InterfaceConfig running;
    Instant since;
};

// What a name server said of a name.
struct Resolution {
    bool is_awaited = false;          // it has been asked
    std::optional<Instant> answered;  // none: not yet, or that is over
    bool has_failed = false;
    std::vector<Address> addresses;  // of the last answer that had any
};

// What the kernel has yet to be told of Babel's routes. Which they are the speaker knows; here is only where
// they changed, so that a burst costs little, and what flaps before the kernel can be told is told once.
struct Forwarding {
    std::map<babel::Destination, babel::Installed::Kind> untold;  // and what the kernel has there
    struct Change {
        babel::Destination about;
        bool removes, for_good;
    };
    std::map<netlink::ChangeId, Change> in_flight;
    // Refused, or taken away by somebody, and asked for again: how often so far, and when.
    std::map<babel::Destination, unsigned> refused;
    std::map<babel::Destination, Losses> losses;
    base::Timers<babel::Destination> again;
    // The keys of what the kernel was told, where rules of the configuration decide on them.
    std::map<babel::Destination, netlink::RouteKey> keys;

    bool idle() const { return untold.empty() && in_flight.empty() && again.size() == 0; }
};

bool is_adopted(ike::ChildId id);
ike::EngineConfig engine_config(const Config& config, bool has_shared_link);

enum class Phase : std::uint8_t { starting, running, saying_goodbye, cleaning_up, stopped };

struct Node::State {
    State(Config config, Host host, base::Random& random);

    // --- events (node.cpp)
    void handle(IkeDatagram& event);
    void handle(BabelDatagram& event);
    void handle(NobodyListens& event);
    void handle(netlink::Notice& event);
    void handle(Request& event);
    void handle(RegistryChanged& event);
    void handle(ConfigChanged& event);
    void handle(RegistryTouched&) { source.touched(now); }
    void handle(RereadRegistry&);
    void handle(RegistryLooked& event);
    void handle(Resolved& event);
    void handle(Stop& event);
    void stop_asked(Request& request);
    void leave_all();

    // --- the parts' actions, translated (node_parts.cpp)
    void drain();
    void translate(ike::Send& action);
    void translate(ike::ChildUp& action);
    void translate(ike::Switch& action);
    void translate(ike::ChildDown& action);
    void translate(const ike::ChildMoved& action);
    void translate(ike::Silence& action);
    void translate(const ike::Doubted& action);
    void translate(const ike::KeysMade& action);
    void tell_keys(std::string row, TellKeys::Table table);
    void translate(const ike::Unreached& action) { resolve_soon(action.peer); }
    void trust(Tunnel& tunnel, ike::Trust trust);
    void translate(babel::Send& action);
    void translate(const babel::InstallRoute& action) { route_changed(action.destination, action.before); }
    void translate(const babel::InstallUnreachable& action) {
        route_changed(action.destination, action.before);
    }
    void translate(const babel::RemoveRoute& action) { route_changed(action.destination, action.before); }
    void translate(const babel::KeepDistance& action) { out->push_back(remember(action.distance)); }
    void translate(const babel::ForgetDistance& action) {
        out->push_back(forget_distance(action.destination, action.router_id));
    }
    void translate(const babel::HelloSaid& action);
    void translate(const babel::SeqnoRaised& action) { out->push_back(remember_seqno(action.seqno)); }
    void translate(base::Note& action);
    void update_routing(Tunnel& tunnel);
    std::optional<babel::SeqNo> next_hello(const std::string& link);
    void leave_link(babel::InterfaceId id, const std::string& link);
    void goes_down(Tunnel& tunnel);
    babel::InterfaceConfig babel_config(const Tunnel& tunnel) const;
    void run_updown(
        const Tunnel& tunnel, const std::string& script, bool up, const Address& me, const Address& peer
    );

    // --- Babel's routes on their way to the kernel (node_routes.cpp)
    void route_changed(const babel::Destination& about, babel::Installed::Kind before);
    void tell_routes();
    void tell_all_routes();
    void tell_route(const babel::Destination& about, babel::Installed::Kind had);
    void change_route(const babel::Destination& about, netlink::Wish wish, bool for_good = false);
    bool route_answered(const netlink::Done& done);
    bool route_lost(const netlink::RouteKey& key);
    void routes_lost(babel::InterfaceId on);
    void tell_routes_again(Instant until);  // those whose time has come by then
    void drop_inherited();
    bool is_babels(const netlink::RouteKey& key) const;
    void compare_routes(Objects& found);
    netlink::RouteKey usual_key(const babel::Destination& about) const;
    std::optional<netlink::RouteKey> told_key(const babel::Destination& about, babel::Installed::Kind had)
        const;
    std::optional<netlink::Route> wanted_route(
        const babel::Destination& about,
        const std::optional<netlink::RouteKey>& told,
        const babel::Rules<Installation>& rules
    ) const;
    std::size_t routes_told() const;

    // --- the kernel (node_kernel.cpp)
    netlink::ChangeId change(netlink::Wish wish, Purpose purpose);
    netlink::ChangeId give(netlink::Wish wish);
    void remove(Removal what, unsigned refused = 0);
    void remove_again();
    bool is_in_use(const Removal& what) const;
    void keep();
    void main_link_answered(const netlink::Done& done);
    void answered(const netlink::Done& done);
    void set_policies(Tunnel& tunnel, ike::ChildId id);
    void sa_answered(const Purpose& purpose, const netlink::Done& done);
    void move_answered(const Purpose& purpose, const netlink::Done& done);
    void policies_answered(const Purpose& purpose, const netlink::Done& done);
    void notice(const netlink::Done& done) { answered(done); }
    void notice(const netlink::LinkUp& up);
    void notice(const netlink::LinkDown& down);
    void notice(const netlink::LinkAltered& altered);
    void notice(const netlink::RouteLost& lost);
    void notice(const netlink::RuleLost& lost);
    void notice(const netlink::NamespaceLost&);
    void notice(const netlink::SaLost& lost);
    void notice(const netlink::PoliciesLost& lost);
    void notice(const netlink::SaExpiring& expiring);
    void notice(const netlink::Mapping& mapping);
    void notice(const netlink::Snapshot& snapshot);
    void notice(const netlink::Counters& counters);
    void notice(const netlink::LinkCounters& counters);
    void notice(const netlink::Lost&);
    void notice(const netlink::AddressAppeared& appeared);
    void notice(const netlink::AddressVanished& vanished);
    void notice(const netlink::ForeignRoute& route);
    void notice(const netlink::ForeignRouteGone& gone);
    void lost_sa(Tunnel& tunnel, Child& child);
    void change_lost_keys();
    void set_policies_again();
    void start_refused();
    void compare(const netlink::Snapshot& snapshot);
    void compare_sas(const netlink::Snapshot& snapshot);
    void want_space();
    void begin_clean_up();
    void end_if_clean();
    void end(Stopped how);

    // --- what the overlay needs of the host besides (node_sysctls.cpp)
    void look_at_sysctls();
    void want_sysctls(const std::vector<Sysctl>& list);
    std::set<std::string> links_to_look_at();  // with sysctls that are ours to keep; of tunnels some
    std::vector<Sysctl> sysctls_of(const std::string& link) const;
    void forget_sysctls(const std::string& link);
    void give_back(const Sysctl& set);
    void give_back_filters(const std::function<bool(const std::string&)>& of);
    void given_back_as(const netlink::SysctlValue& value);
    void notice(const netlink::SysctlValue& value);
    void notice(const netlink::SysctlTouched& touched);
    void strict_vrf_answered(const netlink::Done& done, const std::string& words);
    void vrf_is_strict();
    void keep_old(const netlink::SysctlValue& value);
    void want_clamp();
    void clamp_answered(const netlink::Done& done, const std::string& words);

    // --- where this host is in the underlay (node_underlay.cpp)
    bool is_underlay(netlink::Space space, const std::string& link, const Address& address) const;
    void gained(const netlink::AddressAppeared& appeared);
    void lost(const netlink::AddressVanished& vanished);
    void lose_unseen();

    // --- what carries a tunnel (node_carriers.cpp)
    std::vector<Pairing> planned(const Config& by, const Registry& from) const;
    bool is_shared_link(netlink::Space space, const std::string& link) const;
    std::string carrier_of(const Pairing& pairing) const;
    void know(const Pairing& pairing);
    void unknow(const Pairing& pairing);
    void carry(Tunnel& tunnel, bool shares);
    void settle_link(Tunnel& tunnel);
    void settle_shared();
    void mind_other_ipsec(const netlink::Snapshot& snapshot);
    void shared_link_answered(int error);
    void meet_misled();
    std::optional<netlink::Pin> pin_of(const Pairing& pairing) const;
    void shared_link_came(bool was_down);
    void shared_link_went();
    void shared_address(const Address& address, bool is_there);
    void learn_shared_addresses(const Objects& there);
    void compare_shared(const Objects& there);
    std::optional<babel::InterfaceId> came_in_on(
        const std::string& link, const Address& from, const Address& to
    ) const;

    // --- what an earlier process left (node_adoption.cpp)
    void look_at_start();
    bool awaits_registry() const { return phase == Phase::starting && snapshot_taken && registry_until; }
    bool wait_for_registry(const netlink::Snapshot& snapshot);
    void remember_keys(const Tunnel& tunnel);
    void resume();
    void remove_all(const std::vector<netlink::Wish>& left_over);
    void remove_left(const netlink::Snapshot& snapshot);
    void take_over(Tunnel& tunnel, const Legacy& legacy);
    void find_again(const Tunnel& tunnel, const Legacy& legacy);
    void outgrow_adopted(const Tunnel& tunnel);
    void drop_adopted();
    void drop_adopted(Tunnel& tunnel);

    // --- registry (node_registry.cpp)
    bool takes_registries() const { return phase == Phase::starting || phase == Phase::running; }
    void look_at_source();
    std::string change_registry(Registry next, const char* from);
    void apply(Registry next, std::vector<Pairing> planned);
    bool pair(Tunnel& tunnel, Pairing wanted);
    void change_updown(const Tunnel& tunnel, const std::string& before);
    void forget(std::uint32_t if_id);
    ike::Peer peer_of(const Pairing& pairing) const;
    void resolve_names();
    bool is_wanted(const std::pair<std::string, Family>& name) const;
    void resolve_soon(std::uint32_t if_id);

    // --- another configuration (node_config.cpp)
    void apply(Config next);
    void change_install_rules(babel::Rules<Installation> next);
    void want_registry_again(RequestId answer_to, std::vector<std::string> changed);
    void registry_looked_again(const std::string& difference, const RegistryLooked& looked);
    void refuse(RequestId answer_to, int status, const std::string& error);
    std::vector<std::string> plan_for(const Config& wanted, const Registry& next) const;
    void plan_installed(const Config& wanted, std::vector<netlink::Wish>& wishes) const;
    void plan_sysctls(
        const Config& wanted, const std::vector<Pairing>& planned, std::vector<netlink::Wish>& wishes
    ) const;

    // --- ordinary interfaces, what is announced (node_links.cpp)
    const InterfaceRule* rule_for(const std::string& link) const;
    void follow(const std::string& name);
    void follow_all();
    void run_on(const std::string& name, babel::InterfaceConfig wanted);
    babel::MetricRules filter_of(
        const babel::MetricRules& of_interface, const babel::MetricRules& of_all, const std::string& name
    ) const;
    template <class T>
    bool seen(const T& notice);
    void seen(const netlink::LinkUp& up);
    void seen(const netlink::LinkDown& down);
    void announce_own();
    void offer(const babel::Destination& about);
    void offer_touched();
    bool is_preferred_source(const Address& address) const;
    netlink::TakeSnapshot snapshot_wish() const;
    void look_again();
    void take_a_look();
    void looked_again();
    std::optional<babel::InterfaceId> babel_interface(const std::string& link) const;
    std::string link_of(babel::InterfaceId id) const;  // empty: gone

    // --- exits, and whose the prefixes are (node_roles.cpp)
    std::optional<babel::Metric> exit_metric(const babel::Destination& about) const;
    void offer_exits();
    void look_at_claims();
    std::vector<std::string> present_warnings() const;

    // --- what passes through the tunnels (node_traffic.cpp)
    void want_counters();
    void read_counters();
    void carried(Tunnel& tunnel, const babel::Traffic& all);
    void watch_links();
    void look_at_links();
    void weigh_silence(Tunnel& tunnel, std::uint64_t arrived, bool flows);
    void links_answered();
    void counters_answered(const netlink::Done& done);
    void answer_with_counters(Request request);
    void answer(const Request& request);

    // --- node_rekey.cpp
    void rekey(const Request& request);

    // --- status.cpp
    std::string answer_to(const std::string& verb, int& status) const;

    Tunnel* find(const std::string& interface);  // whose own link it is
    const Tunnel* find(const std::string& interface) const;
    void say_all(const std::vector<base::Note>& notes) {
        out->insert(out->end(), notes.begin(), notes.end());
    }
    void say(base::Level level, std::string text) { out->push_back(base::Note{level, std::move(text)}); }
    void warn(base::Level level, const std::string& text);  // said once, and shown by status
    void done_at_last(const std::string& words);            // what was warned of with these words first

    Config config;
    Host host;
    base::Random& random;
    ike::Engine engine;
    Memory memory;  // of an earlier process
    babel::Speaker speaker;
    Registry registry;
    babel::Holders holders;  // by the registry
    RegistrySource source;
    std::optional<Instant> registry_since;
    const char* registry_from = nullptr;      // as RegistryChanged has it
    std::map<std::uint32_t, Tunnel> tunnels;  // by if_id
    std::map<std::string, std::uint32_t> by_interface;
    struct {
        bool up = false;
        bool is_offered = false;                   // to peers: until the kernel refuses it
        netlink::ChangeId asked = 0;               // the last time
        std::set<std::uint32_t> misled;            // were promised it when it was refused
        std::set<Address> addresses;               // on it
        std::map<Address, std::uint32_t> tunnels;  // over it, by the peer's address
    } shared;                                      // the link of all tunnels without one of their own
    std::set<std::pair<std::string, Address>> underlay_addresses;   // by link
    std::set<std::pair<std::string, Address>> underlay_seen_again;  // while everything is looked at again
    std::set<std::string> lost_links;                               // to somebody else; asked for again
    Keeper keeper;
    bool strict_vrf = false;  // as far as is known
    Forwarding forwarding;
    std::map<babel::Destination, netlink::Route> inherited;  // routes of an earlier process, as they are
    std::optional<Instant> inherits_until;
    Sightings sightings;
    std::optional<Sightings> relearned;    // while everything is looked at again
    bool look_once_more = false;           // what was looked at has changed meanwhile
    netlink::ChangeId looked_as = 0;       // the change that the last snapshot was asked for with
    std::optional<Instant> look_again_at;  // it failed
    unsigned looks_refused = 0;            // at the start
    std::optional<Instant> space_due;      // the namespace could not be made
    unsigned space_refusals = 0;
    Losses space_losses;
    WayOut way_out;
    std::map<babel::Destination, std::string> exits_told;  // what the log said of them last
    std::optional<Instant> claims_due;                     // to be looked at again
    std::set<std::string> suspected, disputes;             // found at the last look; at the last two
    std::map<std::string, Ordinary> ordinary;
    std::map<babel::InterfaceId, std::string> ordinary_names;
    std::map<std::pair<netlink::Space, std::string>, Sysctl> wanted_sysctls;
    std::map<std::pair<netlink::Space, std::string>, std::string> old_sysctls;   // as they were before us
    std::set<std::pair<netlink::Space, std::string>> given_back;                 // and looked at before
    std::map<std::pair<netlink::Space, std::string>, std::string> seen_sysctls;  // as they should be by now
    std::string last_looked_at;                                                  // of the tunnels' links
    std::set<std::string> touched_links;                // whose sysctls are looked at the next time, too
    Instant next_round{};                               // of those of the others
    std::map<std::uint32_t, std::string> told_tunnels;  // whose SAs, to whoever goes on, by if_id
    std::map<std::string, Losses> sysctl_losses;        // by link; empty: of all
    std::optional<Instant> clamp_due;                   // TCP could not be clamped
    unsigned clamp_refusals = 0;

    std::map<std::uint32_t, Legacy> left;       // by an earlier process, until the tunnels are made
    base::Timers<std::uint32_t> adopted_until;  // by if_id

    Phase phase = Phase::starting;
    bool snapshot_taken = false;
    std::optional<Instant> registry_until;     // what an earlier process left waits for one so long
    std::optional<ConfigChanged> next_config;  // that came before the start was done
    std::vector<std::variant<RegistryChanged, ConfigChanged>> trials;  // that came before the start was done
    std::map<RequestId, std::vector<std::string>> awaiting_registry;  // and the keys that were changed before
    std::set<RequestId> awaiting_stop;
    // By if_id: policies that were refused, or removed by somebody; tunnels whose SAs were.
    base::Timers<std::uint32_t> policies_due, keys_due;
    std::multimap<Instant, std::pair<Removal, unsigned>> removals_due;  // refused, so often
    base::Drops meddling;                // of somebody, with SAs and policies: told of once a minute
    std::optional<Instant> sysctls_due;  // to be looked at again
    base::Timers<std::pair<std::string, Family>> names;  // when to resolve them again
    std::map<std::pair<std::string, Family>, Resolution> resolved;
    base::Drops unresolved;             // names that failed: told of once a minute
    std::optional<Instant> give_up_at;  // on a clean stop
    netlink::ChangeId last_change = 0;
    netlink::ChangeId main_link_asked = 0;  // the last time
    bool main_link_made = false;
    std::string failure;
    std::map<netlink::ChangeId, Purpose> pending;
    std::vector<std::string> warnings;  // shown by status until restart
    Metering metering;
    struct {
        std::optional<Instant> last, due;  // was asked for, is to be asked for again
        bool in_flight = false;
        std::vector<Request> waiting;
    } reading;                                       // of the SAs' counters
    std::map<std::string, std::uint64_t> esp_drops;  // as read last
    struct {
        std::optional<Instant> due;
        bool in_flight = false, traffic_flows = false, reads_sas = false;
    } watching;  // of the links' counters, while there are routes
    Instant started, now;
    ike::Actions ike_actions;
    babel::Actions babel_actions;
    Actions* out = nullptr;  // of the event being handled
};

}  // namespace aronet::overlay
