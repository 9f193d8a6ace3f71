#include "ike/engine_state.hpp"
#include "ike/fit.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kBesidePause = 10s;
constexpr Duration kPatience = 2s;  // with a new peer whose turn it is to initiate

// Who does not initiate first leaves the other side about so much time to do it.
Duration courtesy(const Peer& peer, Duration time, base::Random& random) {
    return peer.initiate_first ? Duration(0) : random.jitter(time, 50);
}

// The rest of the terms can be others with the next keys.
bool carries_the_same(const ChildTerms& before, const ChildTerms& after) {
    return before.mode == after.mode && before.local == after.local && before.remote == after.remote &&
           before.narrower == after.narrower;
}

// Which of the places is being tried is not for whoever names them.
void stay_where(const Peer& before, Peer& after) {
    if (!before.remote_endpoint || !after.remote_endpoint) return;
    const auto same = std::ranges::find(after.other_endpoints, *before.remote_endpoint);
    if (same != after.other_endpoints.end()) std::swap(*same, *after.remote_endpoint);
}

bool trusts(const Peer& peer, const PublicKey& key) {
    return std::find(peer.remote_keys.begin(), peer.remote_keys.end(), key) != peer.remote_keys.end();
}

}  // namespace

bool fits(const Peer& before, const Peer& after) {
    return before.local == after.local && before.remote == after.remote &&
           before.local_port == after.local_port && before.local_address == after.local_address &&
           before.family == after.family && before.if_id == after.if_id && before.reqid == after.reqid &&
           before.mark == after.mark && before.psk == after.psk && before.ppk == after.ppk &&
           carries_the_same(before.child, after.child);
}

void Engine::State::connect(Peer peer, Turn& turn) {
    const Peer* known = ground.peer(peer.id);
    const std::optional<Peer> before = known == nullptr ? std::nullopt : std::optional(*known);
    if (before) stay_where(*before, peer);
    ground.add(peer);
    Pursuit& pursuit = pursuits[peer.id];
    if (!before) {
        pursuit.since = turn.now;
        plan_next(peer.id, courtesy(peer, 200ms, ground.random), "", turn);
        return;
    }
    const bool moved = before->remote_endpoint != peer.remote_endpoint;
    const bool stale = !fits(*before, peer);
    for (const Session* session : live(peer.id)) {
        const auto proven = session->proven_key();
        const bool outdated = proven ? !trusts(peer, *proven) : moved && !session->established();
        if (!stale && !outdated) continue;
        with(session->key(), turn, [&](Session& each) { each.close("configuration changed", turn); });
    }
    if (!stale && before->child != peer.child)  // what is being closed has no next keys
        with_each(live(peer.id), turn, [&](Session& each) { each.change_terms(turn); });
    if (!pursuit.sessions.empty()) return;
    leave_queue(peer.id, turn);
    pursuit.failures = 0;
    plan_next(peer.id, moved && !stale ? 0s : courtesy(peer, 1s, ground.random), pursuit.reason, turn);
}

void Engine::State::drop(PeerId id, Turn& turn) {
    if (ground.peer(id) == nullptr) return;
    close_sessions(id, "peer removed", turn);
    leave_queue(id, turn);
    attempts.stop(id);
    duplicates.stop(id);
    pursuits.erase(id);
    ground.remove(id);
}

void Engine::State::close_sessions(PeerId id, const std::string& why, Turn& turn) {
    with_each(live(id), turn, [&](Session& each) { each.close(why, turn); });
}

void Engine::State::attempt(PeerId id, Turn& turn) {
    const Peer* peer = ground.peer(id);
    if (peer == nullptr || stop_at) return;
    Pursuit& pursuit = pursuits[id];
    if (std::exchange(pursuit.beside_waits, false)) {
        attempt_beside(id, turn);
        if (pursuit.beside_at != turn.now) leave_queue(id, turn);  // it is not needed any more
        return;
    }
    if (!pursuit.sessions.empty() || !peer->remote_endpoint) return;
    // It may be this peer, on a slow machine. That can be made believe once, not for ever.
    if (!peer->initiate_first && pursuit.attempts == 0 && turn.now < pursuit.since + kPatience &&
        admission.half_open_from(*peer->remote_endpoint))
        return attempts.set(id, turn.now + kPatience / 4);
    if (!queue.enter(id, *peer->remote_endpoint)) {
        pursuit.enter(
            PeerState::waiting, "waits for its turn: enough attempts towards this endpoint", turn.now
        );
        return;
    }
    pursuit.enter(PeerState::connecting, pursuit.reason, turn.now);
    begin(*peer, false, turn);
}

// While there is a session that may be of no use: if it is, the new one will be there soon; if not, a
// handshake was wasted. One at a time, and not often.
void Engine::State::attempt_beside(PeerId id, Turn& turn) {
    const Peer* peer = ground.peer(id);
    if (peer == nullptr || stop_at || !peer->remote_endpoint) return;
    Pursuit& pursuit = pursuits[id];
    const bool too_soon = pursuit.beside_at && turn.now < *pursuit.beside_at + kBesidePause;
    if (live(id).size() > 1 || too_soon) return;
    if (pursuit.beside_at) pursuit.beside_again = false;
    pursuit.beside_waits = !queue.enter(id, *peer->remote_endpoint);
    if (pursuit.beside_waits) return;
    pursuit.beside_at = turn.now;
    begin(*peer, true, turn);
}

void Engine::State::begin(const Peer& peer, bool beside, Turn& turn) {
    Pursuit& pursuit = pursuits[peer.id];
    ++pursuit.attempts;
    auto session = Session::initiate(peer, {pursuit.wide, beside || pursuit.carried}, turn);
    const SessionKey key = session->key();
    sessions.emplace(key, std::move(session));
    pursuit.sessions.push_back(key);
    tidy(key);
    settle(turn);
}

// Whoever waited for this peer's place starts at the next tick.
void Engine::State::leave_queue(PeerId id, Turn& turn) {
    pursuits[id].beside_waits = false;
    if (const auto next = queue.leave(id)) attempts.set(*next, turn.now);
}

void Engine::State::plan_next(PeerId id, Duration pause, std::string why, Turn& turn) {
    const Peer& peer = *ground.peer(id);
    Pursuit& pursuit = pursuits[id];
    if (stop_at) {
        pursuit.enter(PeerState::closing, "stopping", turn.now);
        return;
    }
    if (!peer.remote_endpoint) {
        attempts.stop(id);
        pursuit.enter(
            PeerState::idle, why.empty() ? "its address is not known: it must come to us" : why, turn.now
        );
        return;
    }
    pursuit.enter(PeerState::waiting, std::move(why), turn.now);
    if (pause <= Duration(0)) {
        attempt(id, turn);
    } else {
        attempts.set(id, turn.now + pause);
    }
}

PeerView Engine::State::view(const Peer& peer) const {
    const Pursuit& pursuit = pursuits.at(peer.id);
    PeerView view{};
    view.id = peer.id;
    view.state = pursuit.state;
    view.since = pursuit.since;
    view.reason = pursuit.reason;
    view.attempts = pursuit.attempts;
    view.rekeyings = pursuit.rekeyings;
    view.remote = peer.remote_endpoint;
    const Session* shown = nullptr;
    for (const Session* session : live(peer.id)) {
        if (shown == nullptr || !shown->established() || session->has_child(pursuit.sending)) shown = session;
    }
    if (shown != nullptr) shown->describe(view);
    return view;
}

}  // namespace aronet::ike
