#include "base/secret.hpp"

#include <sodium.h>

namespace aronet::base {

Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        wipe();
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

void Secret::wipe() {
    base::wipe(bytes_);
    bytes_.clear();
}

bool Secret::operator==(const Secret& other) const { return equal_in_constant_time(view(), other.view()); }

bool equal_in_constant_time(ByteView a, ByteView b) {
    return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

void wipe(std::span<Byte> bytes) {
    if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

}  // namespace aronet::base
