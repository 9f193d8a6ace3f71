#pragma once

// A set of SAs as a worker sees it: sorted, immutable, published whole. seal and open touch no lock; what
// changes per packet is inside the SAs the table points to, which their Registry keeps alive until no worker
// has the table any more.

#include "esp/association.hpp"

#include <span>
#include <vector>

namespace aronet::esp {

class Table {
public:
    struct Outbound {
        std::uint32_t if_id = 0;
        base::SaId id;
        base::Endpoint source, destination;
        std::optional<std::uint32_t> mark;
        OutboundSa* sa = nullptr;
    };
    struct Inbound {
        base::SaId id;
        std::uint32_t if_id = 0;
        base::Endpoint source;
        InboundSa* sa = nullptr;
    };

    Table() = default;
    Table(std::vector<Outbound> outbound, std::vector<Inbound> inbound);

    const Outbound* outbound(std::uint32_t if_id) const;  // the current one of a tunnel
    const Inbound* inbound(std::uint32_t spi) const;

    // All packets of one tunnel. Returns where they go, nullptr when there is no outbound SA; the reasons of
    // those that do not go are in packet.drop and counted in `drops`.
    const Outbound* seal(std::uint32_t if_id, std::span<Packet> batch, base::Instant now, DropCounters& drops)
        const;
    // Packets of any tunnels, as received. Sets if_id where drop is none, and peer_moved.
    void open(std::span<Packet> batch, base::Instant now, DropCounters& drops) const;

private:
    void open(Packet& packet, base::Instant now) const;

    std::vector<Outbound> outbound_;  // by if_id
    std::vector<Inbound> inbound_;    // by SPI
};

}  // namespace aronet::esp
