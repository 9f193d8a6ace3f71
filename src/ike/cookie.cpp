#include "ike/cookie.hpp"

#include "base/secret.hpp"

#include <sodium.h>

namespace aronet::ike {

using base::Bytes;
using base::ByteView;

Bytes Cookies::make(
    ByteView nonce, const base::Address& from, std::uint64_t spi_i, base::Instant now, base::Random& random
) {
    if (keys_[0].version == 0 || now >= keys_[0].made_at + kSecretLifetime) {
        keys_[1] = keys_[0];
        random.fill(keys_[0].bytes);
        keys_[0].made_at = now;
        ++keys_[0].version;
    }
    return compute(keys_[0], nonce, from, spi_i);
}

bool Cookies::check(
    ByteView cookie, ByteView nonce, const base::Address& from, std::uint64_t spi_i, base::Instant now
) const {
    const auto version = base::Reader(cookie).u32();
    for (const Key& key : keys_) {
        if (key.version == 0 || key.version != version || now >= key.made_at + 2 * kSecretLifetime) continue;
        return base::equal_in_constant_time(compute(key, nonce, from, spi_i), cookie);
    }
    return false;
}

// version | HMAC-SHA-512-256(secret, version | SPIi | address | nonce): the version says which secret to try.
Bytes Cookies::compute(const Key& key, ByteView nonce, const base::Address& from, std::uint64_t spi_i) {
    Bytes input;
    base::Writer writer(input);
    writer.u32(key.version);
    writer.u64(spi_i);
    writer.u8(static_cast<base::Byte>(from.family()));
    writer.put(from.bytes());
    writer.put(nonce);
    std::array<base::Byte, crypto_auth_hmacsha512256_BYTES> mac{};
    crypto_auth_hmacsha512256(mac.data(), input.data(), input.size(), key.bytes.data());
    Bytes cookie;
    base::Writer out(cookie);
    out.u32(key.version);
    out.put(ByteView(mac).first(16));
    return cookie;
}

}  // namespace aronet::ike
