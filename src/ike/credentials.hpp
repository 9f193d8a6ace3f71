#pragma once

// What two peers share besides public keys, as their configurations say it. Values that are copied with the
// configuration they belong to, wiped when they go, compared in constant time and never printed.

#include "base/secret.hpp"

#include <string>

namespace aronet::ike {

class SharedSecret {
public:
    SharedSecret() = default;
    explicit SharedSecret(base::ByteView bytes) : secret_(bytes) {}
    SharedSecret(const SharedSecret& other) : secret_(other.view()) {}
    SharedSecret& operator=(const SharedSecret& other) {
        if (this != &other) secret_ = other.secret_.copy();
        return *this;
    }
    SharedSecret(SharedSecret&&) noexcept = default;
    SharedSecret& operator=(SharedSecret&&) noexcept = default;
    ~SharedSecret() = default;

    base::ByteView view() const { return secret_.view(); }
    bool empty() const { return secret_.empty(); }
    bool operator==(const SharedSecret& other) const { return secret_ == other.secret_; }

private:
    base::Secret secret_;
};

// A postquantum preshared key (RFC 8784): whoever only recorded the exchange needs it to learn any key.
struct Ppk {
    std::string id;         // under which the other side has it, too; PPK_ID_FIXED
    SharedSecret secret;    // at least 256 bits of it should be unpredictable
    bool required = false;  // false: without it where the other side has it not
    bool operator==(const Ppk&) const = default;
};

}  // namespace aronet::ike
