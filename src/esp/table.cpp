#include "esp/table.hpp"

#include <algorithm>

namespace aronet::esp {

Table::Table(std::vector<Outbound> outbound, std::vector<Inbound> inbound)
    : outbound_(std::move(outbound)), inbound_(std::move(inbound)) {
    std::ranges::sort(outbound_, {}, &Outbound::if_id);
    std::ranges::sort(inbound_, {}, [](const Inbound& entry) { return entry.id.spi; });
}

const Table::Outbound* Table::outbound(std::uint32_t if_id) const {
    const auto it = std::ranges::lower_bound(outbound_, if_id, {}, &Outbound::if_id);
    return it != outbound_.end() && it->if_id == if_id ? &*it : nullptr;
}

const Table::Inbound* Table::inbound(std::uint32_t spi) const {
    const auto it = std::ranges::lower_bound(inbound_, spi, {}, [](const Inbound& e) { return e.id.spi; });
    return it != inbound_.end() && it->id.spi == spi ? &*it : nullptr;
}

const Table::Outbound* Table::seal(
    std::uint32_t if_id, std::span<Packet> batch, base::Instant now, DropCounters& drops
) const {
    const Outbound* way = outbound(if_id);
    for (Packet& packet : batch) {
        if (way)
            way->sa->seal(packet, now);
        else
            packet.drop = Drop::no_association;
        if (packet.drop != Drop::none) drops.add(packet.drop);
    }
    return way;
}

void Table::open(std::span<Packet> batch, base::Instant now, DropCounters& drops) const {
    for (Packet& packet : batch) {
        open(packet, now);
        if (packet.drop != Drop::none) drops.add(packet.drop);
    }
}

void Table::open(Packet& packet, base::Instant now) const {
    packet.peer_moved = packet.expiring = false;
    const auto header = decode_header(packet.bytes());
    if (!header) {
        packet.drop = Drop::too_short;
        return;
    }
    const Inbound* entry = inbound(header->spi);
    if (!entry) {
        packet.drop = Drop::unknown_spi;
        return;
    }
    packet.if_id = entry->if_id;
    packet.id = entry->id;
    entry->sa->open(packet, header->sequence, entry->source, now);
}

}  // namespace aronet::esp
