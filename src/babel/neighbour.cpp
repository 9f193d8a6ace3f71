#include "babel/neighbour.hpp"

#include <bit>

namespace aronet::babel {

namespace {

constexpr std::uint16_t kNewest = 0x8000;
// What a perfect link costs where the cost counts what is lost: 256 in appendix A.2.2.
unsigned unit(const InterfaceConfig& config) { return std::max<unsigned>(1, config.rxcost); }

}  // namespace

void HelloHistory::push(bool heard) {
    bits_ = static_cast<std::uint16_t>(bits_ >> 1 | (heard ? kNewest : 0));
    seen_ = std::min(seen_ + 1, kHistoryBits);
}

// Appendix A.1.
HelloHistory::Outcome HelloHistory::heard(SeqNo seqno) {
    Outcome outcome = empty() && seen_ == 0 ? Outcome::started_anew : Outcome::counted;
    if (outcome == Outcome::counted) {
        const int ahead = static_cast<std::int16_t>(static_cast<SeqNo>(seqno - expected_));
        if (ahead > kSeqnoTolerance || ahead < -kSeqnoTolerance) {
            forget();
            outcome = Outcome::started_anew;
        } else if (ahead < 0) {  // the sender slowed down: what we took for missed was never sent
            bits_ = static_cast<std::uint16_t>(unsigned(bits_) << -ahead);
            seen_ -= std::min(seen_, unsigned(-ahead));
        }
        for (int i = 0; outcome == Outcome::counted && i < ahead; ++i) push(false);
    }
    push(true);
    expected_ = static_cast<SeqNo>(seqno + 1);
    return outcome;
}

void HelloHistory::missed() {
    if (seen_ == 0) return;
    push(false);
    ++expected_;
}

bool HelloHistory::two_of_three() const {
    return seen_ > 0 && std::popcount(static_cast<std::uint16_t>(bits_ & 0xe000)) >= int(std::min(seen_, 2u));
}

bool HelloHistory::has_holes() const {
    const unsigned due = std::min(seen_, 4u);
    return std::popcount(static_cast<std::uint16_t>(bits_ & 0xf000)) < int(due);
}

unsigned HelloHistory::received() const { return static_cast<unsigned>(std::popcount(bits_)); }

std::uint32_t timestamp(Instant at) {
    const auto stamp = static_cast<std::uint32_t>(base::microseconds(at.time_since_epoch()));
    return stamp == 0 ? 1 : stamp;
}

void RoundTrip::heard(std::uint32_t their_stamp, Instant received_at) {
    their_stamp_ = their_stamp;
    received_at_ = received_at;
    heard_ = true;
}

std::optional<Ihu::Echo> RoundTrip::echo(Instant now) const {
    if (!heard_ || now - received_at_ > kTimestampAgeMax) return std::nullopt;
    return Ihu::Echo{their_stamp_, timestamp(received_at_)};
}

// RTT = (t2 - t1) - (t2' - t1'): how long ago we sent it, less how long the peer kept it.
bool RoundTrip::echoed(const Ihu::Echo& echo) {
    const auto age_max = static_cast<std::uint32_t>(base::microseconds(kTimestampAgeMax));
    const std::uint32_t away = timestamp(received_at_) - echo.origin;
    const std::uint32_t kept = their_stamp_ - echo.received;
    const auto since_last = static_cast<std::int32_t>(echo.received - last_received_.value_or(echo.received));
    last_received_ = echo.received;
    if (!heard_ || away > age_max || kept > age_max) return false;
    if (since_last < 0 || since_last > std::int32_t(age_max)) return false;
    const auto sample = std::max<std::int64_t>(0, std::int64_t(away) - std::int64_t(kept)) * 1us;
    if (!smoothed_) smoothed_ = sample;
    const bool near = sample < *smoothed_ + kRttNoise && *smoothed_ < sample + kRttNoise;
    alike_ = near ? std::min(alike_ + 1, kAlikeMin) : 0;
    *smoothed_ += (sample - *smoothed_) * kRttGain / 256;
    return true;
}

// RFC 9616 4.2: nothing up to rtt_min, all of it from rtt_max on, a straight line between.
unsigned rtt_cost(const std::optional<Duration>& rtt, const InterfaceConfig& config) {
    if (!rtt || *rtt <= config.rtt_min) return 0;
    if (*rtt >= config.rtt_max) return config.rtt_cost;
    const auto above = base::microseconds(*rtt - config.rtt_min);
    const auto range = std::max<std::int64_t>(1, base::microseconds(config.rtt_max - config.rtt_min));
    return static_cast<unsigned>(config.rtt_cost * above / range);
}

std::uint16_t Neighbour::rxcost(const InterfaceConfig& config) const {
    if (config.type != LinkType::lossy) {
        return multicast.two_of_three() || unicast.two_of_three() ? config.rxcost : kInfinity;
    }
    if (multicast.received() < 2) return kInfinity;
    return static_cast<std::uint16_t>(
        std::min(unit(config) * multicast.seen() / multicast.received(), kInfinity - 1u)
    );
}

// Never 0: a metric that does not grow on every hop is no protection against loops (section 3.5.2).
unsigned Neighbour::compute_cost(const InterfaceConfig& config, std::uint16_t suspicion) const {
    const std::uint16_t rx = rxcost(config);
    if (rx == kInfinity || txcost == kInfinity || suspicion == kInfinity || probing.dead) return kInfinity;
    unsigned link = std::max<unsigned>(1, txcost);
    if (config.type == LinkType::lossy) link = std::max<unsigned>(txcost, unit(config)) * rx / unit(config);
    if (config.type == LinkType::tunnel) link += rtt_cost(rtt.smoothed(), config);
    return std::min(link + suspicion, kInfinity - 1u);
}

std::optional<std::uint8_t> Neighbour::next_hop(const Address& wanted) {
    const auto it = std::find(next_hops.begin(), next_hops.end(), wanted);
    if (it == next_hops.end() && next_hops.size() > UINT8_MAX) return std::nullopt;
    const auto index = static_cast<std::uint8_t>(it - next_hops.begin());
    if (it == next_hops.end()) next_hops.push_back(wanted);
    return index;
}

}  // namespace aronet::babel
