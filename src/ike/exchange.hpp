#pragma once

// Message IDs and retransmission of one IKE SA (RFC 7296 2.1 to 2.3), window of one: at most one request of
// ours is in flight, and a request of the peer that comes again gets the very bytes that answered it. Knows
// datagrams, not what they say: it can neither encrypt nor parse, so a repetition is never encrypted a second
// time.

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/time.hpp"

#include <array>
#include <optional>
#include <vector>

namespace aronet::ike {

using base::Byte;
using base::Bytes;
using base::ByteView;
using base::Duration;
using base::Instant;

// How a request is repeated: after `first`, then `growth` tenths of the time before, at most `cap`.
struct Schedule {
    Duration first;
    Duration cap;
    unsigned tries;        // datagrams sent in all, then one more wait
    unsigned growth = 17;  // tenths
};

// A peer that just comes up, for however long it was gone, is reached within `cap` and a short pause: the
// request goes on for as long as a responder keeps a half-open SA, the next attempt has new SPIs. The first
// one is lost where both come up at once or a flood fills the responder's socket, and soon repeated.
inline constexpr Schedule kInitSchedule{std::chrono::milliseconds(500), std::chrono::seconds(3), 11};
// Where there are other addresses to try.
inline constexpr Schedule kTrialSchedule{std::chrono::seconds(1), std::chrono::seconds(1), 2};
// The same: the answer of a responder that is there again comes in time.
inline constexpr Schedule kAuthSchedule{std::chrono::seconds(1), std::chrono::seconds(3), 10};
// Somebody says in the responder's name that it will not come to anything: not for that long.
inline constexpr Schedule kRefusedSchedule{std::chrono::seconds(1), std::chrono::seconds(3), 3};
// Somebody says in the responder's name that it does not know the IKE SA: one question more.
inline constexpr Schedule kDisownedSchedule{
    std::chrono::milliseconds(500), std::chrono::milliseconds(500), 1};
// Nine requests in 17 s: at 30 % loss each way two in a thousand go all unanswered.
inline constexpr Schedule kLiveSchedule{std::chrono::seconds(1), std::chrono::seconds(2), 9};
// Traffic to the peer goes unanswered: the repetitions of one request are the questions.
inline constexpr Schedule kSuspicionSchedule{
    std::chrono::milliseconds(200), std::chrono::milliseconds(200), 1000, 10};
// A DELETE that is lost costs the peer a dead peer detection, no more.
inline constexpr Schedule kDeleteSchedule{std::chrono::milliseconds(500), std::chrono::seconds(2), 4};

using Datagrams = std::vector<Bytes>;  // one message: one datagram, or its fragments in order (RFC 7383)
using Fingerprint = std::array<Byte, 16>;

Fingerprint fingerprint(ByteView message);

// Our requests.
class Requester {
public:
    explicit Requester(std::uint32_t first_id = 0) : next_id_(first_id) {}

    // The last ID is never used: after it the numbers would begin anew, and with them old messages (RFC
    // 7296 2.2).
    bool exhausted() const { return next_id_ == UINT32_MAX; }
    std::uint32_t next_id() const { return next_id_; }  // of the request in flight, if there is one
    bool in_flight() const { return !datagrams_.empty(); }
    const Datagrams& datagrams() const { return datagrams_; }
    unsigned sent() const { return sent_; }

    // The datagrams carry next_id(). Replaces what is in flight (an IKE_SA_INIT with its cookie).
    void start(Datagrams datagrams, const Schedule& schedule, Instant now, base::Random& random);
    // True when `id` is in flight; it is then done with, and the next request gets the next ID.
    bool answered(std::uint32_t id);
    void forget() { datagrams_.clear(); }
    // Goes along with what is in flight, under the same ID: on one of several SAs, all but one of them false.
    void add(const Datagrams& more) { datagrams_.insert(datagrams_.end(), more.begin(), more.end()); }

    enum class Due : std::uint8_t { nothing, repeat, give_up };
    Due tick(Instant now, base::Random& random);
    std::optional<Instant> deadline() const;
    void pace(const Schedule& schedule, Instant now, base::Random& random);  // from now on
    void extend(unsigned tries) { schedule_.tries += tries; }  // the peer gave another sign of life

private:
    std::uint32_t next_id_;
    Datagrams datagrams_;
    Schedule schedule_{};
    Duration wait_{};
    Instant due_{};
    unsigned sent_ = 0;
};

// The peer's requests.
class Responder {
public:
    explicit Responder(std::uint32_t expected_id = 0) : expected_id_(expected_id) {}

    enum class Verdict : std::uint8_t { fresh, repeated, outside };
    // What a request is by its ID and bytes; nothing is verified yet and nothing is written.
    Verdict judge(std::uint32_t id, ByteView datagram) const;
    // The request with the expected ID verified. `first` is its datagram, or its first fragment.
    void accept(const Fingerprint& first);
    void answer(Datagrams datagrams);
    bool owes_answer() const { return owes_answer_; }
    std::uint32_t owed_id() const { return expected_id_ - 1; }
    const Datagrams& last_answer() const { return last_answer_; }

private:
    std::uint32_t expected_id_;
    bool owes_answer_ = false;
    std::optional<Fingerprint> last_request_;
    Datagrams last_answer_;
};

}  // namespace aronet::ike
