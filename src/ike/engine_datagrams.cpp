#include "ike/abilities.hpp"
#include "ike/engine_state.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

// No amplifier, as they are smaller than what they answer. Few would be used up by whoever has none to use.
constexpr unsigned kHintsPerSecond = 20000;
constexpr std::size_t kHintSize = 36;  // a header and a notify

Bytes plain_answer(const Header& request, NotifyPayload what) {
    Header header;
    header.spi_i = request.spi_i;
    header.spi_r = request.spi_r;
    header.exchange = request.exchange;
    header.flags = flag::response | (request.from_initiator() ? 0 : flag::initiator);
    header.message_id = request.message_id;
    const std::vector<Payload> payloads{std::move(what)};
    return encode(header, payloads);
}

// An SPI that begins like the marker is one in four thousand million, and the next one does not.
bool is_marked(const Datagram& datagram) {
    base::Reader in(datagram.bytes);
    return in.u32() == 0 && !in.failed();
}

void reply(const Datagram& request, const Bytes& message, Turn& turn) {
    turn.out.emplace_back(Send{request.to, request.from, in_datagram(message, is_marked(request))});
}

// Only as the first payload (ike.md fact 13): an initiator that puts it elsewhere has not read the RFC.
ByteView cookie_of(const Message& message) {
    const auto* first =
        message.payloads.empty() ? nullptr : std::get_if<NotifyPayload>(&message.payloads.front());
    return first != nullptr && first->type == notify::cookie ? ByteView(first->data) : ByteView();
}

}  // namespace

void Engine::State::handle(const Datagram& datagram, Turn& turn) {
    ByteView bytes = datagram.bytes;
    if (bytes.size() == 1 && bytes[0] == 0xff) return;  // a keepalive (RFC 3948 2.3)
    const bool marked = is_marked(datagram);
    if (!marked && has_marker(datagram.from.port, datagram.to.port))
        return turn.drop("no non-ESP marker", datagram.from);
    if (marked) bytes = bytes.subspan(4);
    auto raw = parse(bytes);
    if (!raw) {
        if (raw.error() == Drop::bad_version) answer_version(datagram, bytes, turn);
        return turn.drop(to_string(raw.error()), datagram.from);
    }
    raw->marked = marked;
    const Header& header = raw->header;
    if (header.exchange == ExchangeType::ike_sa_init && !header.is_response())
        return open(*raw, datagram, turn);
    const SessionKey key = header.from_initiator() ? header.spi_r : header.spi_i;
    if (!sessions.contains(key)) return answer_stranger(*raw, datagram, turn);
    with(key, turn, [&](Session& session) { session.handle(*raw, datagram.from, datagram.to, turn); });
}

// RFC 7296 2.21.4: whoever still asks on an IKE SA that is no more, because we were started anew, learns that
// it has to begin another. The answer is smaller than the question, and no more than a hint.
void Engine::State::answer_stranger(const RawMessage& raw, const Datagram& datagram, Turn& turn) {
    turn.drop("unknown SPI", datagram.from);
    if (sessions.contains(raw.header.spi_i) || sessions.contains(raw.header.spi_r))
        return;  // the flags are wrong
    if (raw.header.is_response() || !is_protected(raw) || stop_at) return;
    if (raw.bytes.size() <= kHintSize) return;
    if (turn.now >= hints.since + 1s) hints = {turn.now, 0};
    if (++hints.said > kHintsPerSecond) return;
    reply(datagram, plain_answer(raw.header, make_notify(notify::invalid_ike_spi)), turn);
}

// RFC 7296 2.5, at most one a minute: IKEv1 has nothing to learn from it.
void Engine::State::answer_version(const Datagram& datagram, ByteView bytes, Turn& turn) {
    base::Reader in(bytes);
    Header request;
    request.flags = flag::initiator;
    request.spi_i = in.u64();
    in.skip(10);
    request.exchange = static_cast<ExchangeType>(in.u8());
    const bool response = (in.u8() & flag::response) != 0;
    request.message_id = in.u32();
    if (in.failed() || response || !ground.drops.count("higher major version", turn.now)) return;
    reply(datagram, plain_answer(request, make_notify(notify::invalid_major_version)), turn);
}

// Both sides began at the same time: who would win does not answer, since it will be answered itself. A later
// repetition will be, should ours have been lost. Where several peers are at that place it may be another.
bool Engine::State::crosses_ours(const Datagram& datagram, const Turn& turn) const {
    const std::set<PeerId>& busy = queue.busy(datagram.from);
    if (busy.size() != 1) return false;
    const Peer& peer = *ground.peer(*busy.begin());
    const Endpoint& here = datagram.to;
    const bool ours = peer.local_port == here.port &&
                      (!peer.local_address || here.address.is_any() || *peer.local_address == here.address);
    return ours && ours_wins(peer) &&
           std::ranges::any_of(live(peer.id), [&](const Session* each) { return each->under_way(turn.now); });
}

// An IKE_SA_INIT request. Until the session is made nothing is kept, and nothing is answered that is larger
// than what came.
void Engine::State::open(const RawMessage& raw, const Datagram& datagram, Turn& turn) {
    const Header& header = raw.header;
    if (stop_at) return turn.drop("stopping", datagram.from);
    if (header.message_id != 0 || header.spi_r != 0 || header.spi_i == 0 || !header.from_initiator()) {
        return turn.drop("IKE_SA_INIT request with a bad header", datagram.from);
    }
    if (raw.bytes.size() > kInitMax) return turn.drop("IKE_SA_INIT request that is too large", datagram.from);
    const Fingerprint print = fingerprint(raw.bytes);
    if (const auto known = admission.known(header.spi_i, datagram.from, print)) {
        if (const Bytes* said = sessions.at(*known)->init_response()) reply(datagram, *said, turn);
        return;
    }
    if (crosses_ours(datagram, turn)) return turn.drop("IKE_SA_INIT that crossed ours", datagram.from);
    const auto message = decode(raw);
    if (!message) return turn.drop(to_string(message.error()), datagram.from);
    const auto refuse = [&](std::string_view why, NotifyPayload what) {
        turn.drop(why, datagram.from);
        reply(datagram, plain_answer(header, std::move(what)), turn);
    };
    if (message->unsupported_critical) {
        return refuse(
            "unknown critical payload",
            make_notify(notify::unsupported_critical_payload, {*message->unsupported_critical})
        );
    }
    const auto* sa = message->find<SaPayload>();
    const auto* ke = message->find<KePayload>();
    const auto* nonce = message->find<NoncePayload>();
    if (sa == nullptr || ke == nullptr || nonce == nullptr) {
        return refuse("IKE_SA_INIT without SA, KE or nonce", make_notify(notify::invalid_syntax));
    }
    switch (admission.judge(cookie_of(*message), nonce->data, header.spi_i, datagram.from, turn)) {
        case Admission::Verdict::admitted:
            break;
        case Admission::Verdict::full:
            return turn.drop("too many half-open SAs", datagram.from);
        case Admission::Verdict::cookie_wanted: {
            const Bytes cookie = admission.cookie(nonce->data, header.spi_i, datagram.from, turn);
            return refuse("cookie asked for", make_notify(notify::cookie, cookie));
        }
    }
    const auto choice = choose_ike(*sa, ke->group);
    if (!choice) return refuse("no IKE proposal in common", make_notify(notify::no_proposal_chosen));
    const auto group = static_cast<std::uint16_t>(choice->suite.group);
    if (group != ke->group) {
        const Bytes advice{static_cast<base::Byte>(group >> 8), static_cast<base::Byte>(group)};
        return refuse("another KE group", make_notify(notify::invalid_ke_payload, advice));
    }
    if (ke->data.size() != public_value_size(choice->suite.group)) {
        return refuse("KE value of a wrong size", make_notify(notify::invalid_syntax));
    }
    if (!can_ed25519(*message) && ground.with_psk == 0) {
        return refuse("SIGNATURE_HASH_ALGORITHMS without identity", make_notify(notify::no_proposal_chosen));
    }
    auto session = Session::respond({raw, *message, *choice, datagram.to, datagram.from}, turn);
    const SessionKey key = session->key();
    sessions.emplace(key, std::move(session));
    admission.opened(key, header.spi_i, datagram.from, print);
    tidy(key);
    for (const PeerId id : queue.busy(datagram.from)) {
        for (Session* each : live(id)) each->met_half_way();
    }
}

}  // namespace aronet::ike
