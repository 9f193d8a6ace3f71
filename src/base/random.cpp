#include "base/random.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace aronet::base {

namespace {

constexpr std::size_t kKey = std::tuple_size_v<Random::Seed>, kPool = 480;

}  // namespace

Random::Random(ByteView seed) : stream_(kKey + kPool) {
    std::ranges::copy(seed.first(kKey), stream_.mutable_view().begin());
}

Random Random::from_number(std::uint64_t number) {
    Seed seed{};
    std::memcpy(seed.data(), &number, sizeof number);
    return Random(seed);
}

// The first bytes of the stream become the next key, so that what was given out cannot be computed back.
void Random::refill() {
    Secret next(stream_.size());
    randombytes_buf_deterministic(next.mutable_view().data(), next.size(), stream_.view().data());
    sodium_stackzero(4096);  // where the cipher had what it made
    stream_ = std::move(next);
    unused_ = kPool;
}

void Random::fill(std::span<Byte> out) {
    while (!out.empty()) {
        if (unused_ == 0) refill();
        const auto from = stream_.mutable_view().last(unused_).first(std::min(out.size(), unused_));
        std::ranges::copy(from, out.begin());
        wipe(from);
        unused_ -= from.size();
        out = out.subspan(from.size());
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
