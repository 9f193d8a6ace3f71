#pragma once

// Where key material lies: slabs of pages that are locked into memory, left out of core dumps and fenced by
// pages that nobody may touch, handed out in pieces of a few sizes and wiped when they come back. Knows
// sizes, and nothing of what is in them. The one for the process is why this file is not as pure as the rest
// of base: docs/decisions/0005.

#include "base/bytes.hpp"

#include <array>
#include <atomic>
#include <vector>

namespace aronet::base {

// Any thread may use it.
class Vault {
public:
    static constexpr std::size_t kSlab = 64 * 1024;
    static constexpr std::size_t kPieceMax = 16 * 1024;  // larger ones have pages of their own

    // The one of the process, made when first asked for and never taken down.
    static Vault& of_process();

    Vault();
    ~Vault();  // everything has come back
    Vault(const Vault&) = delete;
    Vault& operator=(const Vault&) = delete;

    // All zero, aligned for anything; size > 0. Throws std::bad_alloc.
    std::span<Byte> take(std::size_t size);
    void give_back(std::span<Byte> piece) noexcept;  // as take() gave it; wiped

    struct Census {
        std::size_t slabs = 0, pieces = 0;  // handed out now
        bool locked = true;                 // false once the system refused to lock something
    };
    Census census() const;
    bool locked() const { return locked_.load(std::memory_order_relaxed); }

private:
    static constexpr std::array<std::size_t, 20> kSizes{16,   32,   48,   64,   96,    128,      192,
                                                        256,  384,  512,  768,  1024,  1536,     2048,
                                                        3072, 4096, 6144, 8192, 12288, kPieceMax};
    class Turn;  // one thread at a time

    static std::size_t kind_of(std::size_t size);
    Byte* fenced(std::size_t size);
    void cut(std::size_t kind);

    mutable std::atomic_flag busy_;
    std::atomic<bool> locked_{true};
    std::vector<Byte*> slabs_;
    std::span<Byte> uncut_;  // of the newest slab
    std::array<std::vector<Byte*>, kSizes.size()> free_;
    std::array<std::size_t, kSizes.size()> cut_{};  // pieces there are of each size
    std::size_t pieces_ = 0;
};

}  // namespace aronet::base
