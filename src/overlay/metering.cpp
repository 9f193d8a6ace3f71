#include "overlay/metering.hpp"

namespace aronet::overlay {

void Metering::begins(const base::SaId& id, std::uint32_t if_id, base::Direction direction) {
    meters_[id] = {if_id, direction, {}};
}

void Metering::moves(const base::SaId& from, const base::SaId& to) {
    auto meter = meters_.extract(from);
    if (meter.empty()) return;
    meter.key() = to;
    meters_.erase(to);
    meters_.insert(std::move(meter));
}

void Metering::ends(const base::SaId& id) {
    const auto meter = meters_.find(id);
    if (meter != meters_.end()) meter->second.ended = true;
}

std::vector<Metering::Growth> Metering::read(const netlink::Counters& counters) {
    std::vector<Growth> growths;
    for (const netlink::Counters::Sa& sa : counters.sas) {
        const auto found = meters_.find(sa.id);
        if (found == meters_.end()) continue;
        Meter& meter = found->second;
        // Counters that went back belong to another SA under the same name.
        if (sa.packets < meter.last.packets || sa.bytes < meter.last.bytes) meter.last = {};
        const Traffic by{sa.bytes - meter.last.bytes, sa.packets - meter.last.packets};
        meter.last = {sa.bytes, sa.packets};
        if (by.packets > 0) growths.push_back({meter.if_id, meter.direction, by, sa.last_used});
    }
    std::erase_if(meters_, [](const auto& entry) { return entry.second.ended; });
    return growths;
}

}  // namespace aronet::overlay
