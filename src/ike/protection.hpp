#pragma once

// Pieces of the message layer that the encrypted payload is built from; for src/ike alone.

#include "ike/message.hpp"

namespace aronet::ike {

void write_header(const Header& header, std::uint8_t next_payload, std::size_t length, base::Writer& out);
Bytes encode_chain(std::span<const Payload> payloads);

}  // namespace aronet::ike
