// Where the two ends of an IKE SA are (RFC 7296 2.23, docs/ike.md: moving), and what becomes of it when
// somebody says in the peer's name that it knows of none.

#include "ike/session.hpp"

namespace aronet::ike {

namespace {

// A route may come a little later than the address.
constexpr Schedule kRoamingSchedule{200ms, 2s, 12};
constexpr Duration kOvertaken = 2s;  // so long after a move packets may come from where the peer was
constexpr Duration kClaimPause = 200ms;
constexpr Duration kRekeyingTime = 5s;  // within which the peer has the answer to its rekeying

}  // namespace

// A verified message that is no repetition: the peer is alive, it is where this came from, and we are where
// it arrived.
void Session::heard(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) {
    if (established() && !agreed_ && initiator_ == raw.header.is_response()) {
        agreed_ = true;
        turn.ground.events.emplace_back(ChildrenChanged{key()});
    }
    heard_ike_at_ = heard_at_ = turn.now;
    confirmed_ = true;
    weigh_claim(from, turn);
    acquit_if_heard(turn);
    if (handshake_ && initiator_) return;  // nobody has proven anything yet
    if (!may_be_at(from, turn)) return;
    marked_ = raw.marked;
    if (!to.address.is_any()) adrift_ = false;
    move(to.address.is_any() ? local_ : to, from, turn);
}

// What comes from elsewhere may have been on its way for a while: the claim is asked about once more.
void Session::weigh_claim(const Endpoint& from, const Turn& turn) {
    if (!claim_) return;
    if (from == claim_->at || claim_->asked_again || turn.now >= claim_->since + kOvertaken)
        return claim_.reset();
    claim_->asked_again = probe_wanted_ = true;
}

// The request in flight, to where the peer is and to where it may be.
void Session::say_request(Turn& turn) {
    send(requester_.datagrams(), remote_, turn);
    if (claim_) send(requester_.datagrams(), claim_->at, turn);
}

bool Session::may_be_at(const Endpoint& remote, const Turn& turn) const {
    const Peer* known = peer_ ? turn.ground.peer(*peer_) : nullptr;
    return remote == remote_ || peer_behind_nat_ || known == nullptr || !known->remote_endpoint;
}

// Packets overtake each other, and not every data plane knows which is the newest. Right after a move a
// packet is only a reason to ask there as well: wherever the answer comes from the peer is.
void Session::follow(const Endpoint& remote, Turn& turn) {
    if (remote == remote_ || !may_be_at(remote, turn)) return;
    if (!moved_at_ || turn.now >= *moved_at_ + kOvertaken) return move(local_, remote, turn);
    // Whoever gives the peer's packets many sources is not to have us ask at all of them.
    if (claim_ && (claim_->at == remote || turn.now < claim_->since + kClaimPause)) return;
    claim_ = Claim{remote, turn.now};
    if (requester_.in_flight()) return send(requester_.datagrams(), remote, turn);
    probe(turn);
    if (!requester_.in_flight()) claim_.reset();
}

void Session::move(const Endpoint& local, const Endpoint& remote, Turn& turn) {
    if (over() || (local == local_ && remote == remote_)) return;
    if (remote != remote_) moved_at_ = turn.now;
    local_ = local;
    remote_ = remote;
    for (const Child& child : children_) {
        if (peer_) turn.out.emplace_back(ChildMoved{*peer_, child.id, local_, remote_});
    }
}

// The answer says where we are, and moves the children there.
void Session::roam(Turn& turn) {
    const bool asks = state_ == SessionState::established || state_ == SessionState::auth_sent;
    if (!asks || is_pinned(turn)) return;
    const bool was_adrift = std::exchange(adrift_, true);
    if (requester_.in_flight()) {
        say_request(turn);
    } else {
        probe(turn);
    }
    // However many addresses come and go: a peer that is silent must be given up some time.
    if (!was_adrift) requester_.pace(kRoamingSchedule, turn.now, turn.ground.random);
}

// The configuration says which address is ours.
bool Session::is_pinned(const Turn& turn) const {
    const Peer* known = peer_ ? turn.ground.peer(*peer_) : nullptr;
    return known == nullptr || known->local_address.has_value();
}

Endpoint Session::source() const {
    return adrift_ ? Endpoint{Address::any(local_.address.family()), local_.port} : local_;
}

// What got no answer may have come from an address that leads nowhere any more: every other time the route
// decides.
void Session::repeat(Turn& turn) {
    const bool before = adrift_;
    adrift_ = before || (requester_.sent() % 2 != 0 && !is_pinned(turn));
    say_request(turn);
    adrift_ = before;
}

// INVALID_IKE_SPI in answer to the request in flight (RFC 7296 2.21.4). Anybody who saw that may have sent
// it.
bool Session::is_disowned(const RawMessage& raw) const {
    const bool answers = raw.header.is_response() && requester_.in_flight() &&
                         raw.header.message_id == requester_.next_id() &&
                         raw.header.exchange == asked_exchange_;
    if (!answers) return false;
    const auto message = decode(raw);
    return message && message->find_notify(notify::invalid_ike_spi) != nullptr;
}

// Ends nothing: the answer of the peer itself is still waited for. Of an SA that a rekeying has just made the
// peer may not know yet.
void Session::disowned(Turn& turn) {
    const bool known = confirmed_ || turn.now >= established_at_ + kRekeyingTime;
    if (established() && known) turn.ground.events.emplace_back(Disowned{key()});
    if (state_ == SessionState::auth_sent && !std::exchange(handshake_->disowned, true))
        requester_.pace(kDisownedSchedule, turn.now, turn.ground.random);
}

}  // namespace aronet::ike
