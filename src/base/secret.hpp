#pragma once

// Key material: kept in the vault of the process and wiped when it goes, never printed, compared in constant
// time, copied only by saying so.

#include "base/bytes.hpp"

#include <utility>

namespace aronet::base {

class Secret {
public:
    Secret() = default;
    explicit Secret(std::size_t size);  // zeros
    explicit Secret(ByteView bytes);
    ~Secret() { wipe(); }
    Secret(Secret&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Secret& operator=(Secret&& other) noexcept;
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;

    Secret copy() const { return Secret(view()); }
    ByteView view() const { return bytes_; }
    std::span<Byte> mutable_view() { return bytes_; }
    std::size_t size() const { return bytes_.size(); }
    bool empty() const { return bytes_.empty(); }
    void wipe();

    bool operator==(const Secret& other) const;  // constant time for equal sizes

private:
    std::span<Byte> bytes_;  // of the vault's
};

bool equal_in_constant_time(ByteView a, ByteView b);
void wipe(std::span<Byte> bytes);

}  // namespace aronet::base
