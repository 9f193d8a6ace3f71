#pragma once

// What the two exchanges that make CHILD SAs (IKE_AUTH, CREATE_CHILD_SA) have in common; inside of Session
// only.

#include "ike/session.hpp"

namespace aronet::ike {

inline constexpr unsigned kChildFailuresMax = 8;  // in a row, then the IKE SA is made anew

// A child both sides agreed on.
struct Session::Accepted {
    EspChoice choice;
    std::uint32_t spi = 0;  // ours
    ChildKeys keys;
    bool by_us = false;  // we initiated the exchange: its directions are named after its initiator
    ChildId replaces = 0;
    Bytes lowest_nonce = {};  // where it replaces another
};

// What a peer proposes, examined: either an error to answer or all that an answer needs.
struct Offer {
    std::optional<std::uint16_t> error;
    std::optional<EspChoice> choice;
    TsPayload tsi, tsr;
};
Offer examine(const Message& message);
// What an answer makes of our offer; nothing where that was not offered.
std::optional<EspChoice> accepted(const SaPayload& offer, const Message& answer);
void add_child(std::vector<Payload>& answer, const Offer& offer, std::uint32_t spi);

}  // namespace aronet::ike
