#pragma once

// The numbers of the protocol (RFC 8966 appendix B unless said otherwise) and the arithmetic of its small
// types.

#include "babel/types.hpp"

#include <algorithm>

namespace aronet::babel {

using namespace std::chrono_literals;

// Intervals on the wire: 16 bits of centiseconds.
struct Interval {
    std::uint16_t centiseconds = 0;

    static Interval of(Duration d) {  // never 0, which is forbidden, nor 0xffff, which means "not repeated"
        return {static_cast<std::uint16_t>(std::clamp<std::int64_t>(d / 10ms, 1, 0xfffe))};
    }
    Duration duration() const { return centiseconds * Duration(10ms); }
    bool operator==(const Interval&) const = default;
};

inline constexpr std::uint16_t kPort = 6696;
inline constexpr base::Byte kMagic = 42;
inline constexpr base::Byte kVersion = 2;
inline constexpr std::size_t kHeaderSize = 4;
inline constexpr std::size_t kIpAndUdpSize = 48;   // an IPv6 and a UDP header
inline constexpr std::size_t kPayloadMax = 65527;  // of UDP without jumbograms, which must not be (section 4)
inline constexpr std::size_t kPacketSizeMin = 512;  // what every interface must be able to carry (section 4)

inline constexpr std::uint8_t kInitialHopCount = 64;
inline constexpr unsigned kHistoryBits = 16;
inline constexpr int kSeqnoTolerance = 16;          // hello seqnos further off mean a restarted peer (A.1)
inline constexpr Duration kNeighbourSilence = 60s;  // for one that did not yet promise a Hello
inline constexpr Duration kSourceLifetime = 180s;
inline constexpr Duration kRequestTimeout = 2s;  // doubled with each resend
inline constexpr unsigned kRequestResends = 3;
inline constexpr SeqNo kChasedSeqnosMax = 64;        // an update further behind what is feasible is let go
inline constexpr Duration kForwardMemory = 10s;      // how long a forwarded request waits for its answer
inline constexpr Duration kForwardSuppression = 1s;  // how long the same request is not forwarded again
inline constexpr Duration kUnreachableHoldMin = 2s;
inline constexpr Duration kUnreachableHoldMax = 180s;

inline constexpr unsigned kQuickHellos = 2;  // Hellos soon after the first, so that 2 of 3 arrive early
inline constexpr Duration kQuickHelloGap = 80ms;
inline constexpr Duration kHelloGap = 10ms;  // Hellos wanted within this time are one
inline constexpr Duration kHelloGapMax = 640ms;
// Urgent updates wait this long after the last, and then together: longer where there are many interfaces to
// write to, never longer than the urgent timeout.
inline constexpr Duration kUrgentGap = 20ms;
inline constexpr Duration kUrgentGapPerInterface = 200us;
inline constexpr Duration kUrgentTimeout = 200ms;
inline constexpr Duration kNormalDelayMax = 1s;  // triggered updates; never more than half the hello interval
inline constexpr Duration kRepeatDelay = 1s;     // second copy of what nobody acknowledges
inline constexpr std::size_t kPortion = 100;     // destinations that are written together: about two packets
inline constexpr unsigned kPortionsAtOnce = 5;   // to those who do not acknowledge; then
inline constexpr Duration kPortionPause = 10ms;
inline constexpr unsigned kDumpShare = 8;         // a periodic dump is spread over this part of its interval
inline constexpr std::size_t kDumpsAtOnce = 128;  // with more, answers come later than they are waited for
inline constexpr Instant kQueued = Instant::max();  // when a dump is due that waits for others
inline constexpr Duration kDumpInterval = 1s;       // full dumps asked for by one neighbour
inline constexpr Duration kRetractionMemory =
    60s;  // what is gone stays in the table, for those still to be told

// Acknowledgments. Some peers use up to three quarters of the time they are given.
inline constexpr Interval kAckInterval{30};
inline constexpr Duration kAckTimeoutStart = 400ms;  // before the first answer
inline constexpr Duration kAckTimeoutMin = 40ms;
inline constexpr Duration kAckTimeoutMax = 2s;
inline constexpr std::size_t kWindowStart = 16, kWindowMin = 16, kWindowMax = 64;  // packets unacknowledged
inline constexpr unsigned kAttemptsMax = 10;        // of telling one thing to a neighbour that answers others
inline constexpr unsigned kSilentRoundsMax = 8;     // after which it is taken for one that never answers
inline constexpr std::size_t kListenersMax = 8;     // on an interface with more, updates are repeated instead
inline constexpr Duration kDeliveredCheck = 250ms;  // whether all have acknowledged a retraction

// Intervals chosen by ourselves: so many Hellos and updates a second in all.
inline constexpr unsigned kHellosPerSecond = 50;
inline constexpr unsigned kUpdatesPerSecond = 2000;
inline constexpr int kHellosPerDumpMin = 8;  // what changes is acknowledged, so a dump repairs little
inline constexpr int kHelloSlotsMin = 16, kHelloSlotsMax = 64;  // in a Hello interval
inline constexpr Duration kHelloIntervalMin = 20s, kHelloIntervalMax = 60s;
inline constexpr Duration kUpdateIntervalMax = 600s;
inline constexpr std::size_t kActionsAtOnce = 256;  // in a turn; on a busy hub there is no end of them
inline constexpr std::size_t kTlvsAtOnce = 600;     // requests and acknowledgments; then a pause

// Probes of the next hops while traffic flows.
inline constexpr Duration kFlowMemory = 1s;     // a flow has ended when nothing was sent for so long
inline constexpr Duration kProofLife = 400ms;   // an answer proves the link for so long, and
inline constexpr Duration kProofLifeBusy = 1s;  // for so long where something comes back
inline constexpr Duration kProbePatience =
    300ms;                                    // with the first one; peers use much of what they are given
inline constexpr Duration kProbeGap = 30ms;   // between probes once one was not answered in time
inline constexpr unsigned kProbesMax = 20;    // unanswered: a link that loses 30 % either way answers one
inline constexpr Duration kProbeMemory = 2s;  // an answer may take so long
inline constexpr Duration kRevivalMin = 1s;   // between probes of a dead neighbour, at first
// A neighbour whose process is away, while its host answers for it.
inline constexpr Duration kVacancyMax = 60s;  // it is waited for so long in all, and
inline constexpr Duration kVacancyLife = 5s;  // for so long since its host last answered
inline constexpr Duration kSparedMax = 3s;    // its next process from its first word, until it has to answer
inline constexpr Duration kVacancyGap = 1s;   // between probes; hosts send few errors a second
inline constexpr Duration kReturnMin = 20s;   // what it said before is good for so long when it is back

inline constexpr Duration kEarlierLifeMax = 10s;    // after which nobody speaks to it any more
inline constexpr Duration kTimestampAgeMax = 180s;  // RFC 9616 section 4.3
inline constexpr unsigned kRttGain = 42;            // of 256: 0.164 (RFC 9616 section 4.1)
inline constexpr Duration kRttNoise = 5ms;          // samples that differ by less tell nothing new

// RFC 8967 with the limits of its sections 4.3.1, 4.4 and 6, and RFC 9467 3.2.
inline constexpr std::size_t kMacIndexMax = 32;
inline constexpr std::size_t kMacNonceMax = 192;
inline constexpr std::size_t kMacIndexSize = 8;  // of those we draw
inline constexpr std::size_t kMacNonceSize = 16;
inline constexpr std::size_t kMacWindow = 128;
inline constexpr Duration kChallengeLifetime = 30s;
inline constexpr Duration kChallengeGap = 300ms;      // of requests to one peer at first, of replies always
inline constexpr Duration kChallengeGapMax = 4800ms;  // doubled with each that stays without an answer
inline constexpr unsigned kChallengesInRow = 4;       // for one packet that could not be judged
inline constexpr Duration kProofLifetime = 300s;      // of one that is no neighbour
inline constexpr std::size_t kStrangersMax = 64;      // beside the neighbours, peers remembered per interface

inline constexpr std::size_t kRoutesPerNeighbourMax = 200000;
// Where only what lies within given prefixes may be learned: so many, or so many for each of these.
inline constexpr std::size_t kRoutesPerBoundedNeighbour = 10000, kRoutesPerRegistered = 4;
inline constexpr std::size_t kRequestsPerDestinationMax = 32;
inline constexpr std::size_t kRequestsQueuedMax = 4096;

inline const Address& multicast_group() {  // ff02::1:6
    static const Address group = Address::v6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6});
    return group;
}

constexpr bool valid(RouterId id) { return id != 0 && id != ~RouterId(0); }  // section 4.1.3

// Both are false for numbers 2^15 apart: section 3.2.1 calls neither the newer.
constexpr bool newer(SeqNo a, SeqNo b) {
    const auto ahead = static_cast<SeqNo>(a - b);
    return ahead != 0 && ahead < 0x8000;
}

constexpr Metric plus(Metric a, unsigned b) {
    return static_cast<Metric>(std::min<unsigned>(kInfinity, a + b));
}

}  // namespace aronet::babel
