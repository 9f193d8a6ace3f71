#pragma once

// Small questions to messages: what a peer says it can do, and what an error is called.

#include "ike/message.hpp"

namespace aronet::ike {

bool can_ed25519(const Message& message);  // SIGNATURE_HASH_ALGORITHMS holds the identity hash (RFC 8420 2)
// That a tunnel may go over one link with those of other peers. Numbers for private use are anybody's, so it
// says whose.
NotifyPayload offer_shared_link();
bool offers_shared_link(const Message& message);
bool offers_group(const SaPayload& offer, std::uint16_t group);
bool ends_sa(const NotifyPayload& error);  // without a DELETE (RFC 7296 2.21.2)
std::string notify_name(std::uint16_t type);

}  // namespace aronet::ike
