// Another configuration of what runs: neighbours stay, and of their routes all that may.

#include "babel/state.hpp"
#include "base/result.hpp"

namespace aronet::babel {

void Speaker::configure(InterfaceId id, const InterfaceConfig& config, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return;
    const Turn turn{now, out};
    state_->configure(it->second, config, turn);
    state_->run_due(turn);
}

void Speaker::State::configure(Interface& on, const InterfaceConfig& wanted, const Turn& turn) {
    const InterfaceConfig before = on.config;
    base::ensure(before.link_local == wanted.link_local, "an interface keeps its address");
    base::ensure(before.type == wanted.type, "an interface keeps its type");
    on.config = wanted;
    on.config.mac = {};  // the keys are where they are used, and nowhere else
    on.config.v4 = before.v4;
    set_mac(on, wanted.mac);
    if (before.v4 != wanted.v4) replace_v4(on, wanted.v4, turn);
    const auto costs = [](const InterfaceConfig& c) {
        return std::tie(c.rxcost, c.rtt_cost, c.rtt_min, c.rtt_max);
    };
    const auto intervals = [](const InterfaceConfig& c) {
        return std::tie(c.hello_interval, c.update_interval);
    };
    const auto learned = [](const InterfaceConfig& c) {
        return std::tie(c.imports, c.bounded, c.routes_max);
    };
    const auto told = [](const InterfaceConfig& c) { return std::tie(c.exports, c.split_horizon); };
    if (costs(before) != costs(wanted)) judge_again(on, turn);
    if (intervals(before) != intervals(wanted)) {
        want_hello(on, turn.now);
        start_dump(on, turn);  // what the last one promised was another interval
    }
    if (learned(before) != learned(wanted)) learn_again(on, turn);
    if (told(before) == told(wanted)) return;
    for (const EntryId entry : table.ids()) owe(on, table.at(entry)->about(), turn);
}

// The neighbours add what we say of the link.
void Speaker::State::judge_again(Interface& on, const Turn& turn) {
    for (const auto& [address, id] : on.neighbours) {
        neighbours[id]->ihu_wanted = true;
        update_cost(*neighbours[id], turn);
    }
    want_hello(on, turn.now);
}

// What the rules refuse goes at once. What they make of the rest, and what they let in now, is seen when the
// neighbours say it again.
void Speaker::State::learn_again(Interface& on, const Turn& turn) {
    for (const auto& [address, id] : on.neighbours) {
        Neighbour& n = *neighbours[id];
        const std::vector<EntryId> entries = n.entries;
        for (const EntryId each : entries) {
            Entry& entry = *table.at(each);
            Route& route = *entry.routes.by(id);
            const Metric* added = import_rule(n, entry.about(), route.received);
            const bool admitted = added != nullptr ? *added != kInfinity : registered(on, entry.prefix);
            if (!admitted) retract(entry, route, turn);
        }
        if (n.reachable()) queue(n, Tlv(RouteRequest{}), turn);
    }
}

void Speaker::set_transit(bool transit, Instant now, Actions& out) {
    if (std::exchange(state_->config.transit, transit) == transit) return;
    const Turn turn{now, out};
    for (const EntryId id : state_->table.ids()) {
        Entry& entry = *state_->table.at(id);
        if (entry.selected != kNobody) state_->tell(entry, turn);
    }
    state_->run_due(turn);
}

}  // namespace aronet::babel
