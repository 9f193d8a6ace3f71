#include "base/vault.hpp"

#include "base/result.hpp"

#include <sodium.h>

#include <algorithm>
#include <new>

namespace aronet::base {

namespace {

constexpr std::size_t kCut = 4096;  // of a slab at once

}  // namespace

// Waits asleep, not spinning: the holder may have been interrupted.
class Vault::Turn {
public:
    explicit Turn(std::atomic_flag& busy) : busy_(busy) {
        while (busy_.test_and_set(std::memory_order_acquire)) busy_.wait(true, std::memory_order_relaxed);
    }
    ~Turn() {
        busy_.clear(std::memory_order_release);
        busy_.notify_one();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    std::atomic_flag& busy_;
};

// Not destroyed: what other statics still hold at the end of the process is given back to something.
Vault& Vault::of_process() {
    static Vault& vault = *new Vault;
    return vault;
}

Vault::Vault() { ensure(sodium_init() >= 0, "libsodium starts"); }

Vault::~Vault() {
    ensure(pieces_ == 0, "nothing is left of a vault that goes");
    for (Byte* slab : slabs_) sodium_free(slab);
}

std::span<Byte> Vault::take(std::size_t size) {
    const Turn turn(busy_);
    const std::size_t kind = kind_of(size);
    Byte* piece = nullptr;
    if (kind == kSizes.size()) {
        piece = fenced((size + kSizes[0] - 1) / kSizes[0] * kSizes[0]);
    } else {
        if (free_[kind].empty()) cut(kind);
        piece = free_[kind].back();
        free_[kind].pop_back();
    }
    ++pieces_;
    return {piece, size};
}

void Vault::give_back(std::span<Byte> piece) noexcept {
    const Turn turn(busy_);
    const std::size_t kind = kind_of(piece.size());
    --pieces_;
    if (kind == kSizes.size()) return sodium_free(piece.data());  // which wipes
    sodium_memzero(piece.data(), piece.size());
    free_[kind].push_back(piece.data());  // there is room, see cut()
}

Vault::Census Vault::census() const {
    const Turn turn(busy_);
    return {slabs_.size(), pieces_, locked()};
}

std::size_t Vault::kind_of(std::size_t size) {
    return static_cast<std::size_t>(std::lower_bound(kSizes.begin(), kSizes.end(), size) - kSizes.begin());
}

// Zeros between two pages without access; at the end of them, so that its size decides where it begins.
// sodium_malloc() locks too, but keeps quiet about a failure.
Byte* Vault::fenced(std::size_t size) {
    auto* memory = static_cast<Byte*>(sodium_malloc(size));
    if (memory == nullptr) throw std::bad_alloc();
    if (sodium_mlock(memory, size) != 0) locked_.store(false, std::memory_order_relaxed);
    sodium_memzero(memory, size);
    return memory;
}

// More pieces of one size. What is left of a slab that is too small for them is left.
void Vault::cut(std::size_t kind) {
    const std::size_t size = kSizes[kind], count = std::max<std::size_t>(1, kCut / size);
    free_[kind].reserve(cut_[kind] + count);
    if (uncut_.size() < count * size) {
        slabs_.reserve(slabs_.size() + 1);
        uncut_ = {fenced(kSlab), kSlab};
        slabs_.push_back(uncut_.data());
    }
    for (std::size_t i = 0; i < count; ++i) free_[kind].push_back(uncut_.data() + i * size);
    cut_[kind] += count;
    uncut_ = uncut_.subspan(std::max(count * size, std::min(kCut, uncut_.size())));
}

}  // namespace aronet::base
