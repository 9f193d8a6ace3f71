#include "ike/exchange.hpp"

#include <sodium.h>

#include <algorithm>

namespace aronet::ike {

Fingerprint fingerprint(ByteView message) {
    Fingerprint out{};
    crypto_generichash(out.data(), out.size(), message.data(), message.size(), nullptr, 0);
    return out;
}

void Requester::start(Datagrams datagrams, const Schedule& schedule, Instant now, base::Random& random) {
    datagrams_ = std::move(datagrams);
    schedule_ = schedule;
    wait_ = schedule.first;
    due_ = now + random.jitter(wait_, 20);
    sent_ = 1;
}

bool Requester::answered(std::uint32_t id) {
    if (!in_flight() || id != next_id_) return false;
    datagrams_.clear();
    ++next_id_;
    return true;
}

Requester::Due Requester::tick(Instant now, base::Random& random) {
    if (!in_flight() || now < due_) return Due::nothing;
    if (sent_ >= schedule_.tries) return Due::give_up;
    ++sent_;
    wait_ = std::min(wait_ * schedule_.growth / 10, schedule_.cap);
    due_ = now + random.jitter(wait_, 20);
    return Due::repeat;
}

void Requester::pace(const Schedule& schedule, Instant now, base::Random& random) {
    if (!in_flight()) return;
    schedule_ = schedule;
    schedule_.tries += sent_;
    wait_ = schedule.first;
    due_ = now + random.jitter(wait_, 20);
}

std::optional<Instant> Requester::deadline() const {
    return in_flight() ? std::optional(due_) : std::nullopt;
}

Responder::Verdict Responder::judge(std::uint32_t id, ByteView datagram) const {
    if (id == UINT32_MAX) return Verdict::outside;  // see Requester::exhausted
    if (id == expected_id_) return owes_answer_ ? Verdict::outside : Verdict::fresh;
    const bool before = expected_id_ != 0 && id == expected_id_ - 1;
    if (before && last_request_ && fingerprint(datagram) == *last_request_) return Verdict::repeated;
    return Verdict::outside;
}

void Responder::accept(const Fingerprint& first) {
    ++expected_id_;
    owes_answer_ = true;
    last_request_ = first;
    last_answer_.clear();
}

void Responder::answer(Datagrams datagrams) {
    owes_answer_ = false;
    last_answer_ = std::move(datagrams);
}

}  // namespace aronet::ike
