// Several answers to one IKE_SA_INIT (RFC 7296 2.4). Whoever knows our SPI can send one, and nothing tells
// the peer's from others until IKE_AUTH: up to four are followed at once, each with keys and an IKE_AUTH
// request of its own. What cannot be followed any more costs the attempt three seconds, and the next one has
// an SPI that only the path to the peer knows.

#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr std::size_t kAnswersMax = 4;
constexpr unsigned kPatience = 3;      // requests until an attempt with contradictory answers is over
constexpr unsigned kAskAgainFrom = 2;  // the answer may be false and the peer's own one lost

}  // namespace

// Whether this very answer is one of those in use.
bool Session::follows(const RawMessage& raw) const {
    const auto same = [&](const Bytes& message) { return std::ranges::equal(message, raw.bytes); };
    return same(handshake_->init_response) ||
           std::ranges::any_of(handshake_->others, [&](const InitAnswer& other) {
               return same(other.message);
           });
}

bool Session::has_room() {
    if (handshake_->answers < kAnswersMax) return true;
    handshake_->contradicted = true;
    return false;
}

// Sets the answer in use aside for another one.
void Session::make_room() {
    ++handshake_->answers;
    if (state_ == SessionState::auth_sent) exchange_answer(handshake_->others.emplace_back());
}

// But for the counter of the IVs: answers may differ and have the same keys.
void Session::exchange_answer(InitAnswer& other) {
    Handshake& hs = *handshake_;
    std::swap(spi_r_, other.spi_r);
    std::swap(local_, other.local);
    std::swap(suite_, other.suite);
    std::swap(keys_, other.keys);
    std::swap(ppk_, other.ppk);
    std::swap(hs.nonces.responder, other.nonce);
    std::swap(hs.init_response, other.message);
    std::swap(hs.peer_signs, other.peer_signs);
    std::swap(hs.ppk_agreed, other.ppk_agreed);
    std::swap(hs.ppk_keys, other.ppk_keys);
    std::swap(behind_nat_, other.behind_nat);
    std::swap(peer_behind_nat_, other.peer_behind_nat);
    std::swap(fragmentation_, other.fragmentation);
    std::swap(response_fragments_, other.fragments);
}

// The answer in use gets a request of its own beside the one that goes with another.
void Session::ask_also(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn) {
    const Datagrams more = protect(exchange, false, payloads, turn);
    requester_.add(more);
    send(more, remote_, turn);
}

void Session::ask_others(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn) {
    if (!handshake_) return;
    for (InitAnswer& other : handshake_->others) {
        exchange_answer(other);
        ask_also(exchange, payloads, turn);
    }
}

bool Session::opens(const RawMessage& raw) const {
    if (raw.header.spi_r != spi_r_ || !is_protected(raw)) return false;
    const Opener opener{&suite_, keys_->er.view(), keys_->ar.view()};
    if (is_fragment(raw)) return open_fragment(raw, opener).has_value();
    const auto message = open(raw, opener);
    return message || message.error() != Drop::bad_integrity;
}

// The answer whose keys fit this message becomes the one in use.
void Session::choose_answer(const RawMessage& raw) {
    for (InitAnswer& other : handshake_->others) {
        if (opens(raw)) return;
        exchange_answer(other);
    }
}

// An answer that somebody repeated with other words around the same keys: which of the two is the peer's,
// AUTH alone tells.
bool Session::take_twin() {
    auto& others = handshake_->others;
    const auto twin = std::ranges::find_if(others, [&](const InitAnswer& other) {
        return other.spi_r == spi_r_ && other.keys->er == keys_->er;
    });
    if (twin == others.end()) return false;
    exchange_answer(*twin);
    others.erase(twin);
    return true;
}

// What was said on the SA of the answer in use ends it: the attempt too, unless there is another.
void Session::answer_failed(Ending ending, const std::string& why, Turn& turn) {
    if (state_ != SessionState::auth_sent || handshake_->others.empty()) return end(ending, why, turn);
    exchange_answer(handshake_->others.back());
    handshake_->others.pop_back();
}

// Before a repetition.
bool Session::tires_of_answers(Turn& turn) {
    if (!handshake_ || over()) return false;
    if (handshake_->contradicted && requester_.sent() >= kPatience) {
        end(Ending::failed, "contradictory answers to IKE_SA_INIT from " + remote_.to_string(), turn);
        return true;
    }
    if (state_ == SessionState::auth_sent && requester_.sent() > kAskAgainFrom)
        send_plain(handshake_->init_request, remote_, turn);
    return false;
}

}  // namespace aronet::ike
