#pragma once

// One ESP security association as a value: what IKE negotiates, what XFRM installs and what our own ESP
// obeys.

#include "base/address.hpp"
#include "base/secret.hpp"

#include <cstdint>
#include <optional>

namespace aronet::base {

enum class Direction : std::uint8_t { in, out };

// The ESP suites we speak. Key material is the encryption key, then the salt (AEAD) or the integrity key
// (CBC).
enum class EspSuite : std::uint8_t {
    aes_gcm_128,         // RFC 4106, ICV 16: key 16 + salt 4
    aes_gcm_192,         // key 24 + salt 4
    aes_gcm_256,         // key 32 + salt 4
    chacha20_poly1305,   // RFC 7634: key 32 + salt 4
    aes_cbc_128_sha256,  // RFC 3602 + RFC 4868: key 16 + integrity key 32, ICV 16
    aes_cbc_256_sha256,  // key 32 + integrity key 32, ICV 16
    aes_cbc_256_sha512,  // key 32 + integrity key 64, ICV 32
};

constexpr std::size_t key_size(EspSuite suite) {
    switch (suite) {
        case EspSuite::aes_gcm_128:
            return 20;
        case EspSuite::aes_gcm_192:
            return 28;
        case EspSuite::aes_gcm_256:
            return 36;
        case EspSuite::chacha20_poly1305:
            return 36;
        case EspSuite::aes_cbc_128_sha256:
            return 48;
        case EspSuite::aes_cbc_256_sha256:
            return 64;
        case EspSuite::aes_cbc_256_sha512:
            return 96;
    }
    return 0;
}

enum class SaMode : std::uint8_t { tunnel, transport };

// What names an SA in the kernel and in a table: the SPI is chosen by the receiver, so it goes with the
// destination.
struct SaId {
    Address destination;
    std::uint32_t spi = 0;
    auto operator<=>(const SaId&) const = default;
};

struct Sa {
    Direction direction = Direction::in;
    Endpoint source;       // outer source address and UDP port
    Endpoint destination;  // outer destination address and UDP port
    std::uint32_t spi = 0;
    std::uint32_t reqid = 0;  // one number per pair of endpoints: ties SAs and policies together
    std::uint32_t if_id = 0;  // the tunnel interface it serves
    SaMode mode = SaMode::tunnel;
    bool udp_encapsulation = true;                   // RFC 3948
    bool esn = false;                                // RFC 4303 2.2.1
    std::uint32_t replay_window = 128;               // packets; inbound only
    std::optional<std::uint32_t> mark;               // fwmark on the outer packet; outbound only
    std::uint64_t soft_bytes = 0, soft_packets = 0;  // a notice is wanted after so many; 0: after none
    EspSuite suite = EspSuite::aes_gcm_256;
    Secret key;  // key_size(suite) bytes

    SaId id() const { return {destination.address, spi}; }
    Sa without_key() const;  // for who keeps the rest of it where no key belongs
};

}  // namespace aronet::base
