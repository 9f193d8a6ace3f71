// IKE_SA_INIT (RFC 7296 1.2, 2.6, 2.7, 2.23), both sides of it. Nothing here is authenticated: an error is a
// hint, and whatever is believed wrongly makes IKE_AUTH fail and costs one attempt.

#include "ike/abilities.hpp"
#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

// Whoever alone can mend a tunnel that the other side has forgotten notices in time, and says no more than
// the original (docs/ike.md, liveness).
constexpr Duration kLonelyInterval = 4150ms;
constexpr unsigned kRoundsMax = 5;  // COOKIE and INVALID_KE_PAYLOAD answers that one attempt follows

Bytes natd_hash(std::uint64_t spi_i, std::uint64_t spi_r, const Address& address, std::uint16_t port) {
    Bytes spis, port_bytes;
    base::Writer spi_writer(spis), port_writer(port_bytes);
    spi_writer.u64(spi_i);
    spi_writer.u64(spi_r);
    port_writer.u16(port);
    const auto digest = sha1({spis, address.bytes(), port_bytes});
    return Bytes(digest.begin(), digest.end());
}

// The source hash is wrong on purpose: both sides then encapsulate in UDP, whatever is between them
// (docs/ike.md, encap).
void add_nat_detection(
    std::vector<Payload>& payloads,
    std::uint64_t spi_i,
    std::uint64_t spi_r,
    const Endpoint& to,
    const Ground& ground
) {
    payloads.push_back(make_notify(notify::nat_detection_source_ip, natd_hash(spi_i, spi_r, ground.decoy, 0))
    );
    payloads.push_back(
        make_notify(notify::nat_detection_destination_ip, natd_hash(spi_i, spi_r, to.address, to.port))
    );
}

bool goes_round(Handshake& hs) {
    if (++hs.rounds > kRoundsMax) hs.contradicted = true;
    return hs.rounds <= kRoundsMax;
}

void add_abilities(std::vector<Payload>& payloads, bool fragmentation) {
    if (fragmentation) payloads.push_back(make_notify(notify::fragmentation_supported));
    payloads.push_back(make_notify(notify::signature_hash_algorithms, {0, kHashIdentity}));
}

}  // namespace

void Session::configure(const EngineConfig& config) {
    dpd_interval_ = lonely_ ? std::min<Duration>(config.dpd_interval, kLonelyInterval) : config.dpd_interval;
    keepalive_interval_ = config.keepalive_interval;
}

std::unique_ptr<Session> Session::initiate(const Peer& peer, Attempt attempt, Turn& turn) {
    std::unique_ptr<Session> session(new Session);
    session->state_ = SessionState::init_sent;
    session->initiator_ = true;
    session->spi_i_ = turn.ground.new_ike_spi();
    session->peer_ = peer.id;
    session->local_ = {peer.local_address.value_or(Address::any(peer.family)), peer.local_port};
    session->remote_ = *peer.remote_endpoint;
    session->marked_ = has_marker(session->local_.port, session->remote_.port);
    session->opened_at_ = turn.now;
    session->lonely_ = peer.only_we_initiate;
    session->configure(turn.ground.config);
    session->handshake_ = std::make_unique<Handshake>();
    session->handshake_->beside = attempt.beside;
    session->handshake_->ke = generate(DhGroup::curve25519, turn.ground.random);
    session->handshake_->nonces.initiator = turn.ground.random.bytes(kNonceSize);
    session->handshake_->ike_offer = offer_ike(attempt.wide);
    session->send_init(turn);
    return session;
}

void Session::send_init(Turn& turn) {
    Handshake& hs = *handshake_;
    std::vector<Payload> payloads;
    if (!hs.cookie.empty()) payloads.push_back(make_notify(notify::cookie, hs.cookie));
    payloads.push_back(hs.ike_offer);
    payloads.push_back(KePayload{static_cast<std::uint16_t>(hs.ke.group), hs.ke.public_value});
    payloads.push_back(NoncePayload{hs.nonces.initiator});
    add_nat_detection(payloads, spi_i_, 0, remote_, turn.ground);
    add_abilities(payloads, true);
    const Peer* peer = turn.ground.peer(*peer_);
    if (peer != nullptr && peer->ppk) payloads.push_back(make_notify(notify::use_ppk));
    Header header;
    header.spi_i = spi_i_;
    header.flags = flag::initiator;
    hs.init_request = encode(header, payloads);
    asked_ = Asked::init;
    asked_at_ = turn.now;
    const bool alternatives = peer != nullptr && !peer->other_endpoints.empty();
    requester_.start(
        {hs.init_request}, alternatives ? kTrialSchedule : kInitSchedule, turn.now, turn.ground.random
    );
    send(requester_.datagrams(), remote_, turn);
}

void Session::on_init_response(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) {
    if (raw.header.spi_i != spi_i_) return turn.drop("SPI of another SA", from);
    if (follows(raw)) return;  // a repetition
    const auto message = decode(raw);
    if (!message) return turn.drop(to_string(message.error()), from);
    if (message->unsupported_critical) return turn.drop("critical payload in an IKE_SA_INIT answer", from);
    if (follow_init_advice(*message, turn)) return;
    Handshake& hs = *handshake_;
    const auto* sa = message->find<SaPayload>();
    const auto* ke = message->find<KePayload>();
    const auto* nonce = message->find<NoncePayload>();
    if (sa == nullptr || ke == nullptr || nonce == nullptr || raw.header.spi_r == 0) {
        return turn.drop("incomplete IKE_SA_INIT answer", from);
    }
    const auto choice = accept_ike(hs.ike_offer, *sa);
    if (!choice) return turn.drop("the answer chose what was not offered", from);
    const bool same_group =
        choice->suite.group == hs.ke.group && ke->group == static_cast<std::uint16_t>(hs.ke.group);
    if (!has_room()) return turn.drop("too many answers to one IKE_SA_INIT", from);
    const auto secret = same_group ? shared_secret(hs.ke, ke->data) : std::nullopt;
    if (!secret) return turn.drop("unusable KE value", from);
    const auto agreed = agree_on_proof(*message, from, turn);
    if (!agreed) return;
    make_room();
    hs.peer_signs = agreed->ed25519;
    hs.ppk_agreed = agreed->ppk;
    spi_r_ = raw.header.spi_r;
    suite_ = choice->suite;
    hs.nonces.responder = nonce->data;
    hs.init_response.assign(raw.bytes.begin(), raw.bytes.end());
    if (!to.address.is_any()) local_ = to;
    detect_nat(*message, from, to);
    keys_ = derive_ike_keys(suite_, hs.nonces, *secret, spi_i_, spi_r_);
    tell_keys(turn);
    if (state_ == SessionState::init_sent) requester_.answered(0);
    state_ = SessionState::auth_sent;
    send_auth(turn);
}

// Whether IKE_AUTH can go on with what the responder announces. Anybody may have sent that: a hint, no end.
std::optional<Session::Agreed> Session::agree_on_proof(
    const Message& message, const Endpoint& from, Turn& turn
) {
    const Peer* peer = turn.ground.peer(*peer_);
    if (peer == nullptr) return std::nullopt;
    const Agreed agreed{can_ed25519(message), peer->ppk && message.find_notify(notify::use_ppk) != nullptr};
    if (peer->psk.empty() && !agreed.ed25519) {
        take_hint("the peer does not announce Ed25519 (SIGNATURE_HASH_ALGORITHMS without identity)", turn);
        turn.drop("SIGNATURE_HASH_ALGORITHMS without identity", from);
        return std::nullopt;
    }
    if (peer->ppk && peer->ppk->required && !agreed.ppk) {
        take_hint("the peer has no postquantum preshared key (no USE_PPK)", turn);
        turn.drop("no USE_PPK", from);
        return std::nullopt;
    }
    return agreed;
}

void Session::take_hint(std::string hint, Turn& turn) {
    if (awaits_init() && handshake_->hint.empty())
        requester_.pace(kRefusedSchedule, turn.now, turn.ground.random);
    handshake_->hint = std::move(hint);
}

// True: the message was advice or an error, and nothing more is in it for us.
bool Session::follow_init_advice(const Message& message, Turn& turn) {
    Handshake& hs = *handshake_;
    if (state_ == SessionState::auth_sent) {
        // Either this or the answer before is false.
        const bool advice = message.find_notify(notify::cookie) != nullptr || message.find_error() != nullptr;
        hs.contradicted = hs.contradicted || advice;
        return advice;
    }
    if (const auto* cookie = message.find_notify(notify::cookie)) {
        const bool fresh = !cookie->data.empty() && cookie->data.size() <= 64 && cookie->data != hs.cookie;
        if (fresh && goes_round(hs)) {
            hs.cookie = cookie->data;
            send_init(turn);
        }
        return true;
    }
    if (const auto* advice = message.find_notify(notify::invalid_ke_payload)) {
        const auto wanted = base::Reader(advice->data).u16();
        const bool other = wanted != static_cast<std::uint16_t>(hs.ke.group) && advice->data.size() == 2;
        if (other && offers_group(hs.ike_offer, wanted) && goes_round(hs)) {
            hs.ke = generate(static_cast<DhGroup>(wanted), turn.ground.random);
            send_init(turn);
        }
        return true;
    }
    const NotifyPayload* error = message.find_error();
    if (error == nullptr) return false;
    take_hint("the peer says " + notify_name(error->type), turn);
    hs.proposal_refused = error->type == notify::no_proposal_chosen;
    return true;
}

bool Session::under_way(Instant now) const {
    constexpr Duration init = 1s, auth = 2s;
    if (awaits_init()) return now < opened_at_ + init;
    if (state_ != SessionState::auth_sent || now >= opened_at_ + auth) return false;
    return !handshake_->disowned && !handshake_->contradicted && handshake_->others.empty();
}

void Session::met_half_way() {
    if (awaits_init()) handshake_->beside = true;
}

std::unique_ptr<Session> Session::respond(const Opening& opening, Turn& turn) {
    std::unique_ptr<Session> session(new Session);
    session->state_ = SessionState::half_open;
    session->spi_i_ = opening.raw.header.spi_i;
    session->spi_r_ = turn.ground.new_ike_spi();
    session->local_ = opening.local;
    session->remote_ = opening.remote;
    session->marked_ = opening.raw.marked;
    session->opened_at_ = turn.now;
    session->configure(turn.ground.config);
    session->responder_ = Responder(1);
    session->suite_ = opening.choice.suite;
    session->handshake_ = std::make_unique<Handshake>();
    Handshake& hs = *session->handshake_;
    hs.ke = generate(opening.choice.suite.group, turn.ground.random);
    hs.peer_ke = opening.message.find<KePayload>()->data;
    hs.nonces = {opening.message.find<NoncePayload>()->data, turn.ground.random.bytes(kNonceSize)};
    hs.init_request.assign(opening.raw.bytes.begin(), opening.raw.bytes.end());
    session->detect_nat(opening.message, opening.remote, opening.local);

    std::vector<Payload> payloads{
        SaPayload{{opening.choice.answer}},
        KePayload{static_cast<std::uint16_t>(hs.ke.group), hs.ke.public_value},
        NoncePayload{hs.nonces.responder}};
    if (opening.message.find_notify(notify::nat_detection_source_ip) != nullptr) {
        add_nat_detection(payloads, session->spi_i_, session->spi_r_, opening.remote, turn.ground);
    }
    add_abilities(payloads, session->fragmentation_);
    hs.peer_signs = can_ed25519(opening.message);
    hs.ppk_agreed = turn.ground.with_ppk != 0 && opening.message.find_notify(notify::use_ppk) != nullptr;
    if (hs.ppk_agreed) payloads.push_back(make_notify(notify::use_ppk));
    payloads.push_back(NotifyPayload{notify::childless_supported, Protocol::ike, {}, {}});  // RFC 6023 4
    Header header;
    header.spi_i = session->spi_i_;
    header.spi_r = session->spi_r_;
    header.flags = flag::response;
    hs.init_response = encode(header, payloads);
    session->send_plain(hs.init_response, session->remote_, turn);
    return session;
}

const Bytes* Session::init_response() const { return half_open() ? &handshake_->init_response : nullptr; }

// RFC 7296 2.23. Several hashes of each kind may be there; one that is right says that there is no NAT on
// that side.
void Session::detect_nat(const Message& message, const Endpoint& from, const Endpoint& to) {
    const std::uint64_t spi_r = message.header.spi_r;
    const Bytes theirs = natd_hash(spi_i_, spi_r, from.address, from.port);
    const Bytes ours = natd_hash(spi_i_, spi_r, to.address, to.port);
    const auto translated = [&](std::uint16_t type, const Bytes& right) {
        bool seen = false;
        for (const Payload& payload : message.payloads) {
            const auto* said = std::get_if<NotifyPayload>(&payload);
            if (said == nullptr || said->type != type) continue;
            if (said->data == right) return false;
            seen = true;
        }
        return seen;
    };
    peer_behind_nat_ = translated(notify::nat_detection_source_ip, theirs);
    behind_nat_ = translated(notify::nat_detection_destination_ip, ours);
    fragmentation_ = message.find_notify(notify::fragmentation_supported) != nullptr;
}

// At a responder only when the first protected message comes: a flood of IKE_SA_INIT then costs no shared
// secret.
void Session::derive_keys(Turn& turn) {
    const auto secret = shared_secret(handshake_->ke, handshake_->peer_ke);
    if (!secret) return;
    keys_ = derive_ike_keys(suite_, handshake_->nonces, *secret, spi_i_, spi_r_);
    tell_keys(turn);
}

void Session::tell_keys(Turn& turn) const {
    if (!turn.ground.config.tells_keys) return;
    turn.out.emplace_back(KeysMade{
        spi_i_, spi_r_, suite_, keys_->ei.copy(), keys_->er.copy(), keys_->ai.copy(), keys_->ar.copy()});
}

}  // namespace aronet::ike
