#include "base/random.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace aronet::base {

Random::Random(const Seed& seed) : key_(seed) {}

Random Random::from_number(std::uint64_t number) {
    Seed seed{};
    std::memcpy(seed.data(), &number, sizeof number);
    return Random(seed);
}

Random::~Random() {
    sodium_memzero(key_.data(), key_.size());
    sodium_memzero(pool_.data(), pool_.size());
}

void Random::refill() {
    // The first 32 bytes of the stream become the next key, so that what was given out cannot be computed
    // back.
    std::array<Byte, 32 + 480> stream;
    randombytes_buf_deterministic(stream.data(), stream.size(), key_.data());
    std::copy_n(stream.begin(), 32, key_.begin());
    std::copy(stream.begin() + 32, stream.end(), pool_.begin());
    sodium_memzero(stream.data(), stream.size());
    unused_ = pool_.size();
}

void Random::fill(std::span<Byte> out) {
    while (!out.empty()) {
        if (unused_ == 0) refill();
        const std::size_t count = std::min(out.size(), unused_);
        Byte* from = pool_.data() + (pool_.size() - unused_);
        std::copy_n(from, count, out.begin());
        sodium_memzero(from, count);
        unused_ -= count;
        out = out.subspan(count);
    }
}

Bytes Random::bytes(std::size_t count) {
    Bytes out(count);
    fill(out);
    return out;
}

std::uint32_t Random::u32() {
    std::uint32_t value = 0;
    fill({reinterpret_cast<Byte*>(&value), sizeof value});
    return value;
}

std::uint64_t Random::u64() {
    std::uint64_t value = 0;
    fill({reinterpret_cast<Byte*>(&value), sizeof value});
    return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
    // Values below 2^64 mod bound would make small results more likely than large ones.
    const std::uint64_t uneven = (0 - bound) % bound;
    for (;;) {
        const std::uint64_t value = u64();
        if (value >= uneven) return value % bound;
    }
}

Duration Random::between(Duration low, Duration high) {
    if (high <= low) return low;
    return low +
           Duration(static_cast<Duration::rep>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

Duration Random::jitter(Duration d, unsigned percent) { return between(d - d * percent / 100, d); }

}  // namespace aronet::base
