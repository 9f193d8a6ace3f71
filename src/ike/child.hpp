#pragma once

// One CHILD SA as a state: what the session remembers of it after its keys went to the data plane.

#include "ike/ground.hpp"
#include "ike/proposal.hpp"

namespace aronet::ike {

enum class ChildState : std::uint8_t {
    installing,  // ChildUp is out, installed() or refused() is awaited
    standby,     // replaces another, whose DELETE by the peer makes this one send (ike.md 1.7)
    installed,
    replaced,  // another stands by for it; still the one to send on
    dying,     // deleted by the peer; inbound stays a little for what is under way
    deleting,  // our DELETE is out or wanted
};

struct Child {
    ChildId id = 0;
    ChildState state = ChildState::installing;
    std::uint32_t spi_in = 0, spi_out = 0;
    base::EspSuite suite{};
    ChildId replaces = 0;
    std::optional<Instant> due;  // standby: sends from then on anyway; dying: is removed
    bool by_us = false;          // we asked for it
    Bytes lowest_nonce;          // of the exchange that made it in place of another
    std::optional<Instant> rekey_at;
};

// Any to any, both families.
TsPayload any_selectors(bool responder);
// Of one side (RFC 7296 2.9): `ours`, or any where there are none. What we offer, and the most we accept.
TsPayload selectors(bool responder, const std::vector<TrafficSelector>& ours);
// What of ours lies within the offered ones: whole selectors, or with `narrower` any part of them.
std::vector<TrafficSelector> narrow(
    const TsPayload& offered, const std::vector<TrafficSelector>& ours, bool narrower
);

const char* to_string(base::EspSuite suite);

}  // namespace aronet::ike
