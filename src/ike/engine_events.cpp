#include "ike/engine_state.hpp"

#include <algorithm>
#include <functional>

namespace aronet::ike {

namespace {

constexpr Duration kGrace = 2s;      // two sessions of one peer live side by side for so long at least
constexpr Duration kMute = 10s;      // one that says nothing for so long while another does has lost
constexpr Duration kCrossing = 10s;  // an INITIAL_CONTACT may have been sent before a session this young
constexpr Duration kSecondLook = 500ms;
constexpr Duration kHintPause = 10s;
constexpr unsigned kRefusalsMax = 8;  // of attempts beside an SA that is worn
// Of one peer at a time, which may be able to prove who it is and mean harm: honest ones come to two or
// three.
constexpr std::size_t kLiveMax = 4, kLeavingMax = 8;

// docs/ike.md, duplicates: the session begun by the smaller identity wins; of two begun by one side, the
// newer; what is to be made anew never.
bool wins(const Session& a, const Session& b, const Peer& peer) {
    if (a.worn() != b.worn()) return b.worn();
    if (a.initiator() != b.initiator()) return a.initiator() == ours_wins(peer);
    return a.established_at() >= b.established_at();
}

Session* best(const std::vector<Session*>& candidates, const Peer& peer) {
    Session* winner = candidates.front();
    for (Session* session : candidates) {
        if (session != winner && wins(*session, *winner, peer)) winner = session;
    }
    return winner;
}

// Whether it has said something since there are two.
bool is_alive(const Session* session, const Pursuit& pursuit) {
    return !pursuit.doubled_at || session->heard_ike_at() >= *pursuit.doubled_at;
}

}  // namespace

bool ours_wins(const Peer& peer) { return peer.local.encode() < peer.remote.encode(); }

void Engine::State::settle(Turn& turn) {
    if (settling) return;
    settling = true;
    for (std::size_t i = 0; i < ground.events.size(); ++i) {
        SessionEvent event = std::move(ground.events[i]);  // the vector may grow underneath
        std::visit([&](auto& e) { on(e, turn); }, event);
    }
    ground.events.clear();
    settling = false;
}

// A responder's session gets its place beside the others of its peer. An attempt of ours that was under way
// is of no use: not sent again; or, where its IKE_AUTH may have made an SA, closed if that would lose. Else
// it might arrive much later and, with its INITIAL_CONTACT, end the newcomer.
void Engine::State::on(const Authenticated& event, Turn& turn) {
    const auto it = sessions.find(event.session);
    if (it == sessions.end()) return;
    const Session& newcomer = *it->second;
    if (is_outrun(newcomer)) {
        let_go(pursuits[*newcomer.peer()], event.session, turn);
        return with(event.session, turn, [&](Session& session) {
            session.close("the peer has begun another one since", turn);
        });
    }
    Pursuit& pursuit = pursuits[*newcomer.peer()];
    for (const Session* other : live(*newcomer.peer())) {
        if (other->established() || !other->initiator()) continue;
        if (!other->awaits_init() && !wins(newcomer, *other, *ground.peer(*newcomer.peer()))) continue;
        with(other->key(), turn, [&](Session& session) { session.close("the peer was faster", turn); });
    }
    if (event.initial_contact) {
        pursuit.anew = event.session;
        start_anew(newcomer, turn);
    }
    pursuit.sessions.push_back(event.session);
    keep_few(*newcomer.peer(), turn);
    attempts.stop(*newcomer.peer());
    leave_queue(*newcomer.peer(), turn);
}

// An initiator begins one after the other. What somebody on the path has held back is not to end, by its
// INITIAL_CONTACT, what the peer has made meanwhile.
bool Engine::State::is_outrun(const Session& newcomer) const {
    return std::ranges::any_of(established(*newcomer.peer()), [&](const Session* other) {
        return !other->initiator() && other->opened_at() > newcomer.opened_at();
    });
}

// INITIAL_CONTACT (RFC 7296 2.4), keyed on the pair of identities: the peer holds nothing of what we still
// have. A young session of our own making may have crossed with the message, and the peer hold it: one that
// would win against the newcomer is asked, not dropped; of another's end the peer is told.
void Engine::State::start_anew(const Session& newcomer, Turn& turn) {
    const Peer& peer = *ground.peer(*newcomer.peer());
    for (const Session* other : established(peer.id)) {
        const bool crossing = other->initiator() && turn.now < other->established_at() + kCrossing;
        if (crossing && wins(*other, newcomer, peer)) continue;
        with(other->key(), turn, [&](Session& session) {
            const std::string why = "the peer started anew";
            crossing ? session.close(why, turn) : session.forget(why, turn);
        });
    }
}

// However often a peer comes anew, what carries its traffic stays, and the newest few beside it.
void Engine::State::keep_few(PeerId id, Turn& turn) {
    std::vector<Session*> all = live(id);
    const ChildId sending = pursuits[id].sending;
    std::erase_if(all, [&](const Session* session) { return session->has_child(sending); });
    for (std::size_t i = 0; i + kLiveMax <= all.size(); ++i) {
        with(all[i]->key(), turn, [&](Session& session) { session.close("the peer has newer ones", turn); });
    }
}

// It is over, but still there.
void Engine::State::let_go(Pursuit& pursuit, SessionKey key, Turn& turn) {
    pursuit.leaving.push_back(key);
    std::erase_if(pursuit.leaving, [&](SessionKey each) { return !sessions.contains(each); });
    if (pursuit.leaving.size() <= kLeavingMax) return;
    with(pursuit.leaving.front(), turn, [&](Session& session) { session.forget("one of many", turn); });
    pursuit.leaving.erase(pursuit.leaving.begin());
}

void Engine::State::on(const Established& event, Turn& turn) {
    const auto it = sessions.find(event.session);
    if (it == sessions.end() || !it->second->established()) return;
    const PeerId id = *it->second->peer();
    Pursuit& pursuit = pursuits[id];
    pursuit.failures = 0;
    pursuit.beside_at.reset();
    pursuit.beside_again = false;
    attempts.stop(id);
    leave_queue(id, turn);
    const bool is_second = established(id).size() > 1;
    if (is_second) pursuit.doubled_at = turn.now;
    if (is_second || pursuit.carried) {
        duplicates.set(id, turn.now + kSecondLook);
        for (Session* other : established(id)) {
            with(other->key(), turn, [&](Session& session) { session.probe(turn); });
        }
    }
    choose_sender(id, turn);
}

void Engine::State::on(const ChildrenChanged& event, Turn& turn) {
    const auto it = sessions.find(event.session);
    if (it == sessions.end() || !pursuits.contains(*it->second->peer())) return;
    choose_sender(*it->second->peer(), turn);
}

void Engine::State::on(const Disowned& event, Turn& turn) {
    const auto it = sessions.find(event.session);
    if (it == sessions.end() || !it->second->established() || !it->second->peer()) return;
    const auto found = pursuits.find(*it->second->peer());
    if (found == pursuits.end()) return;
    Pursuit& pursuit = found->second;
    if (!event.for_another) return attempt_beside(found->first, turn);
    // Whoever has seen the handshake can say so, again and again.
    if (pursuit.hinted_at && turn.now < *pursuit.hinted_at + kHintPause) return;
    attempt_beside(found->first, turn);
    if (pursuit.beside_at == turn.now) pursuit.hinted_at = turn.now;
}

// Who is refused by the peer itself, and does not know where it is or is always refused there too, can only
// leave it to it. Of silence nobody knows whose it is: an SA that carries traffic is not closed for that.
void Engine::State::on(const Worn& event, Turn& turn) {
    const auto it = sessions.find(event.session);
    if (it == sessions.end() || !it->second->established()) return;
    const Peer* peer = ground.peer(*it->second->peer());
    if (peer == nullptr) return;
    const bool hopeless = !peer->remote_endpoint || pursuits[peer->id].failures > kRefusalsMax;
    if (hopeless && event.refused)
        return with(event.session, turn, [&](Session& session) { session.close(event.why, turn); });
    if (peer->remote_endpoint) attempt_beside(peer->id, turn);
}

void Engine::State::on(const Ended& event, Turn& turn) {
    if (event.rival) with(*event.rival, turn, [&](Session& rival) { rival.close(event.why, turn); });
    if (!event.peer || !pursuits.contains(*event.peer)) return;
    const PeerId id = *event.peer;
    Pursuit& pursuit = pursuits[id];
    if (std::erase(pursuit.sessions, event.session) == 0) return;
    let_go(pursuit, event.session, turn);
    const bool in_vain = event.ending == Ending::failed || event.ending == Ending::silent;
    if (in_vain) {
        ground.try_next_endpoint(id);
        turn.out.emplace_back(Unreached{id});
    }
    const bool tries = std::ranges::any_of(live(id), [](const Session* each) {
        return each->initiator() && !each->established();
    });
    if (in_vain || pursuit.sessions.empty() || (!tries && !pursuit.beside_waits)) leave_queue(id, turn);
    if (!pursuit.sessions.empty()) {
        // The peer may have been started anew a second time, in the midst of that attempt.
        if (event.ending == Ending::failed) ++pursuit.failures;
        if (in_vain && !std::exchange(pursuit.beside_again, true)) pursuit.beside_at.reset();
        return choose_sender(id, turn);
    }
    pursuit.sending = 0;
    pursuit.doubled_at.reset();
    duplicates.stop(id);
    const Peer& peer = *ground.peer(id);
    Duration pause = peer.initiate_first ? ground.random.between(50ms, 200ms) : ground.random.between(1s, 3s);
    if (event.ending == Ending::failed)
        pause = pause_after(++pursuit.failures, ground.config.retry_cap, ground.random);
    if (event.ending == Ending::silent) pause = ground.random.between(50ms, 500ms);
    pursuit.wide = event.proposal_refused;
    if (event.ending == Ending::by_peer) pause = ground.random.between(1s, 3s);
    plan_next(id, pause, event.why, turn);
}

void Engine::State::on(Born& event, Turn&) {
    const SessionKey key = event.session->key();
    sessions.emplace(key, std::move(event.session));
    tidy(key);
}

void Engine::State::on(const Succeeded& event, Turn& turn) {
    hand_over(event.session, event.heir, turn);
    if (event.ending) with(event.session, turn, [&](Session& old) { old.finish(*event.ending, turn); });
}

// RFC 7296 2.8.2: of two rekeyings at once the one with the lowest of all nonces made a session too many, and
// whoever began it deletes that; the other one deletes the old session.
void Engine::State::on(const Renewed& event, Turn& turn) {
    const auto old = sessions.find(event.session), ours = sessions.find(event.heir);
    if (old == sessions.end() || ours == sessions.end()) return;
    const auto rival = event.rival ? sessions.find(*event.rival) : sessions.end();
    const bool crossed = rival != sessions.end() && rival->second->spare();
    const bool lost = crossed && ours->second->lowest_nonce() < rival->second->lowest_nonce();
    if (lost) hand_over(event.session, *event.rival, turn);
    const bool wanted = old->second->established();
    if (wanted) hand_over(event.session, event.heir, turn);
    const SessionKey redundant = wanted ? event.session : event.heir;
    with(redundant, turn, [&](Session& session) { session.discard(turn); });
    if (wanted && crossed) with(*event.rival, turn, [&](Session& session) { session.retire(turn); });
}

// Does nothing unless the one is in use and the other still spare.
void Engine::State::hand_over(SessionKey from, SessionKey to, Turn& turn) {
    const auto old = sessions.find(from), heir = sessions.find(to);
    if (old == sessions.end() || heir == sessions.end()) return;
    if (!old->second->established() || !heir->second->spare()) return;
    heir->second->inherit(*old->second, turn);
    const PeerId id = *heir->second->peer();
    Pursuit& pursuit = pursuits[id];
    std::replace(pursuit.sessions.begin(), pursuit.sessions.end(), from, to);
    ++pursuit.rekeyings;
    tidy(from);
    tidy(to);
    let_go(pursuit, from, turn);
    choose_sender(id, turn);
}

std::vector<Session*> Engine::State::live(PeerId id) const {
    std::vector<Session*> found;
    const auto pursuit = pursuits.find(id);
    if (pursuit == pursuits.end()) return found;
    for (const SessionKey key : pursuit->second.sessions) {
        const auto it = sessions.find(key);
        if (it != sessions.end() && !it->second->over()) found.push_back(it->second.get());
    }
    return found;
}

std::vector<Session*> Engine::State::established(PeerId id) const {
    std::vector<Session*> found = live(id);
    std::erase_if(found, [](const Session* session) { return !session->established(); });
    return found;
}

// The newest session that can carry traffic; with two, the one that wins as soon as it is known to be alive.
void Engine::State::choose_sender(PeerId id, Turn& turn) {
    Pursuit& pursuit = pursuits[id];
    std::vector<Session*> able = established(id);
    std::erase_if(able, [](const Session* session) { return !session->sending_child(); });
    if (able.empty()) {
        const std::vector<Session*> all = live(id);
        if (all.empty()) return;
        pursuit.sending = 0;
        pursuit.enter(PeerState::connecting, all.back()->trouble(), turn.now);
        return;
    }
    const Session* chosen = *std::ranges::max_element(able, {}, [&](const Session* session) {
        return std::pair(is_alive(session, pursuit), session->established_at());
    });
    const Session* winner = best(able, *ground.peer(id));
    if (is_alive(winner, pursuit)) chosen = winner;
    pursuit.enter(PeerState::established, "", turn.now);
    // Who answered IKE_AUTH learns by what follows that the other side has the new SAs, too. What carries the
    // traffic goes on doing so until then, or for as long as an answer may take, which may get lost and be
    // repeated to a busy process; but for what the other side has lost.
    const bool unproven = !chosen->initiator() && !chosen->agreed();
    const bool carried = pursuit.carried || std::ranges::any_of(able, [&](const Session* each) {
                             return each != chosen && each->has_child(pursuit.sending);
                         });
    if (unproven && carried && chosen->key() != pursuit.anew && turn.now < chosen->established_at() + kMute)
        return duplicates.set(id, turn.now + kSecondLook);
    pursuit.carried = false;
    if (pursuit.sending != *chosen->sending_child()) {
        const ChildId before = std::exchange(pursuit.sending, *chosen->sending_child());
        if (!chosen->has_child(before)) with_owner(before, turn, [&](Session& left) { left.trust(turn); });
        turn.out.emplace_back(Switch{id, pursuit.sending});
    }
    // What is worn goes once both sides have the other one. A peer that prefers it sends on it until DELETE
    // comes.
    if (chosen->worn() || !chosen->agreed()) return;
    std::vector<Session*> worn = established(id);
    std::erase_if(worn, [&](const Session* each) { return !each->worn() || each == chosen; });
    with_each(worn, turn, [&](Session& each) { each.close("another has taken its place", turn); });
}

void Engine::State::resolve_duplicates(PeerId id, Turn& turn) {
    Pursuit& pursuit = pursuits[id];
    choose_sender(id, turn);
    const std::vector<Session*> all = established(id);
    if (all.size() < 2 || !pursuit.doubled_at) {
        pursuit.doubled_at.reset();
        return;
    }
    const auto is_alive = [&](const Session* each) { return ike::is_alive(each, pursuit); };
    std::vector<Session*> candidates = all;
    const auto carries = [](const Session* each) { return each->sending_child().has_value(); };
    if (std::ranges::any_of(all, carries)) std::erase_if(candidates, std::not_fn(carries));
    if (turn.now >= *pursuit.doubled_at + kMute && std::ranges::any_of(candidates, is_alive))
        std::erase_if(candidates, std::not_fn(is_alive));
    const Session* winner = best(candidates, *ground.peer(id));
    // The others may be all that the other side has, should our answer have been lost.
    const bool is_proven = winner->initiator() || winner->agreed() || turn.now >= *pursuit.doubled_at + kMute;
    if (is_alive(winner) && is_proven && turn.now >= *pursuit.doubled_at + kGrace) {
        for (Session* session : all) {
            if (session == winner) continue;
            with(session->key(), turn, [&](Session& loser) { loser.close("a duplicate", turn); });
        }
        pursuit.doubled_at.reset();
        choose_sender(id, turn);
        return;
    }
    duplicates.set(id, turn.now + kSecondLook);
}

}  // namespace aronet::ike
