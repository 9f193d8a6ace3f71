#include "base/secret.hpp"

#include "base/vault.hpp"

#include <sodium.h>

#include <algorithm>

namespace aronet::base {

Secret::Secret(std::size_t size) {
    if (size > 0) bytes_ = Vault::of_process().take(size);
}

Secret::Secret(ByteView bytes) : Secret(bytes.size()) { std::ranges::copy(bytes, bytes_.begin()); }

Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        wipe();
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

void Secret::wipe() {
    if (!bytes_.empty()) Vault::of_process().give_back(std::exchange(bytes_, {}));
}

bool Secret::operator==(const Secret& other) const { return equal_in_constant_time(view(), other.view()); }

bool equal_in_constant_time(ByteView a, ByteView b) {
    return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

void wipe(std::span<Byte> bytes) {
    if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

}  // namespace aronet::base
