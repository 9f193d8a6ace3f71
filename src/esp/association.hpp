#pragma once

// The state of one ESP SA: cipher, sequence counter or replay window, counters. It outlives the tables that
// point to it, so that publishing a new table resets nothing. One worker at a time calls seal or open; the
// counters may be read from anywhere. Endpoints are not state but belong to the table: they may change while
// the SA lives.

#include "base/random.hpp"
#include "base/sa.hpp"
#include "base/time.hpp"
#include "esp/cipher.hpp"
#include "esp/packet.hpp"
#include "esp/replay.hpp"

#include <memory>
#include <utility>

namespace aronet::esp {

struct Tally {
    Counter packets;
    Counter bytes;  // of inner packets
    DropCounters drops;
    std::atomic<std::int64_t> last_used{0};  // nanoseconds of base::Instant; 0: never
};

// Says once that an SA has carried as much as it should.
class SoftLimits {
public:
    explicit SoftLimits(const base::Sa& sa) : bytes_(sa.soft_bytes), packets_(sa.soft_packets) {}
    bool take_reached(const Tally& tally, bool numbers_run_out = false) {
        const bool reached = numbers_run_out || (bytes_ != 0 && tally.bytes.value() >= bytes_) ||
                             (packets_ != 0 && tally.packets.value() >= packets_);
        return reached && !std::exchange(told_, true);
    }

private:
    std::uint64_t bytes_, packets_;
    bool told_ = false;
};

class OutboundSa {
public:
    // Without ESN a new SA must be in place long before the counter ends.
    static constexpr std::uint64_t kSoftLimit = std::uint64_t{1} << 31;

    // nullptr: the key does not fit the suite.
    static std::unique_ptr<OutboundSa> make(const base::Sa& sa, base::Random& random);

    // On success the packet is ESP; otherwise packet.drop says why not. Counts either.
    void seal(Packet& packet, base::Instant now);
    // True once: a soft limit has been reached, of the SA or of its sequence numbers.
    bool take_expiring() { return limits_.take_reached(tally_, !esn_ && sequence_ >= kSoftLimit); }
    void skip_to(std::uint64_t sequence) { sequence_ = sequence; }  // forward, before it is published

    const Tally& tally() const { return tally_; }

private:
    OutboundSa(const base::Sa& sa, Cipher cipher, base::Random& random);
    Drop wrap(Packet& packet);
    void write_iv(std::span<Byte> iv);

    std::uint32_t spi_;
    bool esn_;
    Cipher cipher_;
    std::uint64_t sequence_ = 0;  // of the packet sent last (RFC 4303 3.3.3)
    SoftLimits limits_;
    std::uint64_t
        iv_mask_;  // IV = sequence number xor this: unique per key, unlike in a second SA of that key
    base::Random iv_source_;  // CBC only
    Tally tally_;
};

class InboundSa {
public:
    static std::unique_ptr<InboundSa> make(const base::Sa& sa);

    // On success the packet is the inner one; otherwise packet.drop says why not. Counts either. `peer` is
    // where its sender is believed to be.
    void open(Packet& packet, std::uint32_t sequence, const base::Endpoint& peer, base::Instant now);

    const Tally& tally() const { return tally_; }

private:
    InboundSa(const base::Sa& sa, Cipher cipher);
    Drop verify(Packet& packet, std::uint32_t sequence);
    void locate(Packet& packet, const base::Endpoint& peer);
    Drop unwrap(Packet& packet) const;

    Cipher cipher_;
    ReplayWindow window_;
    SoftLimits limits_;
    bool newest_ = false;                 // the packet at hand is the newest so far
    std::optional<base::Endpoint> told_;  // where we said that the peer is, while nobody believes it
    Tally tally_;
};

}  // namespace aronet::esp
