// CREATE_CHILD_SA and DELETE of children (RFC 7296 1.3, 1.4.1, 2.8, 2.25).

#include "ike/session_child.hpp"

#include "ike/abilities.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kOldInbound = 5s;  // an old inbound SA outlives its DELETE so long: packets under way
constexpr Duration kStandby = 30s;    // for a peer that never deletes the child it rekeyed
constexpr Duration kRetryFirst = 1s, kRetryCap = 4s, kRetryResponder = 4s;
constexpr std::size_t kChildrenMax = 8;

Bytes spi_bytes(std::uint32_t spi) {
    Bytes bytes;
    base::Writer(bytes).u32(spi);
    return bytes;
}

// Both ends count the same, and are not to rekey at the same moment.
std::uint64_t less_a_tenth(std::uint64_t limit, base::Random& random) {
    return limit == 0 ? 0 : limit - random.below(limit / 10 + 1);
}

}  // namespace

Offer examine(const Message& message, const ChildTerms& terms) {
    Offer offer;
    Agreement& agreed = offer.agreed;
    const auto* tsi = message.find_ts(false);
    const auto* tsr = message.find_ts(true);
    if (tsi == nullptr || tsr == nullptr) return offer.error = notify::ts_unacceptable, offer;
    agreed.remote = narrow(*tsi, terms.remote, terms.narrower);
    agreed.local = narrow(*tsr, terms.local, terms.narrower);
    agreed.mode = terms.mode;
    if (agreed.remote.empty() || agreed.local.empty()) offer.error = notify::ts_unacceptable;
    const auto* ke = message.find<KePayload>();
    const std::uint16_t group = ke == nullptr ? std::uint16_t{0} : ke->group;
    const auto choice = choose_esp(*message.find<SaPayload>(), group, terms.esn);
    const bool fits = terms.mode == base::SaMode::tunnel || message.find_notify(notify::use_transport_mode);
    if (!choice || !fits) return offer.error = notify::no_proposal_chosen, offer;
    agreed.choice = *choice;
    return offer;
}

void add_terms(std::vector<Payload>& request, const ChildTerms& terms) {
    if (terms.mode == base::SaMode::transport) request.push_back(make_notify(notify::use_transport_mode));
    request.push_back(selectors(false, terms.local));
    request.push_back(selectors(true, terms.remote));
}

std::optional<Agreement> accepted(const SaPayload& offer, const ChildTerms& terms, const Message& answer) {
    const auto* sa = answer.find<SaPayload>();
    const auto* tsi = answer.find_ts(false);
    const auto* tsr = answer.find_ts(true);
    if (sa == nullptr || tsi == nullptr || tsr == nullptr) return std::nullopt;
    const bool transport = terms.mode == base::SaMode::transport;
    if (transport && answer.find_notify(notify::use_transport_mode) == nullptr) return std::nullopt;
    const auto choice = accept_esp(offer, *sa);
    if (!choice) return std::nullopt;
    Agreement agreed{
        *choice,
        terms.mode,
        narrow(*tsi, terms.local, terms.narrower),
        narrow(*tsr, terms.remote, terms.narrower)};
    if (agreed.local.empty() || agreed.remote.empty()) return std::nullopt;
    return agreed;
}

// The answer is the responder's, so the initiator's selectors are those of the remote side.
void add_child(std::vector<Payload>& answer, const Agreement& agreed, std::uint32_t spi) {
    Proposal chosen = agreed.choice.answer;
    chosen.spi = spi_bytes(spi);
    answer.push_back(SaPayload{{chosen}});
    answer.push_back(TsPayload{false, agreed.remote});
    answer.push_back(TsPayload{true, agreed.local});
    if (agreed.mode == base::SaMode::transport) answer.push_back(make_notify(notify::use_transport_mode));
}

ChildId Session::raise_child(const Accepted& accepted, Turn& turn) {
    const Peer& peer = *turn.ground.peer(*peer_);
    const EngineConfig& config = turn.ground.config;
    base::Sa in, out;
    for (base::Sa* sa : {&in, &out}) {
        sa->reqid = peer.reqid;
        sa->if_id = peer.if_id;
        sa->mode = accepted.agreed.mode;
        sa->esn = accepted.agreed.choice.esn;
        sa->suite = accepted.agreed.choice.suite;
        sa->replay_window = peer.child.replay_window;
        sa->soft_bytes = less_a_tenth(config.child_bytes, turn.ground.random);
        sa->soft_packets = less_a_tenth(config.child_packets, turn.ground.random);
    }
    const Secret& ours =
        accepted.by_us ? accepted.keys.initiator_to_responder : accepted.keys.responder_to_initiator;
    const Secret& theirs =
        accepted.by_us ? accepted.keys.responder_to_initiator : accepted.keys.initiator_to_responder;
    in.direction = base::Direction::in;
    in.source = remote_;
    in.destination = local_;
    in.spi = accepted.spi;
    in.key = theirs.copy();
    out.direction = base::Direction::out;
    out.source = local_;
    out.destination = remote_;
    out.spi = accepted.agreed.choice.spi;
    out.mark = peer.mark;
    out.key = ours.copy();
    const ChildId id = ++turn.ground.last_child;
    turn.ground.child_owner[id] = key();
    Child child{id, ChildState::installing, in.spi, out.spi, in.suite, accepted.replaces};
    child.by_us = accepted.by_us;
    child.lowest_nonce = accepted.lowest_nonce;
    children_.push_back(std::move(child));
    child_due_.reset();
    turn.out.emplace_back(ChildUp{
        peer.id,
        id,
        std::move(in),
        std::move(out),
        accepted.replaces != 0,
        accepted.agreed.local,
        accepted.agreed.remote,
        shares_link_});
    return id;
}

void Session::installed(ChildId id, Turn& turn) {
    Child* child = find_child(id);
    if (child == nullptr || child->state != ChildState::installing) return;
    Child* old = child->replaces == 0 ? nullptr : find_child(child->replaces);
    const bool replaces = old != nullptr && old->state != ChildState::dying;
    const bool stands_by = replaces && !child->by_us;
    child->state = stands_by ? ChildState::standby : ChildState::installed;
    const Duration lifetime = turn.ground.config.child_lifetime;
    if (lifetime > 0s) child->rekey_at = turn.now + turn.ground.random.jitter(lifetime, 10);
    if (std::exchange(terms_changed_, false)) child->rekey_at = turn.now;
    if (replaces && child->by_us && old->state != ChildState::deleting) delete_child_later(*old);
    if (stands_by) {
        child->due = turn.now + kStandby;
        old->state = ChildState::replaced;
        old->due.reset();  // of an old one that stood by itself
    }
    child_failures_ = 0;
    if (replaces) worn_ = false;
    trouble_.clear();
    if (owed_ && owed_->child == id) {
        const Owed owed = *std::exchange(owed_, std::nullopt);
        answer(owed.exchange, owed.with, turn);
        if (state_ == SessionState::authenticated) become_established(turn);
        trouble_.clear();
    }
    // A further child of the peer's takes the place of those before; whoever answered for it removes them.
    for (Child& other : children_) {
        if (stands_by || other.id == id || other.state != ChildState::installed) continue;
        delete_child_later(other);
    }
    turn.ground.events.emplace_back(ChildrenChanged{key()});
    next_wish(turn);
}

void Session::refused(ChildId id, Turn& turn) {
    const Child* child = find_child(id);
    if (child == nullptr) return;
    const std::uint32_t spi = child->spi_in;
    const bool owes = owed_ && owed_->child == id;
    take_down(id, turn);
    if (owes) {
        const Owed owed = *std::exchange(owed_, std::nullopt);
        answer(owed.exchange, owed.without, turn);
        if (state_ == SessionState::authenticated) become_established(turn);
    } else {
        to_delete_.push_back(spi);
    }
    child_failed("the data plane refused the CHILD SA", turn);
    next_wish(turn);
}

// --- When there is none ---

// The answer brought none under this SPI of ours; where it says otherwise the peer has one to delete.
void Session::no_child(const Message& answer, std::uint32_t spi, Turn& turn) {
    turn.ground.esp_spis.erase(spi);
    const bool chosen = answer.find<SaPayload>() != nullptr;
    if (chosen) to_delete_.push_back(spi);
    const NotifyPayload* error = answer.find_error();
    child_failed(
        "no CHILD SA: " + (error != nullptr ? notify_name(error->type)
                           : chosen         ? "the peer chose what was not offered"
                                            : "the peer offers none"),
        turn
    );
}

void Session::child_failed(std::string why, Turn& turn) {
    turn.ground.events.emplace_back(ChildrenChanged{key()});
    if (has_live_child()) return;
    trouble_ = std::move(why);
    if (++child_failures_ > kChildFailuresMax) return close(trouble_, turn);
    plan_child(turn);
}

// A session without a child wants one. The initiator of the IKE SA asks first, so that both sides do not ask
// at once.
void Session::plan_child(Turn& turn) {
    if (state_ != SessionState::established || has_live_child() || child_due_ || wanted_) return;
    const Duration pause = std::min<Duration>(kRetryFirst * (1u << std::min(child_failures_, 8u)), kRetryCap);
    child_due_ =
        turn.now + turn.ground.random.jitter(pause, 30) + (initiator_ ? Duration(0) : kRetryResponder);
}

bool Session::has_live_child() const {
    return std::any_of(children_.begin(), children_.end(), [](const Child& child) {
        return child.state != ChildState::dying && child.state != ChildState::deleting;
    });
}

// --- The peer's to ask for ---

void Session::on_create_child(const Message& message, Turn& turn) {
    const auto* sa = message.find<SaPayload>();
    const auto* nonce = message.find<NoncePayload>();
    if (sa == nullptr || nonce == nullptr || sa->proposals.empty()) {
        return answer_error(message, notify::invalid_syntax, {}, turn);
    }
    if (state_ != SessionState::established)
        return answer_error(message, notify::temporary_failure, {}, turn);
    if (sa->proposals.front().protocol == Protocol::ike) return on_rekey_session(message, turn);
    if (renewal_) return answer_error(message, notify::temporary_failure, {}, turn);

    ChildId replaced = 0;
    if (const auto* rekey = message.find_notify(notify::rekey_sa)) {
        const std::uint32_t spi = base::Reader(rekey->spi).u32();
        const auto old = std::find_if(children_.begin(), children_.end(), [&](const Child& child) {
            return rekey->protocol == Protocol::esp && rekey->spi.size() == 4 && child.spi_out == spi;
        });
        if (old == children_.end()) {
            const NotifyPayload unknown{notify::child_sa_not_found, rekey->protocol, rekey->spi, {}};
            return answer(ExchangeType::create_child_sa, {unknown}, turn);
        }
        const bool leaving = old->state == ChildState::deleting || old->state == ChildState::dying;
        if (leaving) return answer_error(message, notify::temporary_failure, {}, turn);
        replaced = old->id;
    }
    // Both asked for a first child: the request of the IKE SA's initiator goes on.
    const bool crossed = replaced == 0 && initiator_ && wanted_ && wanted_->replaces == 0;
    if (crossed || children_.size() >= kChildrenMax)
        return answer_error(message, notify::temporary_failure, {}, turn);
    const Offer offer = examine(message, turn.ground.peer(*peer_)->child);
    if (offer.error) return answer_error(message, *offer.error, {}, turn);
    agree(message, offer, replaced, turn);
}

// The child of a CREATE_CHILD_SA request, with a key exchange of its own where that was negotiated.
void Session::agree(const Message& message, const Offer& offer, ChildId replaced, Turn& turn) {
    const Nonces nonces{message.find<NoncePayload>()->data, turn.ground.random.bytes(kNonceSize)};
    std::vector<Payload> tail{NoncePayload{nonces.responder}};
    Secret secret;
    const EspChoice& choice = offer.agreed.choice;
    if (choice.group) {
        const auto wanted = static_cast<std::uint16_t>(*choice.group);
        const auto* ke = message.find<KePayload>();
        if (ke == nullptr || ke->group != wanted) {
            const Bytes advice{static_cast<base::Byte>(wanted >> 8), static_cast<base::Byte>(wanted)};
            return answer_error(message, notify::invalid_ke_payload, advice, turn);
        }
        const KeyPair own = generate(*choice.group, turn.ground.random);
        auto shared = shared_secret(own, ke->data);
        if (!shared) return answer_error(message, notify::invalid_syntax, {}, turn);
        secret = std::move(*shared);
        tail.push_back(KePayload{wanted, own.public_value});
    }
    const std::uint32_t spi = turn.ground.new_esp_spi();
    Owed owed{ExchangeType::create_child_sa, 0, {}, {make_notify(notify::no_proposal_chosen)}};
    add_child(owed.with, offer.agreed, spi);
    owed.with.insert(owed.with.begin() + 1, tail.begin(), tail.end());  // SA, Nr, [KEr], TSi, TSr
    owed.child = raise_child(
        {offer.agreed,
         spi,
         derive_child_keys(suite_.prf, keys_->d, choice.suite, nonces, secret),
         false,
         replaced,
         std::min(nonces.initiator, nonces.responder)},
        turn
    );
    owed_ = std::move(owed);
}

// Liveness, DELETE, errors (RFC 7296 1.4): everything is answered, whatever else it says.
void Session::on_informational(const Message& message, Turn& turn) {
    std::vector<Payload> answers;
    bool session_deleted = false;
    for (const Payload& payload : message.payloads) {
        const auto* deleted = std::get_if<DeletePayload>(&payload);
        if (deleted == nullptr) continue;
        if (deleted->protocol == Protocol::ike) session_deleted = true;
        const std::vector<std::uint32_t> ours = delete_children(*deleted, turn);
        if (!ours.empty()) answers.push_back(DeletePayload{Protocol::esp, ours});
    }
    if (session_deleted) answers.clear();
    answer(ExchangeType::informational, answers, turn);
    const NotifyPayload* error = message.find_error();
    if (error != nullptr && ends_sa(*error))
        return end_after_answer("the peer says " + notify_name(error->type), turn);
    if (session_deleted) give_way(Ending::by_peer, turn);
}

// The peer's inbound SPIs go; ours of the same children are what the answer deletes. A child that we are
// deleting ourselves is not named: both DELETEs crossed (RFC 7296 1.4.1).
std::vector<std::uint32_t> Session::delete_children(const DeletePayload& payload, Turn& turn) {
    std::vector<std::uint32_t> ours;
    if (payload.protocol != Protocol::esp) return ours;
    for (const std::uint32_t spi : payload.spis) {
        const auto it = std::find_if(children_.begin(), children_.end(), [&](const Child& child) {
            return child.spi_out == spi && child.state != ChildState::dying;
        });
        if (it == children_.end()) {
            if (wanted_ && wanted_->gone.size() < kChildrenMax) wanted_->gone.push_back(spi);
            continue;
        }
        const bool crossed = it->state == ChildState::deleting;
        const bool replaced = it->state == ChildState::replaced;
        const ChildId id = it->id;
        if (!crossed) ours.push_back(it->spi_in);
        if (crossed || replaced) {
            let_die(*it, turn);
            for (Child& heir : children_) {
                if (heir.replaces == id && heir.state == ChildState::standby) send_on(heir);
            }
        } else {
            take_down(id, turn);
        }
        turn.ground.events.emplace_back(ChildrenChanged{key()});
    }
    send_on_what_stands_by(turn);
    if (!has_live_child()) trouble_ = "the peer deleted the CHILD SA";
    plan_child(turn);
    return ours;
}

// With answers that are seconds late, whatever it was to replace: when the peer leaves nothing else, it is
// this that it uses.
void Session::send_on_what_stands_by(Turn& turn) {
    if (sending_child()) return;
    const auto heir = std::find_if(children_.rbegin(), children_.rend(), [](const Child& child) {
        return child.state == ChildState::standby;
    });
    if (heir == children_.rend()) return;
    send_on(*heir);
    turn.ground.events.emplace_back(ChildrenChanged{key()});
}

void Session::send_on(Child& heir) {
    heir.state = ChildState::installed;
    heir.due.reset();
}

void Session::on_children_deleted(Turn& turn) {
    for (Child& child : children_) {
        const bool wanted = std::find(to_delete_.begin(), to_delete_.end(), child.spi_in) != to_delete_.end();
        if (child.state == ChildState::deleting && !wanted) let_die(child, turn);
    }
    plan_child(turn);
}

// --- The children ---

void Session::take_down(ChildId id, Turn& turn) {
    const auto it =
        std::find_if(children_.begin(), children_.end(), [&](const Child& c) { return c.id == id; });
    if (it == children_.end()) return;
    if (owed_ && owed_->child == id) {
        // Whoever removes what an answer waits for still owes the answer, but another one.
        owed_->child = 0;
    }
    turn.ground.child_owner.erase(id);
    turn.ground.esp_spis.erase(it->spi_in);
    turn.out.emplace_back(ChildDown{
        *peer_, id, {local_.address, it->spi_in}, {remote_.address, it->spi_out}, remote_.address});
    const bool stood_by = it->state == ChildState::standby;
    const ChildId replaced = it->replaces;
    children_.erase(it);
    if (stood_by) restore(replaced);
}

// Nothing stands by for the child any more: it goes on.
void Session::restore(ChildId id) {
    Child* child = find_child(id);
    if (child == nullptr || child->state != ChildState::replaced) return;
    const bool replaced = std::any_of(children_.begin(), children_.end(), [&](const Child& other) {
        return other.replaces == id && other.state == ChildState::standby;
    });
    if (!replaced) child->state = ChildState::installed;
}

void Session::take_down_all(Turn& turn) {
    while (!children_.empty()) take_down(children_.back().id, turn);
}

void Session::delete_child_later(Child& child) {
    child.state = ChildState::deleting;
    to_delete_.push_back(child.spi_in);
}

// Nobody sends on it any more, but packets may be under way.
void Session::let_die(Child& child, const Turn& turn) {
    child.state = ChildState::dying;
    child.due = turn.now + kOldInbound;
}

void Session::tick_children(Turn& turn) {
    for (std::size_t i = 0; i < children_.size();) {
        Child& child = children_[i];
        if (!child.due || turn.now < *child.due) {
            ++i;
        } else if (child.state == ChildState::standby) {
            send_on(child);
            if (Child* old = find_child(child.replaces)) delete_child_later(*old);
            turn.ground.events.emplace_back(ChildrenChanged{key()});
        } else {
            take_down(child.id, turn);
        }
    }
}

Child* Session::find_child(ChildId id) {
    const auto it =
        std::find_if(children_.begin(), children_.end(), [&](const Child& c) { return c.id == id; });
    return it == children_.end() ? nullptr : &*it;
}

std::optional<ChildId> Session::sending_child() const {
    for (auto it = children_.rbegin(); it != children_.rend(); ++it) {
        if (it->state == ChildState::installed || it->state == ChildState::replaced) return it->id;
    }
    return std::nullopt;
}

bool Session::has_child(ChildId id) const {
    return std::any_of(children_.begin(), children_.end(), [&](const Child& child) {
        return child.id == id;
    });
}

}  // namespace aronet::ike
