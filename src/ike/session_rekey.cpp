// The peer rekeys the IKE SA (RFC 7296 1.3.2, 2.8, 2.18): a new session takes the children over, the old one
// waits for the peer's DELETE and for repetitions of the request.

#include "ike/abilities.hpp"
#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kSupersededLife = 90s;  // for a peer that never deletes what it rekeyed

}  // namespace

void Session::on_rekey_session(const Message& message, Turn& turn) {
    const bool busy = requester_.in_flight() && (asked_ == Asked::child || asked_ == Asked::delete_children);
    const bool unsettled = std::any_of(children_.begin(), children_.end(), [](const Child& child) {
        return child.state == ChildState::installing || child.state == ChildState::deleting;
    });
    if (busy || unsettled) return answer_error(message, notify::temporary_failure, {}, turn);
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
    const auto chosen =
        std::find_if(offered.proposals.begin(), offered.proposals.end(), [&](const Proposal& proposal) {
            return proposal.number == choice->answer.number;
        });
    const bool named = chosen != offered.proposals.end() && chosen->spi.size() == 8;
    const std::uint64_t peer_spi = named ? base::Reader(chosen->spi).u64() : 0;
    if (peer_spi == 0) return answer_error(message, notify::invalid_syntax, {}, turn);
    const KeyPair own = generate(choice->suite.group, turn.ground.random);
    const auto secret = shared_secret(own, ke->data);
    if (!secret) return answer_error(message, notify::invalid_syntax, {}, turn);

    const Nonces nonces{message.find<NoncePayload>()->data, turn.ground.random.bytes(kNonceSize)};
    auto heir = bequeath(peer_spi, turn);
    heir->suite_ = choice->suite;
    heir->keys_ =
        derive_rekeyed_keys(suite_.prf, keys_->d, heir->suite_, nonces, *secret, heir->spi_i_, heir->spi_r_);
    Proposal accepted = choice->answer;
    accepted.spi.clear();
    base::Writer(accepted.spi).u64(heir->spi_r_);
    answer(
        ExchangeType::create_child_sa,
        {SaPayload{{accepted}}, NoncePayload{nonces.responder}, KePayload{wanted, own.public_value}},
        turn
    );
    state_ = SessionState::superseded;
    linger_until_ = turn.now + kSupersededLife;
    requester_.forget();
    turn.ground.events.emplace_back(Succeeded{key(), std::move(heir)});
}

// The peer started the rekeying, so it is the original initiator of the new SA; message IDs begin at 0 both
// ways.
std::unique_ptr<Session> Session::bequeath(std::uint64_t peer_spi, Turn& turn) {
    std::unique_ptr<Session> heir(new Session);
    heir->state_ = SessionState::established;
    heir->spi_i_ = peer_spi;
    heir->spi_r_ = turn.ground.new_ike_spi();
    heir->peer_ = peer_;
    heir->local_ = local_;
    heir->remote_ = remote_;
    heir->proven_key_ = proven_key_;
    heir->ppk_ = ppk_;
    heir->fragmentation_ = fragmentation_;
    heir->dpd_interval_ = dpd_interval_;
    heir->keepalive_interval_ = keepalive_interval_;
    heir->behind_nat_ = behind_nat_;
    heir->peer_behind_nat_ = peer_behind_nat_;
    heir->established_at_ = heir->heard_at_ = heir->heard_ike_at_ = heir->sent_at_ = turn.now;
    heir->child_due_ = child_due_;
    heir->child_failures_ = child_failures_;
    heir->trouble_ = trouble_;
    heir->children_ = std::exchange(children_, {});
    for (const Child& child : heir->children_) turn.ground.child_owner[child.id] = heir->key();
    return heir;
}

}  // namespace aronet::ike
