#pragma once

// Every random byte of the core comes through here. A deterministic generator (ChaCha20 with fast key
// erasure): the daemon seeds it from the kernel's entropy, a simulation from its seed, and equal seeds give
// equal runs.

#include "base/secret.hpp"
#include "base/time.hpp"

#include <array>

namespace aronet::base {

class Random {
public:
    using Seed = std::array<Byte, 32>;

    explicit Random(ByteView seed);  // 32 bytes, which the caller wipes
    static Random from_number(std::uint64_t seed);  // for simulations and tests only
    Random(const Random&) = delete;
    Random& operator=(const Random&) = delete;

    void fill(std::span<Byte> out);
    Bytes bytes(std::size_t count);
    std::uint32_t u32();
    std::uint64_t u64();
    std::uint64_t below(std::uint64_t bound);       // uniform in [0, bound); bound > 0
    Duration between(Duration low, Duration high);  // uniform in [low, high]
    Duration jitter(Duration d, unsigned percent);  // d less up to `percent` of it

private:
    void refill();

    Secret stream_;           // the key of what comes next, then the pool, whose unused bytes are at the end
    std::size_t unused_ = 0;  // of the pool
};

}  // namespace aronet::base
