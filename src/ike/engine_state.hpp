#pragma once

// The inside of Engine: sessions by SPI, pursuits by peer, and the three clocks that wake them. Split over
// engine.cpp (the door), engine_datagrams.cpp, engine_peers.cpp (who initiates, when, again) and
// engine_events.cpp (what sessions report, duplicates).

#include "base/timers.hpp"
#include "ike/admission.hpp"
#include "ike/pursuit.hpp"
#include "ike/session.hpp"

namespace aronet::ike {

// Whether of two sessions, one begun by each side, ours stays.
bool ours_wins(const Peer& peer);

struct Engine::State {
    State(EngineConfig config, base::Random& random);

    // Datagrams.
    void handle(const Datagram& datagram, Turn& turn);
    void open(const RawMessage& raw, const Datagram& datagram, Turn& turn);
    bool crosses_ours(const Datagram& datagram, const Turn& turn) const;
    void answer_stranger(const RawMessage& raw, const Datagram& datagram, Turn& turn);
    void answer_version(const Datagram& datagram, ByteView bytes, Turn& turn);

    // Peers.
    void connect(Peer peer, Turn& turn);
    void drop(PeerId id, Turn& turn);
    void close_sessions(PeerId id, const std::string& why, Turn& turn);
    void attempt(PeerId id, Turn& turn);
    void attempt_beside(PeerId id, Turn& turn);
    void begin(const Peer& peer, bool beside, Turn& turn);
    void leave_queue(PeerId id, Turn& turn);
    void plan_next(PeerId id, Duration pause, std::string why, Turn& turn);
    PeerView view(const Peer& peer) const;

    // Events and duplicates.
    void settle(Turn& turn);
    void on(const Authenticated& event, Turn& turn);
    void on(const Established& event, Turn& turn);
    void on(const ChildrenChanged& event, Turn& turn);
    void on(const Disowned& event, Turn& turn);
    void on(const Worn& event, Turn& turn);
    void on(const Ended& event, Turn& turn);
    void on(Born& event, Turn& turn);
    void on(const Succeeded& event, Turn& turn);
    void on(const Renewed& event, Turn& turn);
    void hand_over(SessionKey from, SessionKey to, Turn& turn);
    bool is_outrun(const Session& newcomer) const;
    void start_anew(const Session& newcomer, Turn& turn);
    void keep_few(PeerId id, Turn& turn);
    void let_go(Pursuit& pursuit, SessionKey key, Turn& turn);
    // Neither over nor on their way out; oldest first. None where there is no such peer.
    std::vector<Session*> live(PeerId id) const;
    std::vector<Session*> established(PeerId id) const;
    void choose_sender(PeerId id, Turn& turn);
    void resolve_duplicates(PeerId id, Turn& turn);

    // Calls `use` on a session, then arms its timer again, forgets it if it is over, and hears what it
    // reports.
    template <class Use>
    void with(SessionKey key, Turn& turn, Use use) {
        const auto it = sessions.find(key);
        if (it == sessions.end()) return;
        use(*it->second);
        tidy(key);
        settle(turn);
    }
    // The same for each of these.
    template <class Use>
    void with_each(const std::vector<Session*>& those, Turn& turn, Use use) {
        std::vector<SessionKey> keys;
        for (const Session* session : those) keys.push_back(session->key());
        for (const SessionKey key : keys) with(key, turn, use);
    }
    template <class Use>
    void with_owner(ChildId child, Turn& turn, Use use) {
        const auto owner = ground.child_owner.find(child);
        if (owner != ground.child_owner.end()) with(owner->second, turn, use);
    }
    void tidy(SessionKey key);
    void tick(Turn& turn);
    std::optional<base::Deadline> deadline() const;

    Ground ground;
    std::map<SessionKey, std::unique_ptr<Session>> sessions;
    std::map<PeerId, Pursuit> pursuits;
    Queue queue;
    Admission admission;
    base::Timers<SessionKey> session_timers;
    base::Timers<PeerId> attempts;    // the next IKE_SA_INIT towards a peer
    base::Timers<PeerId> duplicates;  // look again at two sessions of one peer
    std::optional<Instant> stop_at;   // stopping; the answers are waited for until then
    bool settling = false;
    struct {
        Instant since{};
        unsigned said = 0;
    } hints;  // INVALID_IKE_SPI, in this second
};

}  // namespace aronet::ike
