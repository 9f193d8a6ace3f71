// A peer to which traffic goes and from which nothing comes is asked at once and every 200 ms (RFC 7296 2.4
// leaves the time to us). The first suspicion is told, so that another way may be taken where there is one;
// then that it is dead for routing; then that it lives. The SAs stay, and dead peer detection takes its time.

#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kLookInterval = std::chrono::seconds(1);  // of who alone can initiate, for ESP
constexpr unsigned kUnansweredMax = 8;
// Where answers take several questions more of them: at 30 % loss each way half of them are in vain, and one
// time in a thousand ten at once.
constexpr unsigned kInVainMax = 8, kInVainGain = 16, kInVainUnit = 256, kMorePerInVain = 12, kMoreMax = 16;
constexpr Duration kOutage = std::chrono::seconds(4);  // an answer that took so long tells nothing of loss
constexpr Duration kPatienceMin = std::chrono::seconds(2);  // else four round trips
constexpr unsigned kRoundTripGain = 8;                      // as RFC 6298 smooths

}  // namespace

// The data plane only knows that ESP came since it was last asked: who has to notice in time asks often, and
// counts from the time before.
Instant Session::probe_at() const {
    const bool by_esp = lonely_ && heard_at_ > heard_ike_at_;
    return heard_at_ + dpd_interval_ - (by_esp ? look_interval() : Duration::zero());
}

Duration Session::look_interval() const { return std::min<Duration>(dpd_interval_ / 4, kLookInterval); }

// Early enough for the data plane to answer before the probe; once per silence.
std::optional<Instant> Session::doubt_at() const {
    const bool probes = dpd_interval_ > Duration::zero() && !requester_.in_flight();
    if (!probes || children_.empty() || doubted_since_ == heard_at_) return std::nullopt;
    return heard_at_ + (lonely_ ? look_interval() : dpd_interval_ * 3 / 4);
}

void Session::doubt(Turn& turn) {
    doubted_since_ = heard_at_;
    if (peer_ && !children_.empty()) turn.out.emplace_back(Silence{*peer_});
}

void Session::suspect(Turn& turn) {
    if (state_ != SessionState::established || suspicion_ || !peer_) return;
    if (requester_.in_flight()) {
        say_request(turn);
    } else {
        ask(Asked::liveness, ExchangeType::informational, {}, turn);
    }
    requester_.pace(kSuspicionSchedule, turn.now, turn.ground.random);
    suspicion_ = Suspicion{turn.now, requester_.sent()};
    turn.out.emplace_back(Doubted{*peer_, Trust::suspected});
}

void Session::trust(const Turn& turn) {
    if (!suspicion_) return;
    suspicion_.reset();
    requester_.pace(kLiveSchedule, turn.now, turn.ground.random);
}

// After a repetition.
void Session::weigh_suspicion(Turn& turn) {
    if (!suspicion_ || suspicion_->dead) return;
    const unsigned unanswered = requester_.sent() - suspicion_->sent_before;
    const Duration patience = std::max<Duration>(kPatienceMin, round_trip_ * 4);
    const unsigned more = std::min(kMorePerInVain * in_vain_ / kInVainUnit, kMoreMax);
    if (unanswered < kUnansweredMax + more || turn.now < suspicion_->since + patience) return;
    suspicion_->dead = true;
    requester_.pace(kLiveSchedule, turn.now, turn.ground.random);
    turn.note(base::Level::info, name(turn) + ": traffic and questions go unanswered");
    turn.out.emplace_back(Doubted{*peer_, Trust::none});
}

void Session::acquit_if_heard(Turn& turn) {
    if (!suspicion_ || heard_at_ <= suspicion_->since) return;
    requester_.pace(kLiveSchedule, turn.now, turn.ground.random);
    if (suspicion_->dead) turn.note(base::Level::info, name(turn) + ": it answers again");
    suspicion_.reset();
    turn.out.emplace_back(Doubted{*peer_, Trust::full});
}

// An answer has come: how many repetitions answers take on the average, and the time of one that belongs to
// one datagram alone (Karn).
void Session::measure_path(const Turn& turn) {
    if (asked_ != Asked::auth && extensions_ == 0 && turn.now < asked_at_ + kOutage)
        in_vain_ += std::min(requester_.sent() - 1, kInVainMax) * (kInVainUnit / kInVainGain) -
                    in_vain_ / kInVainGain;
    if (requester_.sent() != 1) return;
    const Duration sample = turn.now - asked_at_;
    round_trip_ =
        round_trip_ == Duration::zero() ? sample : round_trip_ + (sample - round_trip_) / kRoundTripGain;
}

}  // namespace aronet::ike
