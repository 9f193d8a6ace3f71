// IKE_AUTH (RFC 7296 1.2, 2.15; RFC 7427, RFC 8420, RFC 8784): raw Ed25519 keys of the registry or a shared
// secret, a postquantum preshared key where both have it, identities compared by value, AUTH verified over
// the bytes that came.

#include "ike/abilities.hpp"
#include "ike/session.hpp"
#include "ike/session_child.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

Bytes id_body(const Identity& identity) {
    Bytes body{id_type::der_asn1_dn, 0, 0, 0};
    const Bytes der = identity.encode();
    body.insert(body.end(), der.begin(), der.end());
    return body;
}

std::optional<Identity> identity_of(const IdPayload& id) {
    return id.type() == id_type::der_asn1_dn ? Identity::decode(id.data()) : std::nullopt;
}

Bytes ppk_identity(const Ppk& ppk) {
    Bytes data;
    base::Writer out(data);
    out.u8(ppk_id_type::fixed);
    out.put(base::as_bytes(ppk.id));
    return data;
}

bool shares_links(const Peer& peer, const Turn& turn) {
    return peer.may_share_link && turn.ground.config.has_shared_link;
}

}  // namespace

// --- Both ---

// What the AUTH of that side covers: its own IKE_SA_INIT message, the other one's nonce, its identity.
Bytes Session::octets_of(bool initiator, const Secret& sk_p, ByteView id) const {
    const Handshake& hs = *handshake_;
    return signed_octets(
        suite_.prf,
        initiator ? hs.init_request : hs.init_response,
        initiator ? hs.nonces.responder : hs.nonces.initiator,
        sk_p,
        id
    );
}

AuthPayload Session::prove(const Peer& peer, const Secret& sk_p, ByteView id, const Turn& turn) const {
    const Bytes octets = octets_of(initiator_, sk_p, id);
    if (peer.psk.empty())
        return {auth_method::digital_signature, make_auth_data(turn.ground.signing_key, octets)};
    const Secret data = shared_key_auth_data(suite_.prf, peer.psk.view(), octets);
    return {auth_method::shared_key, Bytes(data.view().begin(), data.view().end())};
}

// Whether the peer is who it says: by the shared secret where there is one, else by any of its keys.
bool Session::proves(const Peer& peer, const AuthPayload& auth, ByteView id) {
    const Bytes octets = octets_of(!initiator_, initiator_ ? keys_->pr : keys_->pi, id);
    if (!peer.psk.empty()) {
        const Secret expected = shared_key_auth_data(suite_.prf, peer.psk.view(), octets);
        return auth.method == auth_method::shared_key &&
               base::equal_in_constant_time(expected.view(), auth.data);
    }
    if (auth.method != auth_method::digital_signature || !handshake_->peer_signs) return false;
    for (const PublicKey& key : peer.remote_keys) {
        if (!verify_auth_data(key, octets, auth.data)) continue;
        proven_key_ = key;
        return true;
    }
    return false;
}

void Session::take(PpkKeys keys) {
    keys_->d = std::move(keys.d);
    keys_->pi = std::move(keys.pi);
    keys_->pr = std::move(keys.pr);
    ppk_ = true;
}

// --- Initiator ---

void Session::send_auth(Turn& turn) {
    Handshake& hs = *handshake_;
    const Peer& peer = *turn.ground.peer(*peer_);
    const bool first = hs.others.empty();  // else beside the request that goes with another answer
    if (first) hs.esp_spi = turn.ground.new_esp_spi();
    hs.esp_offer = offer_esp(hs.esp_spi, std::nullopt, peer.child.esn);
    if (hs.ppk_agreed) hs.ppk_keys = mix_ppk(suite_.prf, peer.ppk->secret.view(), *keys_);
    const IdPayload own{false, id_body(peer.local)};
    std::vector<Payload> payloads{
        own,
        IdPayload{true, id_body(peer.remote)},
        prove(peer, hs.ppk_keys ? hs.ppk_keys->pi : keys_->pi, own.body, turn),
        hs.esp_offer};
    if (!hs.beside) payloads.insert(payloads.begin() + 1, make_notify(notify::initial_contact));
    add_terms(payloads, peer.child);
    if (first) hs.offers_link = shares_links(peer, turn);
    if (hs.offers_link) payloads.push_back(offer_shared_link());
    if (hs.ppk_keys) {
        payloads.push_back(make_notify(notify::ppk_identity, ppk_identity(*peer.ppk)));
        if (!peer.ppk->required)
            payloads.push_back(make_notify(notify::no_ppk_auth, prove(peer, keys_->pi, own.body, turn).data));
    }
    if (first) return ask(Asked::auth, ExchangeType::ike_auth, payloads, turn);
    ask_also(ExchangeType::ike_auth, payloads, turn);
}

void Session::on_auth_response(const Message& message, Turn& turn) {
    const Peer* peer = turn.ground.peer(*peer_);
    if (peer == nullptr) return end(Ending::failed, "peer removed", turn);
    const bool signed_by_peer = message.find<AuthPayload>() != nullptr;
    const NotifyPayload* error = message.find_error();
    if (message.unsupported_critical || (!signed_by_peer && error == nullptr)) {
        return answer_failed(Ending::failed, "the answer to IKE_AUTH makes no sense", turn);
    }
    if (!signed_by_peer)
        return answer_failed(Ending::failed, "the peer says " + notify_name(error->type), turn);
    if (!verify_responder(message, *peer)) {
        if (take_twin()) return on_auth_response(message, turn);
        // RFC 7296 2.21.2: told in an exchange of its own, whose answer nobody waits for.
        send(
            protect(ExchangeType::informational, false, {make_notify(notify::authentication_failed)}, turn),
            remote_,
            turn
        );
        turn.drop("wrong AUTH in the answer to IKE_AUTH", remote_, peer->remote.to_string());
        return answer_failed(Ending::failed, "the peer failed to authenticate", turn);
    }
    // strongSwan: of one that was to be childless.
    if (error != nullptr && ends_sa(*error))
        return answer_failed(Ending::failed, "the peer says " + notify_name(error->type), turn);
    const std::unique_ptr<Handshake> hs = std::move(handshake_);
    for (const InitAnswer& other : hs->others) passed_over_.push_back(other.spi_r);
    shares_link_ = hs->offers_link && offers_shared_link(message);  // the peer goes by what was said to it
    become_established(turn);
    // Whoever was not told by INITIAL_CONTACT that we have nothing else goes on with what it has, until it is
    // shown that we have this.
    probe_wanted_ = hs->beside;
    const auto agreed = accepted(hs->esp_offer, peer->child, message);
    if (!agreed) return no_child(message, hs->esp_spi, turn);
    raise_child(
        {*agreed,
         hs->esp_spi,
         derive_child_keys(suite_.prf, keys_->d, agreed->choice.suite, hs->nonces),
         true,
         0},
        turn
    );
}

bool Session::verify_responder(const Message& message, const Peer& peer) {
    const auto* id = message.find_id(true);
    if (id == nullptr || identity_of(*id) != peer.remote) return false;
    if (auto& mixed = handshake_->ppk_keys) {
        if (message.find_notify(notify::ppk_identity) != nullptr) {
            take(std::move(*mixed));
        } else if (peer.ppk->required) {
            return false;
        }
    }
    return proves(peer, *message.find<AuthPayload>(), id->body);
}

// --- Responder ---

void Session::on_auth_request(const Message& message, Turn& turn) {
    const Peer* peer = authenticate(message, turn);
    if (peer == nullptr) return answer_error(message, notify::authentication_failed, {}, turn);
    state_ = SessionState::authenticated;
    peer_ = peer->id;
    const bool initial_contact = message.find_notify(notify::initial_contact) != nullptr;
    turn.ground.events.emplace_back(Authenticated{key(), initial_contact});
    answer_auth(message, *peer, turn);
}

const Peer* Session::authenticate(const Message& message, Turn& turn) {
    const auto* idi = message.find_id(false);
    const auto* idr = message.find_id(true);
    const auto* auth = message.find<AuthPayload>();
    if (idi == nullptr || auth == nullptr) {
        turn.drop("IKE_AUTH without the payloads it needs", remote_);
        return nullptr;
    }
    const auto remote = identity_of(*idi);
    const auto local = idr == nullptr ? std::nullopt : identity_of(*idr);
    if (!remote || (idr != nullptr && !local)) {
        turn.drop("IKE_AUTH with an identity of another kind", remote_);
        return nullptr;
    }
    const Peer* peer = turn.ground.find(local, *remote);
    if (peer == nullptr) {
        turn.drop("IKE_AUTH by an unknown pair of identities", remote_, remote->to_string());
        return nullptr;
    }
    const auto counted = settle_ppk(message, *peer);
    if (!counted) {
        turn.drop("IKE_AUTH without the postquantum preshared key", remote_, remote->to_string());
        return nullptr;
    }
    if (!proves(*peer, *counted, idi->body)) {
        turn.drop("IKE_AUTH with a wrong AUTH payload", remote_, remote->to_string());
        return nullptr;
    }
    return peer;
}

// The table of RFC 8784 3: which proof of the initiator's counts, with the PPK in our keys where it is used.
// Nothing where it cannot go on.
std::optional<AuthPayload> Session::settle_ppk(const Message& message, const Peer& peer) {
    const AuthPayload& auth = *message.find<AuthPayload>();
    const bool required = peer.ppk && peer.ppk->required;
    if (!handshake_->ppk_agreed) return required ? std::nullopt : std::optional(auth);
    const auto* named = message.find_notify(notify::ppk_identity);
    if (named == nullptr) return std::nullopt;
    if (peer.ppk && named->data == ppk_identity(*peer.ppk)) {
        take(mix_ppk(suite_.prf, peer.ppk->secret.view(), *keys_));
        return auth;
    }
    const auto* without = message.find_notify(notify::no_ppk_auth);
    if (required || without == nullptr) return std::nullopt;
    return AuthPayload{auth.method, without->data};
}

// The child is decided now; the answer waits until it is installed (RFC 7296 1.2, ike.md 6.5).
void Session::answer_auth(const Message& message, const Peer& peer, Turn& turn) {
    const auto* echoed = message.find_id(true);
    const IdPayload own{true, echoed == nullptr ? id_body(peer.local) : echoed->body};
    std::vector<Payload> payloads{own, prove(peer, keys_->pr, own.body, turn)};
    if (ppk_) payloads.push_back(make_notify(notify::ppk_identity));
    shares_link_ = shares_links(peer, turn) && offers_shared_link(message);
    if (shares_link_) payloads.push_back(offer_shared_link());
    const auto finish = [&](std::optional<std::uint16_t> error) {
        if (error) payloads.push_back(make_notify(*error));
        answer(ExchangeType::ike_auth, payloads, turn);
        become_established(turn);
        if (error) return child_failed("no CHILD SA: " + notify_name(*error), turn);
        plan_child(turn);
    };
    if (message.find<SaPayload>() == nullptr) return finish(std::nullopt);  // childless, RFC 6023
    const Offer offer = examine(message, peer.child);
    if (offer.error) return finish(offer.error);

    const std::uint32_t spi = turn.ground.new_esp_spi();
    Owed owed{ExchangeType::ike_auth, 0, payloads, payloads};
    add_child(owed.with, offer.agreed, spi);
    owed.without.emplace_back(make_notify(notify::no_proposal_chosen));
    const Accepted accepted{
        offer.agreed,
        spi,
        derive_child_keys(suite_.prf, keys_->d, offer.agreed.choice.suite, handshake_->nonces),
        false,
        0};
    owed.child = raise_child(accepted, turn);
    owed_ = std::move(owed);
}

void Session::become_established(Turn& turn) {
    state_ = SessionState::established;
    established_at_ = turn.now;
    handshake_.reset();
    plan_renewal(turn);
    trouble_ = "no CHILD SA yet";
    turn.ground.events.emplace_back(Established{key()});
    turn.note(
        base::Level::info, name(turn) + " established, " + suite_.to_string() + (ppk_ ? " and a PPK" : "")
    );
}

}  // namespace aronet::ike
