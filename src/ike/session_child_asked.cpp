// CREATE_CHILD_SA as we ask for it: a child where there is none, or one in place of another (RFC 7296 1.3.1,
// 1.3.3, 2.8), which then stops and is deleted. When both sides rekey one child at once, the exchange with
// the lowest nonce made one too many (2.8.1).

#include "ike/session_child.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kRetryFrom = 6s, kRetryTo = 15s;  // until the next try of a rekeying
constexpr std::size_t kCrowd = 4;  // children of which old ones go first, however small the limits are

// The secret of the key exchange that the answer chose, empty where it chose none.
std::optional<Secret> exchanged(const EspChoice& choice, const KeyPair& own, const Message& answer) {
    if (!choice.group) return Secret();
    const auto* ke = answer.find<KePayload>();
    const bool fits = ke != nullptr && *choice.group == own.group && ke->group == std::uint16_t(own.group);
    return fits ? shared_secret(own, ke->data) : std::nullopt;
}

}  // namespace

// Without `old` a first one.
void Session::ask_for_child(Child* old, Turn& turn) {
    const std::uint32_t spi = turn.ground.new_esp_spi();
    const ChildTerms& terms = turn.ground.peer(*peer_)->child;
    const SaPayload offer = old == nullptr ? offer_esp(spi, child_group_, terms.esn)
                                           : offer_esp_again(spi, old->suite, terms.esn, child_group_);
    wanted_ = Wanted{spi, turn.ground.random.bytes(kNonceSize), offer, {}, 0, {}};
    wanted_->ke = generate(child_group_, turn.ground.random);
    const KeyPair& ke = wanted_->ke;
    std::vector<Payload> payloads{
        wanted_->offer, NoncePayload{wanted_->nonce}, KePayload{std::uint16_t(ke.group), ke.public_value}};
    if (old != nullptr) {
        wanted_->replaces = old->id;
        old->rekey_at = turn.now + turn.ground.random.between(kRetryFrom, kRetryTo);  // should this one fail
        NotifyPayload names_old{notify::rekey_sa, Protocol::esp, {}, {}};
        base::Writer(names_old.spi).u32(old->spi_in);
        payloads.insert(payloads.begin(), std::move(names_old));
    }
    add_terms(payloads, terms);
    ask(Asked::child, ExchangeType::create_child_sa, payloads, turn);
}

void Session::on_child_response(const Message& message, Turn& turn) {
    if (!wanted_) return;
    const Wanted wanted = *std::exchange(wanted_, std::nullopt);
    const auto* nonce = message.find<NoncePayload>();
    const Peer* peer = turn.ground.peer(*peer_);  // it may have been removed while the answer was under way
    const auto agreed = peer == nullptr ? std::nullopt : accepted(wanted.offer, peer->child, message);
    const auto secret = agreed ? exchanged(agreed->choice, wanted.ke, message) : std::nullopt;
    if (!secret || nonce == nullptr || state_ != SessionState::established) {
        no_child(message, wanted.spi, turn);
        rekey_failed(wanted.replaces, message, turn);
        return try_another_group(wanted, message, turn);
    }
    if (std::find(wanted.gone.begin(), wanted.gone.end(), agreed->choice.spi) != wanted.gone.end()) {
        turn.ground.esp_spis.erase(wanted.spi);
        child_failed("the peer deleted the CHILD SA", turn);
        return rekey_failed(wanted.replaces, message, turn);
    }
    const Nonces nonces{wanted.nonce, nonce->data};
    const Bytes& lowest = std::min(nonces.initiator, nonces.responder);
    if (redundant(wanted.replaces, lowest)) {
        turn.ground.esp_spis.erase(wanted.spi);
        return to_delete_.push_back(wanted.spi);
    }
    ChildKeys keys = derive_child_keys(suite_.prf, keys_->d, agreed->choice.suite, nonces, *secret);
    raise_child({*agreed, wanted.spi, std::move(keys), true, wanted.replaces, lowest}, turn);
}

// A peer that demands a key exchange may do so of the other group that we have: asked for at once, and from
// then on by turns.
void Session::try_another_group(const Wanted& refused, const Message& answer, const Turn& turn) {
    if (answer.find_notify(notify::no_proposal_chosen) == nullptr) return;
    child_group_ = child_group_ == DhGroup::curve25519 ? DhGroup::ecp256 : DhGroup::curve25519;
    if (child_group_ == DhGroup::curve25519 || child_failures_ > 1) return;
    if (child_due_) child_due_ = turn.now;
    Child* old = find_child(refused.replaces);
    if (old != nullptr && old->rekey_at) old->rekey_at = turn.now;
}

// The peer rekeyed the same child meanwhile, and its exchange has no nonce as low as ours.
bool Session::redundant(ChildId replaced, const Bytes& lowest_nonce) const {
    return replaced != 0 && std::any_of(children_.begin(), children_.end(), [&](const Child& child) {
               return child.replaces == replaced && !child.by_us && child.state != ChildState::dying &&
                      child.state != ChildState::deleting && lowest_nonce < child.lowest_nonce;
           });
}

// RFC 7296 2.25: what the peer does not know is dead, what it cannot do now is asked for again.
void Session::rekey_failed(ChildId id, const Message& answer, Turn& turn) {
    const Child* old = id == 0 || state_ != SessionState::established ? nullptr : find_child(id);
    if (old == nullptr || old->state != ChildState::installed) return;
    if (answer.find_notify(notify::child_sa_not_found) != nullptr) {
        take_down(id, turn);
        turn.ground.events.emplace_back(ChildrenChanged{key()});
        if (!has_live_child()) child_due_ = turn.now;
        return;
    }
    if (++child_failures_ > kChildFailuresMax) wear_out("the CHILD SA cannot be rekeyed", true, turn);
}

void Session::rekey(ChildId id, Turn& turn) {
    Child* child = find_child(id);
    if (child == nullptr) return;
    child->rekey_at = turn.now;
    next_wish(turn);
}

// What is on its way has been offered under the terms before.
void Session::change_terms(Turn& turn) {
    terms_changed_ = state_ != SessionState::established || wanted_ ||
                     std::any_of(children_.begin(), children_.end(), [](const Child& child) {
                         return child.state == ChildState::installing;
                     });
    for (Child& child : children_) child.rekey_at = turn.now;
    next_wish(turn);
}

// It has a time to be rekeyed, and nothing that replaces the child is under way.
bool Session::tired(const Child& child) const {
    return child.state == ChildState::installed && child.rekey_at && children_.size() < kCrowd &&
           std::none_of(children_.begin(), children_.end(), [&](const Child& other) {
               return other.replaces == child.id &&
                      (other.state == ChildState::installing || other.state == ChildState::standby);
           });
}

Child* Session::child_to_rekey(Instant now) {
    const auto it = std::find_if(children_.begin(), children_.end(), [&](const Child& child) {
        return tired(child) && now >= *child.rekey_at;
    });
    return it == children_.end() ? nullptr : &*it;
}

}  // namespace aronet::ike
