#include "esp/registry.hpp"

#include <algorithm>

namespace aronet::esp {

std::errc Registry::add(const base::Sa& sa) {
    // RFC 4303 2.1: SPIs up to 255 are reserved; zero on UDP is the non-ESP marker.
    if (sa.mode != base::SaMode::tunnel || !sa.udp_encapsulation || sa.spi < 256)
        return std::errc::invalid_argument;
    if (sa.direction == base::Direction::in) return add_to(inbound_, sa, InboundSa::make(sa));
    return add_to(outbound_, sa, OutboundSa::make(sa, random_));
}

template <class State>
std::errc Registry::add_to(Associations<State>& all, const base::Sa& sa, std::unique_ptr<State> made) {
    if (!made) return std::errc::invalid_argument;
    const auto there = all.find(sa.id());
    if (there != all.end() && there->second.sa.if_id != sa.if_id) return std::errc::file_exists;
    const bool taken = std::ranges::any_of(all, [&](const auto& entry) {
        return entry.second.sa.spi == sa.spi && entry.first != sa.id();
    });
    if (taken && sa.direction == base::Direction::in) return std::errc::file_exists;
    end(all, sa.id());
    all[sa.id()] = Held<State>{sa.without_key(), std::move(made)};
    return {};
}

std::errc Registry::move(
    const base::SaId& id, const base::Endpoint& source, const base::Endpoint& destination
) {
    if (inbound_.contains(id)) return move_in(inbound_, id, source, destination);
    return move_in(outbound_, id, source, destination);
}

template <class State>
std::errc Registry::move_in(
    Associations<State>& all,
    const base::SaId& id,
    const base::Endpoint& source,
    const base::Endpoint& destination
) {
    const base::SaId to{destination.address, id.spi};
    if (!all.contains(id)) return std::errc::no_such_process;
    if (to != id && all.contains(to)) return std::errc::file_exists;
    rename(all, id, to);
    base::Sa& sa = all.at(to).sa;
    sa.source = source;
    sa.destination = destination;
    return {};
}

// The tunnel that sends on it goes on doing so.
template <class State>
void Registry::rename(Associations<State>& all, const base::SaId& from, const base::SaId& to) {
    if (from == to) return;
    auto node = all.extract(from);
    node.key() = to;
    const bool sends = node.mapped().sa.direction == base::Direction::out;
    all.insert(std::move(node));
    for (auto& [if_id, id] : current_)
        if (sends && id == from) id = to;
}

template <class State>
void Registry::end(Associations<State>& all, const base::SaId& id) {
    const auto it = all.find(id);
    if (it == all.end()) return;
    ended_.emplace_back(std::move(it->second.state));
    all.erase(it);
}

void Registry::remove(const base::SaId& id) {
    end(inbound_, id);
    end(outbound_, id);
}

std::errc Registry::set_outbound(std::uint32_t if_id, const base::SaId& id) {
    const auto it = outbound_.find(id);
    if (it == outbound_.end() || it->second.sa.if_id != if_id) return std::errc::no_such_process;
    current_[if_id] = id;
    return {};
}

Table Registry::table() const {
    std::vector<Table::Outbound> outbound;
    for (const auto& [if_id, id] : current_) {
        const auto it = outbound_.find(id);
        if (it == outbound_.end()) continue;
        const base::Sa& sa = it->second.sa;
        outbound.push_back({if_id, id, sa.source, sa.destination, sa.mark, it->second.state.get()});
    }
    std::vector<Table::Inbound> inbound;
    for (const auto& [id, held] : inbound_)
        inbound.push_back({id, held.sa.if_id, held.sa.source, held.state.get()});
    return {std::move(outbound), std::move(inbound)};
}

std::vector<Registry::Entry> Registry::entries() const {
    std::vector<Entry> all;
    for (const auto& [id, held] : inbound_)
        all.push_back({id, base::Direction::in, held.sa.if_id, &held.state->tally()});
    for (const auto& [id, held] : outbound_)
        all.push_back({id, base::Direction::out, held.sa.if_id, &held.state->tally()});
    return all;
}

}  // namespace aronet::esp
