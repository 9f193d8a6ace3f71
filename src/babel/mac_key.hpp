#pragma once

// The keys that authenticate packets on an interface (RFC 8967 3.1): values of the configuration. How they
// are used is in mac.hpp; nothing here computes.

#include "base/secret.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace aronet::babel {

enum class MacAlgorithm : std::uint8_t { hmac_sha256, blake2s_128 };  // section 4.1

std::string_view to_string(MacAlgorithm algorithm);                      // "hmac-sha256", "blake2s128"
std::optional<MacAlgorithm> parse_mac_algorithm(std::string_view name);  // the same words
std::size_t mac_size(MacAlgorithm algorithm);

// Several at once make a roll-over without loss: the new key is accepted everywhere before anyone signs with
// it, and accepted until the last one no longer signs with the old (section 5).
struct MacKey {
    MacAlgorithm algorithm = MacAlgorithm::hmac_sha256;
    base::Secret secret;   // see usable()
    bool signs = true;     // what we send carries its MAC
    bool accepted = true;  // its MAC makes a packet authentic

    MacKey() = default;
    MacKey(MacAlgorithm algorithm, base::ByteView secret, bool signs = true, bool accepted = true);
    MacKey(const MacKey& other);  // a key belongs to a configuration, and those are copied
    MacKey& operator=(const MacKey& other);
    MacKey(MacKey&&) noexcept = default;
    MacKey& operator=(MacKey&&) noexcept = default;

    bool usable() const;  // not empty, and no longer than the algorithm takes: 32 octets for BLAKE2s
    bool operator==(const MacKey&) const = default;
};

inline constexpr std::size_t kSigningKeysMax = 8;  // so that a packet of 512 octets still has room for Babel

struct MacConfig {
    std::vector<MacKey> keys;  // none: no authentication; all usable, at most kSigningKeysMax of them signing
    bool permissive = false;   // for deployment (section 5): packets are signed, but any are accepted

    bool operator==(const MacConfig&) const = default;
};

}  // namespace aronet::babel
