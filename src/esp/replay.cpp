#include "esp/replay.hpp"

#include <algorithm>

namespace aronet::esp {

ReplayWindow::ReplayWindow(std::uint32_t size, bool esn)
    : size_(std::clamp(size, kMinSize, kMaxSize)), esn_(esn), ring_((size_ + 63) / 64 + 1) {}

// RFC 4303 A2.2: the high half is the one that puts the number into the window or right of it.
std::optional<std::uint64_t> ReplayWindow::whole(std::uint32_t low) const {
    if (!esn_) return low == 0 ? std::nullopt : std::optional<std::uint64_t>(low);
    const auto top_low = static_cast<std::uint32_t>(newest_);
    const std::uint64_t top_high = newest_ >> 32;
    const std::uint32_t bottom_low = top_low - (size_ - 1);  // modulo 2^32
    const bool in_one_subspace = top_low >= size_ - 1;
    std::uint64_t high = top_high;
    if (in_one_subspace && low < bottom_low) ++high;
    if (!in_one_subspace && low >= bottom_low) {
        if (top_high == 0) return std::nullopt;
        --high;
    }
    if (high > UINT32_MAX) return std::nullopt;
    const std::uint64_t sequence = high << 32 | low;
    return sequence == 0 ? std::nullopt : std::optional(sequence);
}

ReplayWindow::Verdict ReplayWindow::check(std::uint64_t sequence) const {
    if (sequence > newest_) return Verdict::fresh;
    if (sequence == 0 || newest_ - sequence >= size_) return Verdict::old;
    return word(sequence) & bit(sequence) ? Verdict::duplicate : Verdict::fresh;
}

bool ReplayWindow::accept(std::uint64_t sequence) {
    const bool newer = sequence > newest_;
    if (newer) {
        const std::uint64_t ahead = std::min<std::uint64_t>(sequence / 64 - newest_ / 64, ring_.size());
        for (std::uint64_t i = 0; i < ahead; ++i) word(sequence - 64 * i) = 0;
        newest_ = sequence;
    }
    word(sequence) |= bit(sequence);
    return newer;
}

}  // namespace aronet::esp
