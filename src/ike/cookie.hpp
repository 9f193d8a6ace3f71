#pragma once

// Cookies against floods of spoofed IKE_SA_INIT requests (RFC 7296 2.6): proof that the sender receives at
// the address it claims, without any state about it. Two secrets are alive at a time, so a cookie is good for
// one to two lifetimes.

#include "base/address.hpp"
#include "base/random.hpp"
#include "base/time.hpp"

#include <array>

namespace aronet::ike {

class Cookies {
public:
    static constexpr base::Duration kSecretLifetime = std::chrono::seconds(60);

    base::Bytes make(
        base::ByteView nonce,
        const base::Address& from,
        std::uint64_t spi_i,
        base::Instant now,
        base::Random& random
    );
    bool check(
        base::ByteView cookie,
        base::ByteView nonce,
        const base::Address& from,
        std::uint64_t spi_i,
        base::Instant now
    ) const;

private:
    struct Key {
        std::array<base::Byte, 32> bytes{};
        base::Instant made_at{};
        std::uint32_t version = 0;  // 0: never made
    };
    static base::Bytes compute(
        const Key& key, base::ByteView nonce, const base::Address& from, std::uint64_t spi_i
    );

    std::array<Key, 2> keys_;  // the newest first
};

}  // namespace aronet::ike
