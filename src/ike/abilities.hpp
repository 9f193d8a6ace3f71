#pragma once

// Small questions to messages: what a peer says it can do, and what an error is called.

#include "ike/message.hpp"

namespace aronet::ike {

bool can_ed25519(const Message& message);  // SIGNATURE_HASH_ALGORITHMS holds the identity hash (RFC 8420 2)
bool offers_group(const SaPayload& offer, std::uint16_t group);
bool ends_sa(const NotifyPayload& error);  // without a DELETE (RFC 7296 2.21.2)
std::string notify_name(std::uint16_t type);

}  // namespace aronet::ike
