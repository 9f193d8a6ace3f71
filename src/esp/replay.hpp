#pragma once

// The anti-replay window of one inbound SA (RFC 4303 3.4.3 and appendix A), 32 to 4096 packets wide, for
// 32-bit and extended sequence numbers. Two steps, because only an authentic packet may move the window:
// check, then accept.

#include <cstdint>
#include <optional>
#include <vector>

namespace aronet::esp {

class ReplayWindow {
public:
    static constexpr std::uint32_t kMinSize = 32;
    static constexpr std::uint32_t kMaxSize = 4096;

    enum class Verdict : std::uint8_t { fresh, old, duplicate };

    ReplayWindow(std::uint32_t size, bool esn);  // the size is brought into bounds

    // The whole sequence number of a packet that carries its low half; nullopt: before the first one.
    std::optional<std::uint64_t> whole(std::uint32_t low) const;
    Verdict check(std::uint64_t sequence) const;
    // Remembers an authentic, fresh one. True: it is the newest so far.
    bool accept(std::uint64_t sequence);

    std::uint64_t newest() const { return newest_; }
    std::uint32_t size() const { return size_; }
    bool esn() const { return esn_; }

private:
    std::uint64_t bit(std::uint64_t sequence) const { return std::uint64_t{1} << (sequence % 64); }
    std::uint64_t& word(std::uint64_t sequence) { return ring_[sequence / 64 % ring_.size()]; }
    const std::uint64_t& word(std::uint64_t sequence) const { return ring_[sequence / 64 % ring_.size()]; }

    std::uint32_t size_;
    bool esn_;
    std::uint64_t newest_ = 0;         // T of appendix A; 0 is never sent
    std::vector<std::uint64_t> ring_;  // one word more than the window covers: advancing clears whole words
};

}  // namespace aronet::esp
