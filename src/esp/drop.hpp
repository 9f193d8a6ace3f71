#pragma once

// Why a packet went no further, and how often: counters with one writing thread that any thread may read.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aronet::esp {

enum class Drop : std::uint8_t {
    none,
    no_association,      // out: the tunnel has no outbound SA (yet)
    not_ip,              // inner packet is neither IPv4 nor IPv6
    no_room,             // out: the buffer cannot take header and trailer
    sequence_exhausted,  // out: RFC 4303 3.3.3, the counter must not cycle
    cipher_refused,      // out: the library would not encrypt
    too_short,           // in: not even an empty ESP packet
    unaligned,           // in: the ciphertext is no multiple of the block (RFC 4303 2.4)
    unknown_spi,         // in: no such SA
    replay_old,          // in: left of the window (RFC 4303 3.4.3)
    replay_duplicate,    // in: seen before
    bad_icv,             // in: integrity check failed
    bad_padding,         // in: pad length or pad octets are not RFC 4303 2.4's
    dummy,               // in: traffic-flow confidentiality, next header 59 (RFC 4303 2.6)
    bad_next_header,     // in: neither 4, 41 nor 59
    bad_inner_length,    // in: the inner header claims more than there is
    congestion_lost,     // in: CE outside, not ECN-capable inside (RFC 6040 4.2)
};
inline constexpr std::size_t kDropReasons = 17;

std::string_view to_string(Drop reason);

// Counts in one thread, read by others: no read-modify-write cycle, so no locked instruction.
class Counter {
public:
    void add(std::uint64_t n = 1) {
        count_.store(count_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::uint64_t value() const { return count_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> count_{0};
};

class DropCounters {
public:
    void add(Drop reason, std::uint64_t n = 1) { counters_[static_cast<std::size_t>(reason)].add(n); }
    std::uint64_t value(Drop reason) const { return counters_[static_cast<std::size_t>(reason)].value(); }

private:
    std::array<Counter, kDropReasons> counters_;
};

}  // namespace aronet::esp
