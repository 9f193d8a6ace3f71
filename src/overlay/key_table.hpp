#pragma once

// Keys as rows of the tables that Wireshark decrypts with (its preferences ikev2_decryption_table and esp_sa;
// docs/testing.md). For debugging: who has a row reads what it is about.

#include "base/sa.hpp"
#include "ike/engine.hpp"

#include <string>

namespace aronet::overlay {

// Empty: Wireshark does not know the cipher (ChaCha20-Poly1305).
std::string ike_row(const ike::KeysMade& keys);
std::string esp_row(const base::Sa& sa);

}  // namespace aronet::overlay
