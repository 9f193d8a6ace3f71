#include "overlay/node.hpp"

#include "overlay/alteration.hpp"
#include "overlay/document.hpp"
#include "overlay/node_state.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLifetimeMin = 5s, kLifetimeMax = 1h;  // of what a name resolved to
constexpr Duration kGoodbye = 5s;  // for DELETEs, retractions and the kernel's answers on a stop

}  // namespace

std::optional<bool> wants_keeping(const std::string& body) {
    const auto wish = nlohmann::json::parse(body.empty() ? "{}" : body, nullptr, false);
    if (!wish.is_object()) return std::nullopt;
    const auto keep = wish.find("keep");
    if (keep == wish.end()) return false;
    return keep->is_boolean() ? std::optional(keep->get<bool>()) : std::nullopt;
}

ike::EngineConfig engine_config(const Config& config, bool has_shared_link) {
    ike::EngineConfig out;
    out.private_key = config.private_key.copy();
    out.dpd_interval = config.ike.dpd_interval;
    out.keepalive_interval = config.ike.keepalive_interval;
    out.fragment_size = config.ike.fragment_size;
    out.ike_lifetime = config.ike.ike_lifetime;
    out.child_lifetime = config.ike.child_lifetime;
    out.child_bytes = config.ike.child_bytes;
    out.child_packets = config.ike.child_packets;
    out.has_shared_link = has_shared_link;
    out.tells_keys = config.tells_keys;
    return out;
}

namespace {

// A new router-id each start, but where an earlier process is followed that nobody has missed: our
// announcements need not be newer than those of an earlier run (RFC 8966 3.2.1).
babel::SpeakerConfig speaker_config(
    const Config& config, const Memory& memory, bool remembers, base::Random& random
) {
    babel::SpeakerConfig out;
    out.transit = config.babel.transit;
    out.remembers = remembers;
    if (memory.router_id) {
        out.router_id = *memory.router_id;
        out.seqno = memory.seqno;
        return out;
    }
    do {
        out.router_id = random.u64();
    } while (out.router_id == 0 || out.router_id == UINT64_MAX);
    out.seqno = static_cast<babel::SeqNo>(random.u32());
    return out;
}

void earlier(std::optional<base::Deadline>& best, std::optional<base::Deadline> other) {
    if (other && (!best || other->at < best->at)) best = other;
}

}  // namespace

Node::State::State(Config config_, Host host_, base::Random& random_)
    : config(std::move(config_)),
      host(std::move(host_)),
      random(random_),
      engine(engine_config(config, false), random),
      memory(recall(host.remembered)),
      speaker(speaker_config(config, memory, host.remembers, random), random),
      source(host.registry_source, config.registry, random),
      sightings(overlay_space(config), config.babel.redistribute),
      way_out(config) {
    settle_links(config, host);
    shared.is_offered = config.links == Links::shared;
    engine.configure(engine_config(config, shared.is_offered));
}

Node::Node(Config config, Host host, base::Random& random)
    : state_(std::make_unique<State>(std::move(config), std::move(host), random)) {}
Node::~Node() = default;

void Node::start(Instant now, Actions& out) {
    State& s = *state_;
    s.out = &out;
    s.now = s.started = now;
    s.source.start(now);
    s.old_sysctls = s.memory.sysctls;
    if (!s.memory.router_id && s.host.remembers) {
        out.push_back(Remember{});
        for (const auto& [which, value] : s.memory.sysctls)
            out.push_back(remember_sysctl(which.first, which.second, value));
        out.push_back(remember_router_id(s.speaker.router_id()));
        out.push_back(remember_seqno(s.speaker.seqno()));
    }
    // The namespace first: without it the overlay's half of the snapshot could not be taken.
    if (s.config.mode == Mode::netns) s.want_space();
    s.look_at_start();
}

void Node::handle(Event event, Instant now, Actions& out) {
    State& s = *state_;
    s.out = &out;
    s.now = now;
    if (s.phase == Phase::stopped) return;
    std::visit([&](auto& happened) { s.handle(happened); }, event);
    s.drain();
    s.keep();
    s.tell_routes();
    s.end_if_clean();
}

void Node::tick(Instant now, Actions& out) {
    State& s = *state_;
    s.out = &out;
    s.now = now;
    if (s.phase == Phase::stopped) return;
    s.engine.tick(now, s.ike_actions);
    if (s.phase == Phase::running) s.speaker.tick(now, s.babel_actions);
    if (s.awaits_registry() && *s.registry_until <= now) s.look_at_start();
    if (s.reading.due && *s.reading.due <= now) s.want_counters();
    if (s.watching.due && *s.watching.due <= now) s.look_at_links();
    if (s.claims_due && *s.claims_due <= now) s.look_at_claims();
    if (s.look_again_at && *s.look_again_at <= now) s.look_again();
    if (s.space_due && *s.space_due <= now) s.want_space();
    if (s.sysctls_due && *s.sysctls_due <= now) s.look_at_sysctls();
    if (s.clamp_due && *s.clamp_due <= now) s.want_clamp();
    s.remove_again();
    s.set_policies_again();
    s.change_lost_keys();
    s.drop_adopted();
    if (s.inherits_until && *s.inherits_until <= now) s.drop_inherited();
    s.tell_routes_again(now);
    s.look_at_source();
    while (const auto name = s.names.expired(now)) {
        if (!s.is_wanted(*name)) {
            s.resolved.erase(*name);
            continue;
        }
        Resolution& known = s.resolved[*name];
        known.answered.reset();
        known.is_awaited = true;
        out.push_back(Resolve{name->first, name->second});
    }
    s.drain();
    s.keep();
    s.tell_routes();
    if (s.phase == Phase::saying_goodbye && s.engine.stopped()) s.begin_clean_up();
    if (s.give_up_at && *s.give_up_at <= now) {
        const std::size_t unanswered = s.pending.size() + s.forwarding.in_flight.size();
        s.say(
            base::Level::warning,
            "stopping took too long: " + std::to_string(unanswered) + " changes unanswered"
        );
        s.pending.clear();
        s.removals_due.clear();
        s.forwarding = {};
        s.keeper = {};
        s.phase = Phase::cleaning_up;
    }
    s.end_if_clean();
}

std::optional<base::Deadline> Node::deadline() const {
    const State& s = *state_;
    if (s.phase == Phase::stopped) return std::nullopt;
    std::optional<base::Deadline> first = s.engine.deadline();
    if (s.phase == Phase::running) earlier(first, s.speaker.deadline());
    if (s.takes_registries()) earlier(first, s.source.deadline());
    if (s.awaits_registry()) earlier(first, base::Deadline{*s.registry_until, "there is no registry yet"});
    const auto timer = [&](std::optional<Instant> at, const char* why) {
        if (at) earlier(first, base::Deadline{*at, why});
    };
    timer(s.names.next(), "a name is resolved again");
    timer(s.keeper.next(), "the kernel is asked again");
    timer(s.policies_due.next(), "policies are set again");
    timer(s.keys_due.next(), "lost keys are changed");
    timer(s.adopted_until.next(), "SAs of an earlier process go");
    timer(s.inherits_until, "routes of an earlier process go");
    timer(s.sysctls_due, "sysctls are looked at");
    timer(s.clamp_due, "TCP is to be clamped again");
    timer(s.forwarding.again.next(), "a route is told again");
    timer(
        s.removals_due.empty() ? std::nullopt : std::optional(s.removals_due.begin()->first),
        "what has to go is removed again"
    );
    timer(s.look_again_at, "the kernel is looked at again");
    timer(s.space_due, "the namespace is asked for again");
    timer(s.watching.due, "do the links still carry traffic?");
    timer(s.claims_due, "whose are the prefixes?");
    timer(s.reading.due, "counters are wanted");
    timer(s.give_up_at, "stopping takes too long");
    return first;
}

void Node::State::handle(IkeDatagram& event) {
    if (phase == Phase::starting) return;  // nobody is known yet, and nobody is to be refused for that
    engine.handle({event.bytes, event.from, event.to}, now, ike_actions);
}

void Node::State::handle(BabelDatagram& event) {
    const auto in = came_in_on(event.link, event.from, event.to);
    if (!in || phase != Phase::running) return;
    const babel::Packet packet{event.bytes, event.from, event.to, event.from_port, *in, event.received_at};
    speaker.handle(packet, now, babel_actions);
}

void Node::State::handle(NobodyListens& event) {
    const auto in = came_in_on(event.link, event.there, {});
    if (!in || phase != Phase::running) return;
    const bool is_waited_for = speaker.vacant(*in, event.there, now, babel_actions);
    const auto tunnel = tunnels.find(*in);
    if (tunnel == tunnels.end() || !is_waited_for) return;
    tunnel->second.unanswered_since.reset();
    engine.traffic_seen(*in, now);
}

void Node::State::handle(netlink::Notice& event) {
    std::visit([&](const auto& happened) { notice(happened); }, event);
}

void Node::State::handle(Request& event) {
    if (event.verb == "stop") return stop_asked(event);
    if (event.verb == "rekey") return rekey(event);
    const bool counts_drops = event.verb == "status" && !host.kernel_datapath;
    if (event.verb == "tunnels" || counts_drops) return answer_with_counters(std::move(event));
    answer(event);
}

void Node::State::handle(Resolved& event) {
    const bool failed = event.addresses.empty();
    if (failed && unresolved.count(event.hostname, now))
        say(base::Level::warning, base::printable(event.hostname) + " does not resolve");
    const std::pair name(event.hostname, event.family);
    if (!is_wanted(name)) {  // the registry has changed since
        resolved.erase(name);
        return;
    }
    for (auto& [if_id, tunnel] : tunnels) {
        const Pairing& pairing = tunnel.pairing;
        if (pairing.hostname != event.hostname || pairing.peer.family != event.family) continue;
        std::vector<Endpoint> where;
        for (const Address& address : event.addresses) where.push_back({address, pairing.remote_port});
        engine.resolved(if_id, where, now, ike_actions);
    }
    Resolution& known = resolved[name];
    known.is_awaited = false;
    known.answered = now;
    known.has_failed = failed;
    if (!failed) known.addresses = std::move(event.addresses);
    const Duration lifetime = std::clamp<Duration>(event.lifetime, kLifetimeMin, kLifetimeMax);
    names.set(name, now + (failed ? random.between(4s, 6s) : lifetime));
}

void Node::State::stop_asked(Request& request) {
    const auto refuse = [&](int status, const char* why) {
        out->push_back(Answer{request.id, status, to_text(nlohmann::json{{"error", why}})});
    };
    const auto keep = wants_keeping(request.body);
    if (!keep) return refuse(400, R"(expected {"keep": true or false})");
    if (*keep && !host.kernel_datapath)
        return refuse(409, "the data plane is the daemon's own, and ends with it: nothing can be kept");
    if (*keep && host.is_managed)
        return refuse(409, "the service manager would keep nothing: restart the service instead");
    if (*keep && request.next && is_elsewhere(config, *request.next))
        return refuse(409, "the configuration is another node's by now, or elsewhere: nothing can be kept");
    awaiting_stop.insert(request.id);
    Stop stop{*keep};
    handle(stop);
}

// As if it were killed, but for those who wait to hear of it.
void Node::State::leave_all() {
    say(base::Level::info, "stopping; traffic flows on");
    end(Stopped{{}, true});
}

void Node::State::handle(Stop& event) {
    if (phase == Phase::saying_goodbye || phase == Phase::cleaning_up) return;
    const bool is_same = !event.next || !is_elsewhere(config, *event.next);
    if (event.keep && host.kernel_datapath && is_same) return leave_all();
    if (!is_same)
        say(base::Level::info, "the next start will be another node's, or elsewhere: nothing is kept");
    say(base::Level::info, "stopping");
    if (phase == Phase::starting && (snapshot_taken || look_again_at))
        look_at_start();  // what an earlier run left goes, too
    phase = Phase::saying_goodbye;
    give_up_at = now + kGoodbye;
    if (host.remembers) out->push_back(forget_router_id());  // everybody is told that this is the end
    speaker.stop(now, babel_actions);
    engine.stop(now, ike_actions);
    drain();
    if (engine.stopped()) begin_clean_up();
}

const Tunnel* Node::State::find(const std::string& interface) const {
    const auto id = by_interface.find(interface);
    if (id == by_interface.end()) return nullptr;
    const Tunnel& tunnel = tunnels.at(id->second);
    return tunnel.pairing.carrier == Carrier::own ? &tunnel : nullptr;
}

Tunnel* Node::State::find(const std::string& interface) {
    return const_cast<Tunnel*>(std::as_const(*this).find(interface));
}

}  // namespace aronet::overlay
