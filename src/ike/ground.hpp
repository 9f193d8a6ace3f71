#pragma once

// What the sessions of one engine stand on together: configuration, randomness, the peers by identity, the
// numbers in use, and the events by which a session tells the engine what became of it. Holds values only;
// decides nothing.

#include "ike/engine.hpp"

#include <map>
#include <set>
#include <utility>

namespace aronet::ike {

using base::Bytes;
using base::ByteView;
using namespace std::chrono_literals;
using SessionKey = std::uint64_t;  // our own SPI of an IKE SA

class Session;

// What a session tells its engine.
struct Authenticated {
    SessionKey session;
    bool initial_contact;
};  // responder: the peer has proven who it is
struct Established {
    SessionKey session;
};
struct ChildrenChanged {
    SessionKey session;
};  // what can be sent on is another, or is known to be at both ends
struct Disowned {
    SessionKey session;
    bool for_another = false;  // that was passed over: so it may hold that one instead
};  // somebody, perhaps the peer, says that the peer does not know it (INVALID_IKE_SPI)
// It carries traffic, but cannot be rekeyed, or asked: it is to be made anew, before it is closed.
struct Worn {
    SessionKey session;
    std::string why;
    bool refused;  // by the peer, on the SA itself; else it is silent
};
// failed: the peer refused; silent: it did not answer the attempt; lost: it was there and does not answer any
// more.
enum class Ending : std::uint8_t { failed, silent, lost, by_us, by_peer };
// The session is of no more use; it may still wait for the answer to its DELETE.
struct Ended {
    SessionKey session;
    std::optional<PeerId> peer;
    Ending ending;
    std::string why;
    bool proposal_refused = false;
    std::optional<SessionKey> rival = std::nullopt;  // a spare session that ends with it
};
struct Born {
    std::unique_ptr<Session> session;
};  // a rekeying made a spare session
// The heir, a spare session, takes the children and the place; then the old one ends, where an ending is
// given.
struct Succeeded {
    SessionKey session, heir;
    std::optional<Ending> ending;
};
// Our rekeying made the heir, the peer's the rival meanwhile.
struct Renewed {
    SessionKey session, heir;
    std::optional<SessionKey> rival;
};
using SessionEvent = std::
    variant<Authenticated, Established, ChildrenChanged, Disowned, Worn, Ended, Born, Succeeded, Renewed>;

struct Ground {
    Ground(EngineConfig engine_config, base::Random& engine_random);

    EngineConfig config;
    SigningKey signing_key;
    base::Random& random;
    base::Drops drops;
    // NAT_DETECTION_SOURCE_IP hashes this address: the peer sees a NAT and encapsulates in UDP (docs/ike.md,
    // encap).
    Address decoy;
    std::map<PeerId, Peer> peers;
    std::map<std::pair<Identity, Identity>, PeerId> by_identity;  // (local, remote)
    std::map<Identity, std::set<PeerId>> by_remote;               // for a request without IDr
    std::size_t with_psk = 0, with_ppk = 0;                       // peers
    std::set<SessionKey> ike_spis;
    std::set<std::uint32_t> esp_spis;
    ChildId last_child = 0;
    std::map<ChildId, SessionKey> child_owner;
    std::vector<SessionEvent> events;

    const Peer* peer(PeerId id) const;
    const Peer* find(const std::optional<Identity>& local, const Identity& remote) const;
    void add(const Peer& peer);
    void try_next_endpoint(PeerId id);  // of those where the peer may be
    void remove(PeerId id);
    SessionKey new_ike_spi();
    std::uint32_t new_esp_spi();  // at least 256 (RFC 4303 2.1), unlike all others
};

// One call into the engine: what time it is and where actions go.
struct Turn {
    Ground& ground;
    Instant now;
    Actions& out;

    void note(base::Level level, std::string text) { out.emplace_back(base::Note{level, std::move(text)}); }
    // Counts something refused; at most one line per reason and minute.
    void drop(std::string_view reason, const Endpoint& from, std::string_view who = {});
};

}  // namespace aronet::ike
