#pragma once

// What the two exchanges that make CHILD SAs (IKE_AUTH, CREATE_CHILD_SA) have in common; inside of Session
// only.

#include "ike/session.hpp"

namespace aronet::ike {

inline constexpr unsigned kChildFailuresMax = 8;  // in a row, then the IKE SA is made anew

// What the messages of both sides come to.
struct Agreement {
    EspChoice choice;
    base::SaMode mode = base::SaMode::tunnel;
    std::vector<TrafficSelector> local, remote;
};

// A child both sides agreed on.
struct Session::Accepted {
    Agreement agreed;
    std::uint32_t spi = 0;  // ours
    ChildKeys keys;
    bool by_us = false;  // we initiated the exchange: its directions are named after its initiator
    ChildId replaces = 0;
    Bytes lowest_nonce = {};  // where it replaces another
};

// What a peer proposes, examined: either an error to answer or all that an answer needs.
struct Offer {
    std::optional<std::uint16_t> error;
    Agreement agreed;
};
Offer examine(const Message& message, const ChildTerms& terms);
// What a request of ours says of the terms besides SA: TSi, TSr and the mode.
void add_terms(std::vector<Payload>& request, const ChildTerms& terms);
// What an answer makes of our offer; nothing where that was not offered.
std::optional<Agreement> accepted(const SaPayload& offer, const ChildTerms& terms, const Message& answer);
void add_child(std::vector<Payload>& answer, const Agreement& agreed, std::uint32_t spi);

}  // namespace aronet::ike
