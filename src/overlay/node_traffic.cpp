// What the data plane has counted: shown per tunnel, and a sign of life to IKE. It is read in one batch, at
// most once a second, and only when somebody wants to know: a user, IKE before it probes a silent peer, and a
// tunnel whose SAs go.

#include "overlay/node_state.hpp"

namespace aronet::overlay {
namespace {

constexpr Duration kFresh = std::chrono::seconds(1);

}  // namespace

void Node::State::want_counters() {
    reading.due.reset();
    if (reading.in_flight || phase != Phase::running) return;
    if (reading.last && now < *reading.last + kFresh) {
        reading.due = *reading.last + kFresh;
        return;
    }
    reading.last = now;
    reading.in_flight = true;
    change(netlink::ReadCounters{}, {Purpose::Kind::counters});
}

void Node::State::notice(const netlink::Counters& counters) {
    for (const Metering::Growth& growth : metering.read(counters)) {
        const bool inbound = growth.direction == base::Direction::in;
        if (inbound) engine.traffic_seen(growth.if_id, growth.last_used.value_or(now));
        const auto tunnel = tunnels.find(growth.if_id);
        if (tunnel == tunnels.end()) continue;
        Traffic& sum = inbound ? tunnel->second.received : tunnel->second.sent;
        sum.bytes += growth.by.bytes;
        sum.packets += growth.by.packets;
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

}  // namespace aronet::overlay
