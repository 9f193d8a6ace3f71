#include "ike/session.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kHalfOpenLife = 30s;  // as long as an initiator tries
constexpr Duration kLinger = 10s;        // how long an ended session repeats its last answer
constexpr Duration kReassembly = 30s;    // RFC 7383 2.6: an incomplete message is kept no longer
constexpr Duration kAfterwards = 30s;    // and what came of an answer that was passed over is heard of
constexpr unsigned kExtensions = 3;      // while ESP comes in but no IKE answer
constexpr unsigned kExtraTries = 3;

// The integrity held, yet the payloads make no sense (RFC 7296 2.21.3): only the peer itself can have sent
// that.
bool is_malformed(Drop drop) {
    return drop == Drop::bad_payload || drop == Drop::bad_payload_length || drop == Drop::too_many_payloads;
}

}  // namespace

// --- Messages in ---

void Session::handle(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) {
    const Header& header = raw.header;
    if (header.from_initiator() == initiator_) return turn.drop("initiator flag of our own side", from);
    if (state_ == SessionState::init_sent) {
        if (header.exchange != ExchangeType::ike_sa_init || !header.is_response() || header.message_id != 0) {
            return turn.drop("not the answer to IKE_SA_INIT", from);
        }
        return on_init_response(raw, from, to, turn);
    }
    if (state_ == SessionState::closed) return;
    if (state_ == SessionState::auth_sent) {
        const bool init = header.exchange == ExchangeType::ike_sa_init && header.message_id == 0;
        if (init) return on_init_response(raw, from, to, turn);
    }
    if (handshake_) choose_answer(raw);
    if (header.spi_i != spi_i_ || header.spi_r != spi_r_) {
        const bool passed_over = std::ranges::find(passed_over_, header.spi_r) != passed_over_.end();
        if (passed_over && is_protected(raw) && established() && turn.now < established_at_ + kAfterwards)
            turn.ground.events.emplace_back(Disowned{key(), true});
        return turn.drop("SPI of another SA", from);
    }
    if (!is_protected(raw)) {
        if (is_disowned(raw)) disowned(turn);
        return turn.drop("unprotected message for an SA with keys", from);
    }
    if (header.is_response()) {
        receive_response(raw, from, to, turn);
    } else {
        receive_request(raw, from, to, turn);
    }
}

void Session::receive_request(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) {
    if (state_ == SessionState::auth_sent) return turn.drop("request before the IKE SA is established", from);
    switch (responder_.judge(raw.header.message_id, raw.bytes)) {
        case Responder::Verdict::outside:
            return turn.drop("request outside of the window", from);
        case Responder::Verdict::repeated:
            return answer_again(raw, from, to, turn);
        case Responder::Verdict::fresh:
            break;
    }
    if (state_ == SessionState::lingering) return;
    const bool first = state_ == SessionState::half_open;
    if (first != (raw.header.exchange == ExchangeType::ike_auth)) {
        return turn.drop("exchange out of place", from);
    }
    if (first && !keys_) {
        derive_keys(turn);
        if (!keys_) {
            turn.drop("unusable KE value", from);
            return end(Ending::failed, "unusable KE value", turn);  // it costs one key exchange, not many
        }
    }
    const auto message = unprotect(raw, turn);
    if (!message) {
        if (message.error() != Drop::incomplete) turn.drop(to_string(message.error()), from);
        if (!is_malformed(message.error())) return;
    }
    // What is worn and on its way out is not to look alive.
    if (closing() && worn_ && message && !message->deletes_ike_sa())
        return turn.drop("request on an IKE SA that is closing", from);
    responder_.accept(request_print_);
    heard(raw, from, to, turn);
    if (message && comes_early(*message, turn)) return;
    if (message) return on_request(*message, turn);
    answer(raw.header.exchange, {make_notify(notify::invalid_syntax)}, turn);
    end_after_answer("the peer sent a malformed request", turn);
}

void Session::receive_response(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) {
    const bool expected = requester_.in_flight() && raw.header.message_id == requester_.next_id() &&
                          raw.header.exchange == asked_exchange_;
    if (!expected) return turn.drop("response that was not asked for", from);
    const auto message = unprotect(raw, turn);
    if (!message) {
        if (message.error() != Drop::incomplete) turn.drop(to_string(message.error()), from);
        const Ending ending = state_ == SessionState::auth_sent ? Ending::failed : Ending::lost;
        if (is_malformed(message.error())) answer_failed(ending, "the peer sent a malformed answer", turn);
        return;
    }
    if (closing() && handshake_ && !handshake_->others.empty()) {  // one of several goodbyes was heard
        exchange_answer(handshake_->others.back());
        return handshake_->others.pop_back();
    }
    const bool one_of_several = state_ == SessionState::auth_sent && !handshake_->others.empty();
    const std::optional<Requester> before = one_of_several ? std::optional(requester_) : std::nullopt;
    requester_.answered(raw.header.message_id);
    if (extensions_ > kExtensions) worn_ = false;  // it answers again
    if (requester_.next_id() == turn.ground.config.ike_requests) renew_at_ = turn.now;
    measure_path(turn);
    heard(raw, from, to, turn);
    const bool renewed = asked_ == Asked::renewal && established();
    on_response(*message, turn);
    if (before && state_ == SessionState::auth_sent) {  // it goes on with another answer to IKE_SA_INIT
        requester_ = *before;
        asked_ = Asked::auth;
        return;
    }
    if (!renewed) next_wish(turn);  // else nothing is begun that would better be said on the new SA
}

// The message, once its integrity held and, of fragments, all of them came.
base::Result<Message, Drop> Session::unprotect(const RawMessage& raw, const Turn& turn) {
    const Opener opener{
        &suite_,
        initiator_ ? keys_->er.view() : keys_->ei.view(),
        initiator_ ? keys_->ar.view() : keys_->ai.view()};
    const bool response = raw.header.is_response();
    if (!is_fragment(raw)) {
        auto message = open(raw, opener);
        if (!response) request_print_ = fingerprint(raw.bytes);
        return message;
    }
    Fragments& fragments = response ? response_fragments_ : request_fragments_;
    const auto numbers = fragment_numbers(raw);
    if (!numbers) return Drop::bad_fragment;
    const auto refused = fragments.refuses(raw.header.message_id, numbers->first, numbers->second);
    if (refused) return *refused;
    auto fragment = open_fragment(raw, opener);
    if (!fragment) return fragment.error();
    if (!response && fragment->number == 1) first_fragment_ = fingerprint(raw.bytes);
    auto message = fragments.add(raw.header, std::move(*fragment));
    if (!response) request_print_ = first_fragment_;
    if (request_fragments_.empty() && response_fragments_.empty()) {
        fragments_until_.reset();
    } else if (!fragments_until_) {
        fragments_until_ = turn.now + kReassembly;
    }
    return message;
}

void Session::on_request(const Message& message, Turn& turn) {
    if (message.unsupported_critical) {
        return answer_error(
            message, notify::unsupported_critical_payload, {*message.unsupported_critical}, turn
        );
    }
    switch (message.header.exchange) {
        case ExchangeType::ike_auth:
            return on_auth_request(message, turn);
        case ExchangeType::create_child_sa:
            return on_create_child(message, turn);
        case ExchangeType::informational:
            return on_informational(message, turn);
        default:
            return answer_error(message, notify::invalid_syntax, {}, turn);
    }
}

void Session::on_response(const Message& message, Turn& turn) {
    switch (std::exchange(asked_, Asked::nothing)) {
        case Asked::auth:
            return on_auth_response(message, turn);
        case Asked::child:
            return on_child_response(message, turn);
        case Asked::renewal:
            return on_renewal_response(message, turn);
        case Asked::delete_session:
            return end(Ending::by_us, trouble_, turn);
        case Asked::delete_children:
            return on_children_deleted(turn);
        case Asked::liveness:
        case Asked::init:
        case Asked::nothing:
            return;
    }
}

void Session::heard_esp(Instant at) { heard_at_ = std::max(heard_at_, at); }

// --- Messages out ---

Datagrams Session::protect(
    ExchangeType exchange, bool response, const std::vector<Payload>& payloads, Turn& turn
) {
    Header header;
    header.spi_i = spi_i_;
    header.spi_r = spi_r_;
    header.exchange = exchange;
    header.flags =
        static_cast<base::Byte>((initiator_ ? flag::initiator : 0) | (response ? flag::response : 0));
    header.message_id = response ? responder_.owed_id() : requester_.next_id();
    const Sealer sealer{
        &suite_,
        initiator_ ? keys_->ei.view() : keys_->er.view(),
        initiator_ ? keys_->ai.view() : keys_->ar.view(),
        &next_iv_,
        &turn.ground.random};
    if (fragmentation_) return seal_in_fragments(header, payloads, sealer, message_size_max(turn));
    return {seal(header, payloads, sealer)};
}

// What IP, UDP and the non-ESP marker, which a repetition may need, leave of a datagram (RFC 7383 2.5.1).
std::size_t Session::message_size_max(const Turn& turn) const {
    const std::size_t ip = remote_.address.is_v4() ? 20 : 40, udp = 8, marker = 4;
    return turn.ground.config.fragment_size - ip - udp - marker;
}

void Session::send(const Datagrams& datagrams, const Endpoint& to, Turn& turn) {
    if (datagrams.empty()) return;
    for (const Bytes& message : datagrams) send_plain(message, to, turn);
    sent_at_ = turn.now;
}

void Session::send_plain(const Bytes& message, const Endpoint& to, Turn& turn) const {
    turn.out.emplace_back(Send{source(), to, in_datagram(message, marked_)});
}

// The way the repetition came (RFC 7296 2.11), which may be old: nobody moves for it.
void Session::answer_again(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn)
    const {
    const Endpoint back = to.address.is_any() ? source() : to;
    for (const Bytes& message : responder_.last_answer())
        turn.out.emplace_back(Send{back, from, in_datagram(message, raw.marked)});
}

void Session::answer(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn) {
    responder_.answer(protect(exchange, true, payloads, turn));
    send(responder_.last_answer(), remote_, turn);
}

void Session::answer_error(const Message& request, std::uint16_t type, Bytes data, Turn& turn) {
    answer(request.header.exchange, {make_notify(type, std::move(data))}, turn);
    if (request.header.exchange == ExchangeType::ike_auth)
        end_after_answer("IKE_AUTH was not acceptable", turn);
}

void Session::ask(Asked what, ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn) {
    const Schedule& schedule = what == Asked::auth             ? kAuthSchedule
                               : what == Asked::delete_session ? kDeleteSchedule
                                                               : kLiveSchedule;
    asked_ = what;
    asked_exchange_ = exchange;
    asked_at_ = turn.now;
    extensions_ = 0;
    requester_.start(protect(exchange, false, payloads, turn), schedule, turn.now, turn.ground.random);
    say_request(turn);
}

// What the initiator asks first shows the peer that it has the SAs (agreed()): not before that is so.
bool Session::keeps_quiet() const {
    if (!initiator_ || agreed_) return false;
    return std::ranges::any_of(children_, [](const Child& child) {
        return child.state == ChildState::installing && child.replaces == 0;
    });
}

// One request at a time: the most pressing wish that is left.
void Session::next_wish(Turn& turn) {
    if (requester_.in_flight()) return;
    if (requester_.exhausted()) return forget("the message IDs are used up", turn);
    if (state_ == SessionState::closing) {
        const std::vector<Payload> goodbye{DeletePayload{Protocol::ike, {}}};
        ask(Asked::delete_session, ExchangeType::informational, goodbye, turn);
        return ask_others(ExchangeType::informational, goodbye, turn);
    }
    if (state_ != SessionState::established || keeps_quiet()) return;
    if (!to_delete_.empty()) {
        ask(Asked::delete_children,
            ExchangeType::informational,
            {DeletePayload{Protocol::esp, to_delete_}},
            turn);
        to_delete_.clear();
    } else if (child_due_ && turn.now >= *child_due_) {
        child_due_.reset();
        ask_for_child(nullptr, turn);
    } else if (Child* old = child_to_rekey(turn.now)) {
        ask_for_child(old, turn);
    } else if (const auto at = renewal_due(); at && turn.now >= *at) {
        ask_for_renewal(turn);
    } else if (probe_wanted_) {
        probe_wanted_ = false;
        ask(Asked::liveness, ExchangeType::informational, {}, turn);
    }
}

void Session::probe(Turn& turn) {
    probe_wanted_ = true;
    next_wish(turn);
}

// --- Time ---

void Session::tick(Turn& turn) {
    switch (requester_.tick(turn.now, turn.ground.random)) {
        case Requester::Due::nothing:
            break;
        case Requester::Due::repeat:
            if (tires_of_answers(turn)) break;
            repeat(turn);
            doubt(turn);
            weigh_suspicion(turn);
            break;
        case Requester::Due::give_up:
            on_silence(turn);
            break;
    }
    switch (state_) {
        case SessionState::half_open:
        case SessionState::authenticated:
            if (turn.now >= opened_at_ + kHalfOpenLife)
                end(Ending::failed, "the handshake was not completed", turn);
            return;
        case SessionState::lingering:
        case SessionState::superseded:
            if (turn.now >= linger_until_) state_ = SessionState::closed;
            return;
        case SessionState::established:
            return tick_established(turn);
        default:
            return;
    }
}

void Session::tick_established(Turn& turn) {
    tick_children(turn);
    if (fragments_until_ && turn.now >= *fragments_until_) {
        request_fragments_.clear();
        response_fragments_.clear();
        fragments_until_.reset();
    }
    acquit_if_heard(turn);
    if (const auto at = doubt_at(); at && turn.now >= *at) doubt(turn);
    if (dpd_interval_ > 0s && !requester_.in_flight() && turn.now >= probe_at()) probe_wanted_ = true;
    next_wish(turn);
    if (behind_nat_ && turn.now >= sent_at_ + keepalive_interval_) {
        turn.out.emplace_back(Send{source(), remote_, {0xff}});  // RFC 3948 2.3, without marker
        sent_at_ = turn.now;
    }
}

std::optional<Instant> Session::deadline() const {
    std::optional<Instant> first = requester_.deadline();
    const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
    if (state_ == SessionState::half_open || state_ == SessionState::authenticated) {
        consider(opened_at_ + kHalfOpenLife);
    }
    if (state_ == SessionState::lingering || state_ == SessionState::superseded) consider(linger_until_);
    if (state_ != SessionState::established) return first;
    if (suspicion_ && heard_at_ > suspicion_->since) consider(heard_at_);
    if (behind_nat_) consider(sent_at_ + keepalive_interval_);
    if (fragments_until_) consider(*fragments_until_);
    for (const Child& child : children_) {
        if (child.due) consider(*child.due);
    }
    if (requester_.in_flight()) return first;
    if (dpd_interval_ > 0s) consider(probe_at());
    if (const auto at = doubt_at()) consider(*at);
    if (child_due_) consider(*child_due_);
    if (const auto at = renewal_due()) consider(*at);
    for (const Child& child : children_) {
        if (tired(child)) consider(*child.rekey_at);
    }
    return first;
}

void Session::on_silence(Turn& turn) {
    const std::string where = remote_.to_string();
    if (state_ == SessionState::init_sent) {
        const std::string& hint = handshake_->hint;
        if (hint.empty()) return end(Ending::silent, "no answer from " + where, turn);
        return end(Ending::failed, hint + " (unverified, " + where + ")", turn);
    }
    if (state_ == SessionState::auth_sent)
        return end(Ending::silent, "no answer to IKE_AUTH from " + where, turn);
    if (state_ == SessionState::closing) return end(Ending::by_us, trouble_, turn);
    if (state_ == SessionState::superseded) {
        forget_renewal(turn);
        return requester_.forget();
    }
    if (heard_at_ > asked_at_ && !(renewal_ && renewal_->rival)) {
        if (++extensions_ > kExtensions) wear_out("IKE goes unanswered while ESP arrives", false, turn);
        asked_at_ = turn.now;
        requester_.extend(kExtraTries);
        requester_.tick(turn.now, turn.ground.random);
        return say_request(turn);
    }
    give_way(Ending::lost, turn);
}

// --- The end ---

void Session::close(const std::string& why, Turn& turn) {
    if (state_ == SessionState::spare) return discard(turn);
    if (state_ == SessionState::auth_sent) return abandon(why, turn);
    if (state_ != SessionState::established) {
        if (!over()) end(Ending::by_us, why, turn);
        if (state_ == SessionState::superseded) state_ = SessionState::closed;
        return;
    }
    take_down_all(turn);
    trust(turn);  // a verdict about the peer is not this session's any more
    turn.note(base::Level::info, name(turn) + " closed: " + why);
    trouble_ = why;
    state_ = SessionState::closing;
    if (worn_) requester_.forget();  // nobody answers what is under way: DELETE has its number
    const auto rival = renewal_ ? std::exchange(renewal_->rival, std::nullopt) : std::nullopt;
    turn.ground.events.emplace_back(Ended{key(), peer_, Ending::by_us, why, false, rival});
    next_wish(turn);
}

// IKE_AUTH is under way, and may have made an SA at the peer: DELETE behind it, whatever becomes of its
// answer, and on each of several.
void Session::abandon(const std::string& why, Turn& turn) {
    trouble_ = why;
    state_ = SessionState::closing;
    requester_.answered(requester_.next_id());
    turn.ground.events.emplace_back(Ended{key(), peer_, Ending::by_us, why});
    next_wish(turn);
}

void Session::forget(const std::string& why, Turn& turn) {
    if (!closed()) end(Ending::lost, why, turn);
}

void Session::end(Ending ending, const std::string& why, Turn& turn) {
    take_down_all(turn);
    if (established()) turn.note(base::Level::info, name(turn) + " ended: " + why);
    const bool refused = handshake_ && handshake_->proposal_refused;
    const auto rival = renewal_ ? renewal_->rival : std::nullopt;
    if (!over()) turn.ground.events.emplace_back(Ended{key(), peer_, ending, why, refused, rival});
    forget_renewal(turn);
    origin_.reset();
    if (handshake_) turn.ground.esp_spis.erase(handshake_->esp_spi);
    if (wanted_) turn.ground.esp_spis.erase(wanted_->spi);
    wanted_.reset();
    trouble_ = why;
    requester_.forget();
    handshake_.reset();  // whatever is still said is a repetition: no key is needed for it
    keys_.reset();
    state_ = SessionState::closed;
}

// The answer may be lost, so it is kept for a while.
void Session::end_after_answer(const std::string& why, Turn& turn) {
    const bool failed = state_ == SessionState::half_open || state_ == SessionState::authenticated;
    end(failed ? Ending::failed : Ending::by_peer, why, turn);
    state_ = SessionState::lingering;
    linger_until_ = turn.now + kLinger;
}

std::string Session::name(const Turn& turn) const {
    const Peer* known = peer_ ? turn.ground.peer(*peer_) : nullptr;
    std::string text = "IKE SA";
    if (known != nullptr) text.append(" with ").append(base::printable(known->remote.to_string()));
    return text.append(" at ").append(remote_.to_string());
}

void Session::describe(PeerView& view) const {
    view.local = local_;
    view.remote = remote_;
    view.spi_i = spi_i_;
    view.spi_r = spi_r_;
    view.initiator = initiator_;
    view.behind_nat = behind_nat_;
    view.peer_behind_nat = peer_behind_nat_;
    if (keys_) view.ike_suite = suite_.to_string() + (ppk_ ? "-ppk" : "");
    const auto sending = sending_child();
    for (const Child& child : children_) {
        if (sending != child.id) continue;
        view.esp_suite = to_string(child.suite);
        view.spi_in = child.spi_in;
        view.spi_out = child.spi_out;
    }
}

}  // namespace aronet::ike
