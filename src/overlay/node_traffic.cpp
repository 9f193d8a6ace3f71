// What the data plane has counted. Of the SAs: shown per tunnel, and a sign of life to IKE. They are read in
// one batch, at most once a second, and only when somebody wants to know: a user, IKE before it probes a
// silent peer, and a tunnel whose SAs go. Of the links: Babel asks after next hops that traffic goes to. They
// are read four times a second while traffic flows, else once a second while there are routes: a flow may
// begin on a link that fell silent long ago, and what is asked then takes most of another second to be sure.

#include "overlay/node_state.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

constexpr Duration kFresh = std::chrono::seconds(1);
constexpr Duration kLookBusy = std::chrono::milliseconds(250);
constexpr Duration kLookIdle = std::chrono::seconds(1);  // of a thousand links: about 1 ms

}  // namespace

void Node::State::want_counters() {
    reading.due.reset();
    if (reading.in_flight || phase != Phase::running) return;
    if (reading.last && now < *reading.last + kFresh) {
        reading.due = *reading.last + kFresh;
        return;
    }
    read_counters();
}

void Node::State::read_counters() {
    reading.due.reset();
    if (reading.in_flight) return;
    reading.last = now;
    reading.in_flight = true;
    change(netlink::ReadCounters{}, {Purpose::Kind::counters});
}

void Node::State::notice(const netlink::Counters& counters) {
    esp_drops = counters.drops;
    for (const Metering::Growth& growth : metering.read(counters)) {
        const bool inbound = growth.direction == base::Direction::in;
        if (inbound) engine.traffic_seen(growth.if_id, growth.last_used.value_or(now));
        const auto tunnel = tunnels.find(growth.if_id);
        if (tunnel == tunnels.end()) continue;
        Traffic& sum = inbound ? tunnel->second.received : tunnel->second.sent;
        sum.bytes += growth.by.bytes;
        sum.packets += growth.by.packets;
    }
    if (!std::exchange(watching.reads_sas, false)) return;
    for (auto& [if_id, tunnel] : tunnels) {
        if (tunnel.on_babel && tunnel.pairing.carrier == Carrier::shared)
            carried(tunnel, {tunnel.sent.packets, tunnel.received.packets});
    }
}

void Node::State::counters_answered(const netlink::Done& done) {
    reading.in_flight = false;
    if (done.error != 0) say(base::Level::debug, "the counters of the SAs: " + done.text);
    for (const Request& request : std::exchange(reading.waiting, {})) answer(request);
}

// Shows numbers of this second: asks for them first where there are none.
void Node::State::answer_with_counters(Request request) {
    const bool fresh = reading.last && !reading.in_flight && now < *reading.last + kFresh;
    if (fresh || phase != Phase::running) return answer(request);
    reading.waiting.push_back(std::move(request));
    want_counters();
}

void Node::State::answer(const Request& request) {
    int status = 200;
    std::string body = answer_to(request.verb, status);
    out->push_back(Answer{request.id, status, std::move(body)});
}

void Node::State::watch_links() {
    if (!watching.due && !watching.in_flight) watching.due = now + kLookIdle;
}

void Node::State::look_at_links() {
    watching.due.reset();
    if (speaker.installed_count() == 0 || phase != Phase::running) return;
    watching.in_flight = true;
    watching.traffic_flows = false;
    // Of a link that many share only the SAs tell whose traffic it is.
    watching.reads_sas = std::ranges::any_of(tunnels, [](const auto& tunnel) {
        return tunnel.second.on_babel && tunnel.second.pairing.carrier == Carrier::shared;
    });
    if (watching.reads_sas) read_counters();
    change(netlink::ReadLinkCounters{overlay_space(config)}, {Purpose::Kind::link_counters});
}

void Node::State::notice(const netlink::LinkCounters& counters) {
    for (const netlink::LinkCounters::One& one : counters.links) {
        const auto id = babel_interface(one.link);
        if (!id) continue;
        const auto tunnel = tunnels.find(*id);
        if (tunnel != tunnels.end()) {
            carried(tunnel->second, {one.sent, one.received});
        } else if (speaker.traffic(*id, {one.sent, one.received}, now, babel_actions)) {
            watching.traffic_flows = true;
        }
    }
}

// Packets since whenever.
void Node::State::carried(Tunnel& tunnel, const babel::Traffic& all) {
    const bool flows = speaker.traffic(tunnel.pairing.if_id, all, now, babel_actions);
    watching.traffic_flows = watching.traffic_flows || flows;
    weigh_silence(tunnel, all.received, flows);
}

// More than Babel's own goes out, and nothing comes back, not even what Babel asks for.
void Node::State::weigh_silence(Tunnel& tunnel, std::uint64_t arrived, bool flows) {
    const bool answered = std::exchange(tunnel.arrived_on_link, arrived) != arrived;
    if (!flows || answered) return tunnel.unanswered_since.reset();
    if (!tunnel.unanswered_since) tunnel.unanswered_since = now;
    const Duration patience = config.ike.suspicion_time;
    if (patience > Duration::zero() && now >= *tunnel.unanswered_since + patience)
        engine.suspect(tunnel.pairing.if_id, now, ike_actions);
}

void Node::State::links_answered() {
    watching.in_flight = false;
    if (speaker.installed_count() == 0) return;
    watching.due = now + (watching.traffic_flows ? kLookBusy : kLookIdle);
}

}  // namespace aronet::overlay
