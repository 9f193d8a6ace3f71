#include "ike/engine_state.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr Duration kFarewell = 2s;  // how long stop() waits for answers to its DELETEs

}  // namespace

Engine::Engine(EngineConfig config, base::Random& random)
    : state_(std::make_unique<State>(std::move(config), random)) {}

Engine::~Engine() = default;

Engine::State::State(EngineConfig config, base::Random& random)
    : ground(std::move(config), random), queue(ground.config.concurrent_per_endpoint) {}

void Engine::configure(EngineConfig config) {
    config.private_key = std::move(state_->ground.config.private_key);
    state_->ground.config = std::move(config);
    for (const auto& [key, session] : state_->sessions) {
        session->configure(state_->ground.config);
        state_->session_timers.stop(key);
        if (const auto at = session->deadline()) state_->session_timers.set(key, *at);
    }
}

void Engine::connect(const Peer& peer, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->connect(peer, turn);
}

void Engine::drop(PeerId id, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->drop(id, turn);
}

void Engine::resolved(PeerId id, const std::vector<Endpoint>& remote, Instant now, Actions& out) {
    const Peer* peer = state_->ground.peer(id);
    if (peer == nullptr || remote.empty()) return;
    Peer changed = *peer;
    changed.other_endpoints = remote;
    const bool holds =
        peer->remote_endpoint && std::erase(changed.other_endpoints, *peer->remote_endpoint) > 0;
    if (!holds) {
        changed.remote_endpoint = remote.front();
        std::erase(changed.other_endpoints, remote.front());
    }
    // Name servers give the same addresses in another order each time.
    if (holds && std::is_permutation(
                     changed.other_endpoints.begin(),
                     changed.other_endpoints.end(),
                     peer->other_endpoints.begin(),
                     peer->other_endpoints.end()
                 ))
        return;
    connect(changed, now, out);
}

void Engine::installed(ChildId child, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_owner(child, turn, [&](Session& session) { session.installed(child, turn); });
}

void Engine::refused(ChildId child, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_owner(child, turn, [&](Session& session) { session.refused(child, turn); });
}

void Engine::rekey(ChildId child, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_owner(child, turn, [&](Session& session) { session.rekey(child, turn); });
}

void Engine::carried(PeerId id, std::uint32_t spi_in) {
    state_->pursuits[id].carried = true;
    state_->ground.esp_spis.insert(spi_in);
}

void Engine::released(PeerId id, std::uint32_t spi_in) {
    state_->ground.esp_spis.erase(spi_in);
    const auto pursuit = state_->pursuits.find(id);
    if (pursuit != state_->pursuits.end()) pursuit->second.carried = false;
}

void Engine::renew(PeerId id, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_each(state_->established(id), turn, [&](Session& each) { each.renew(turn); });
}

void Engine::mapping(PeerId id, const Endpoint& remote, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_each(state_->established(id), turn, [&](Session& each) { each.follow(remote, turn); });
}

void Engine::roam(PeerId id, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->with_each(state_->live(id), turn, [&](Session& each) { each.roam(turn); });
}

void Engine::traffic_seen(PeerId id, Instant at) {
    for (Session* session : state_->live(id)) {
        session->heard_esp(at);
        state_->tidy(session->key());
    }
}

void Engine::suspect(PeerId id, Instant now, Actions& out) {
    const auto pursuit = state_->pursuits.find(id);
    if (pursuit == state_->pursuits.end()) return;
    Turn turn{state_->ground, now, out};
    state_->with_owner(pursuit->second.sending, turn, [&](Session& session) { session.suspect(turn); });
}

void Engine::stop(Instant now, Actions& out) {
    if (state_->stop_at) return;
    Turn turn{state_->ground, now, out};
    state_->stop_at = now + kFarewell;
    std::vector<SessionKey> keys;
    for (const auto& [key, session] : state_->sessions) keys.push_back(key);
    for (const SessionKey key : keys) {
        state_->with(key, turn, [&](Session& session) { session.close("stopping", turn); });
    }
}

void Engine::handle(const Datagram& datagram, Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->handle(datagram, turn);
}

void Engine::tick(Instant now, Actions& out) {
    Turn turn{state_->ground, now, out};
    state_->tick(turn);
}

std::optional<base::Deadline> Engine::deadline() const { return state_->deadline(); }

bool Engine::stopped() const {
    if (!state_->stop_at) return false;
    for (const auto& [key, session] : state_->sessions) {
        if (session->closing()) return false;
    }
    return true;
}

std::vector<PeerView> Engine::peers() const {
    std::vector<PeerView> views;
    views.reserve(state_->ground.peers.size());
    for (const auto& [id, peer] : state_->ground.peers) views.push_back(state_->view(peer));
    return views;
}

std::size_t Engine::sessions() const { return state_->sessions.size(); }

const base::Drops& Engine::drops() const { return state_->ground.drops; }

void Engine::State::tick(Turn& turn) {
    while (const auto key = session_timers.expired(turn.now)) {
        with(*key, turn, [&](Session& session) { session.tick(turn); });
    }
    while (const auto id = duplicates.expired(turn.now)) resolve_duplicates(*id, turn);
    while (const auto id = attempts.expired(turn.now)) attempt(*id, turn);
    if (!stop_at || turn.now < *stop_at) return;
    std::vector<SessionKey> keys;
    for (const auto& [key, session] : sessions) keys.push_back(key);
    for (const SessionKey key : keys) {
        with(key, turn, [&](Session& session) { session.forget("stopped", turn); });
    }
}

std::optional<base::Deadline> Engine::State::deadline() const {
    std::optional<base::Deadline> first;
    const auto consider = [&](std::optional<Instant> at, const char* why) {
        if (at && (!first || *at < first->at)) first = base::Deadline{*at, why};
    };
    consider(session_timers.next(), "IKE session");
    consider(duplicates.next(), "IKE duplicate");
    consider(attempts.next(), "IKE attempt");
    if (stop_at && !sessions.empty()) consider(stop_at, "IKE farewell");
    return first;
}

void Engine::State::tidy(SessionKey key) {
    const auto it = sessions.find(key);
    if (it == sessions.end()) return;
    if (it->second->closed()) {
        session_timers.stop(key);
        admission.ended(key);
        ground.ike_spis.erase(key);
        sessions.erase(it);
        return;
    }
    if (it->second->peer()) admission.authenticated(key);
    if (const auto at = it->second->deadline()) {
        session_timers.set(key, *at);
    } else {
        session_timers.stop(key);
    }
}

}  // namespace aronet::ike
