// Rekeying the IKE SA (RFC 7296 1.3.2, 2.8, 2.18), by the peer and by us. The exchange makes a spare session:
// keys without children. The engine gives it the children and the place of the old one, at once or, when both
// sides rekey at once, after both exchanges are known (2.8.2).

#include "ike/abilities.hpp"
#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kSupersededLife = 90s;            // for a peer that never deletes what it rekeyed
constexpr Duration kRetryFrom = 6s, kRetryTo = 15s;  // until the next try, longer with every failure
constexpr unsigned kFailuresMax = 8;                 // in a row: some minutes

// The SPI of a proposal for an IKE SA; 0: none.
std::uint64_t ike_spi(const SaPayload& sa, std::uint8_t number) {
    const auto named = std::find_if(sa.proposals.begin(), sa.proposals.end(), [&](const Proposal& proposal) {
        return proposal.number == number && proposal.spi.size() == 8;
    });
    return named == sa.proposals.end() ? 0 : base::Reader(named->spi).u64();
}

}  // namespace

// --- By the peer ---

void Session::on_rekey_session(const Message& message, Turn& turn) {
    const bool busy = requester_.in_flight() && (asked_ == Asked::child || asked_ == Asked::delete_children);
    const bool again = renewal_ && renewal_->rival;
    if (busy || again || !settled()) return answer_error(message, notify::temporary_failure, {}, turn);
    const auto* ke = message.find<KePayload>();
    const SaPayload& offered = *message.find<SaPayload>();
    if (ke == nullptr) return answer_error(message, notify::invalid_syntax, {}, turn);
    const auto choice = choose_ike_again(offered, ke->group, suite_.prf);
    if (!choice) return answer_error(message, notify::no_proposal_chosen, {}, turn);
    const auto wanted = static_cast<std::uint16_t>(choice->suite.group);
    if (ke->group != wanted) {
        const Bytes advice{static_cast<base::Byte>(wanted >> 8), static_cast<base::Byte>(wanted)};
        return answer_error(message, notify::invalid_ke_payload, advice, turn);
    }
    const std::uint64_t peer_spi = ike_spi(offered, choice->answer.number);
    if (peer_spi == 0) return answer_error(message, notify::invalid_syntax, {}, turn);
    const KeyPair own = generate(choice->suite.group, turn.ground.random);
    const auto secret = shared_secret(own, ke->data);
    if (!secret) return answer_error(message, notify::invalid_syntax, {}, turn);

    const Nonces nonces{message.find<NoncePayload>()->data, turn.ground.random.bytes(kNonceSize)};
    auto spare = make_spare(false, peer_spi, turn.ground.new_ike_spi(), turn);
    spare->take_keys(*this, choice->suite, nonces, *secret, turn);
    Proposal accepted = choice->answer;
    accepted.spi = ike_spi_bytes(spare->spi_r_);
    answer(
        ExchangeType::create_child_sa,
        {SaPayload{{accepted}}, NoncePayload{nonces.responder}, KePayload{wanted, own.public_value}},
        turn
    );
    const SessionKey successor = spare->key();
    turn.ground.events.emplace_back(Born{std::move(spare)});
    if (renewal_) {
        renewal_->rival = successor;
    } else {
        turn.ground.events.emplace_back(Succeeded{key(), successor, std::nullopt});
    }
}

// --- By us ---

void Session::renew(Turn& turn) {
    if (!established()) return;
    renew_at_ = turn.now;
    next_wish(turn);
}

void Session::plan_renewal(Turn& turn) {
    const Duration lifetime = turn.ground.config.ike_lifetime;
    renewal_failures_ = 0;
    renew_at_.reset();
    if (lifetime > 0s) renew_at_ = turn.now + turn.ground.random.jitter(lifetime, 10);
}

// No child is on its way in or out. A peer that rekeys a child would refuse for now, so it is waited for.
bool Session::settled() const {
    return std::none_of(children_.begin(), children_.end(), [](const Child& child) {
        return child.state == ChildState::installing || child.state == ChildState::deleting;
    });
}

std::optional<Instant> Session::renewal_due() const {
    const bool changing = std::any_of(children_.begin(), children_.end(), [](const Child& child) {
        return child.state == ChildState::standby || child.state == ChildState::replaced;
    });
    return changing || !settled() ? std::nullopt : renew_at_;
}

void Session::ask_for_renewal(Turn& turn) {
    renewal_ = std::make_unique<Renewal>();
    renewal_->spi = turn.ground.new_ike_spi();
    renewal_->nonce = turn.ground.random.bytes(kNonceSize);
    renewal_->offer = offer_ike_again(suite_, ike_spi_bytes(renewal_->spi));
    renewal_->ke = generate(suite_.group, turn.ground.random);
    const KeyPair& ke = renewal_->ke;
    ask(Asked::renewal,
        ExchangeType::create_child_sa,
        {renewal_->offer,
         NoncePayload{renewal_->nonce},
         KePayload{static_cast<std::uint16_t>(ke.group), ke.public_value}},
        turn);
}

void Session::on_renewal_response(const Message& message, Turn& turn) {
    if (!renewal_) return;
    const auto* sa = message.find<SaPayload>();
    if (sa == nullptr) return renewal_failed(turn);
    const auto* nonce = message.find<NoncePayload>();
    const auto* ke = message.find<KePayload>();
    const auto choice = accept_ike(renewal_->offer, *sa);
    const std::uint64_t peer_spi = choice ? ike_spi(*sa, choice->answer.number) : 0;
    const bool complete = peer_spi != 0 && nonce != nullptr && ke != nullptr &&
                          ke->group == static_cast<std::uint16_t>(renewal_->ke.group);
    const auto secret = complete ? shared_secret(renewal_->ke, ke->data) : std::nullopt;
    if (!secret) {
        // The peer has gone over to an SA that we cannot have.
        close("the peer's answer to the rekeying makes no sense", turn);
        return forget_renewal(turn);
    }
    const std::unique_ptr<Renewal> renewal = std::move(renewal_);
    auto spare = make_spare(true, renewal->spi, peer_spi, turn);
    spare->take_keys(*this, choice->suite, {renewal->nonce, nonce->data}, *secret, turn);
    const SessionKey successor = spare->key();
    turn.ground.events.emplace_back(Born{std::move(spare)});
    turn.ground.events.emplace_back(Renewed{key(), successor, renewal->rival});
}

// The peer could not, or had just done it itself: what it made is then there.
void Session::renewal_failed(Turn& turn) {
    const std::optional<SessionKey> rival = renewal_->rival;
    forget_renewal(turn);
    if (!established()) return;
    if (rival) {
        turn.ground.events.emplace_back(Succeeded{key(), *rival, std::nullopt});
        return;
    }
    renewal_failures_ = std::min(renewal_failures_ + 1, kFailuresMax + 1);
    renew_at_ = turn.now + turn.ground.random.between(kRetryFrom, kRetryTo) * renewal_failures_;
    if (renewal_failures_ > kFailuresMax) wear_out("the IKE SA cannot be rekeyed", true, turn);
    next_wish(turn);
}

// The end, unless the peer rekeyed as well while we did: the answer to ours is late or never comes, but what
// the peer made is there.
void Session::give_way(Ending ending, Turn& turn) {
    if (!renewal_ || !renewal_->rival) return finish(ending, turn);
    turn.ground.events.emplace_back(Succeeded{key(), *renewal_->rival, ending});
}

void Session::wear_out(const std::string& why, bool refused, Turn& turn) {
    worn_ = true;
    turn.ground.events.emplace_back(Worn{key(), why, refused});
}

void Session::forget_renewal(Turn& turn) {
    if (renewal_) turn.ground.ike_spis.erase(renewal_->spi);
    renewal_.reset();
}

// --- The new SA ---

// Whoever began the rekeying is the original initiator of the new SA; message IDs begin at 0 both ways.
std::unique_ptr<Session> Session::make_spare(
    bool by_us, std::uint64_t spi_i, std::uint64_t spi_r, const Turn& turn
) const {
    std::unique_ptr<Session> spare(new Session);
    spare->state_ = SessionState::spare;
    spare->initiator_ = by_us;
    spare->spi_i_ = spi_i;
    spare->spi_r_ = spi_r;
    spare->peer_ = peer_;
    spare->local_ = local_;
    spare->remote_ = remote_;
    spare->marked_ = marked_;
    spare->adrift_ = adrift_;
    spare->moved_at_ = moved_at_;
    spare->proven_key_ = proven_key_;
    spare->ppk_ = ppk_;
    spare->shares_link_ = shares_link_;
    spare->round_trip_ = round_trip_;
    spare->in_vain_ = in_vain_;
    spare->child_group_ = child_group_;
    spare->fragmentation_ = fragmentation_;
    spare->dpd_interval_ = dpd_interval_;
    spare->lonely_ = lonely_;
    spare->keepalive_interval_ = keepalive_interval_;
    spare->behind_nat_ = behind_nat_;
    spare->peer_behind_nat_ = peer_behind_nat_;
    spare->opened_at_ = opened_at_;
    spare->heard_at_ = spare->heard_ike_at_ = spare->sent_at_ = turn.now;
    spare->origin_ = std::make_unique<Origin>();
    spare->origin_->precursor = key();
    return spare;
}

void Session::take_keys(
    const Session& old, const IkeCipherSuite& suite, const Nonces& nonces, const Secret& dh, Turn& turn
) {
    suite_ = suite;
    keys_ = derive_rekeyed_keys(old.suite_.prf, old.keys_->d, suite_, nonces, dh, spi_i_, spi_r_);
    origin_->lowest_nonce = std::min(nonces.initiator, nonces.responder);
    tell_keys(turn);
}

const Bytes& Session::lowest_nonce() const { return origin_->lowest_nonce; }

// A request on a spare session says that the peer has gone over to it: it waits until the children are here.
// DELETE says the opposite.
bool Session::comes_early(const Message& message, Turn& turn) {
    if (state_ != SessionState::spare || message.deletes_ike_sa()) return false;
    origin_->early = message;
    turn.ground.events.emplace_back(Succeeded{origin_->precursor, key(), std::nullopt});
    return true;
}

void Session::inherit(Session& old, Turn& turn) {
    const std::unique_ptr<Origin> origin = std::move(origin_);
    state_ = SessionState::established;
    established_at_ = turn.now;
    agreed_ = old.agreed_ || origin->early;
    heard_at_ = std::max(heard_at_, old.heard_at_);
    heard_ike_at_ = std::max(heard_ike_at_, old.heard_ike_at_);
    child_due_ = old.child_due_;
    child_failures_ = old.child_failures_;
    trouble_ = old.trouble_;
    suspicion_ = std::exchange(old.suspicion_, std::nullopt);
    if (suspicion_) suspicion_->sent_before = 0;
    probe_wanted_ = old.probe_wanted_ || suspicion_;
    to_delete_ = std::exchange(old.to_delete_, {});
    children_ = std::exchange(old.children_, {});
    for (const Child& child : children_) turn.ground.child_owner[child.id] = key();
    // A request that came early may have come from, and to, another place than the children are at.
    const Endpoint local = origin->early ? local_ : old.local_,
                   remote = origin->early ? remote_ : old.remote_;
    local_ = old.local_;
    remote_ = old.remote_;
    if (!origin->early) {  // the old one may have moved since this one was made
        marked_ = old.marked_;
        adrift_ = old.adrift_;
        moved_at_ = old.moved_at_;
        claim_ = old.claim_;
    }
    move(local, remote, turn);
    old.retire(turn);
    plan_renewal(turn);
    turn.note(base::Level::info, name(turn) + " rekeyed, " + suite_.to_string());
    if (origin->early) on_request(*origin->early, turn);
    next_wish(turn);
    if (suspicion_ && !suspicion_->dead) requester_.pace(kSuspicionSchedule, turn.now, turn.ground.random);
}

// The peer is to delete it, and may still repeat what made it superfluous. Our own rekeying, if under way,
// goes on: what it makes has to be deleted by us.
void Session::retire(const Turn& turn) {
    state_ = SessionState::superseded;
    linger_until_ = turn.now + kSupersededLife;
    origin_.reset();
    if (!renewal_) requester_.forget();
}

void Session::discard(Turn& turn) {
    state_ = SessionState::closing;
    origin_.reset();
    next_wish(turn);
}

void Session::finish(Ending ending, Turn& turn) {
    if (ending == Ending::by_peer) return end_after_answer("the peer closed the IKE SA", turn);
    end(ending, "the peer does not answer any more", turn);
}

}  // namespace aronet::ike
