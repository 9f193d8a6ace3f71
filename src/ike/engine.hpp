#pragma once

// All IKEv2 (RFC 7296) of one node: many peers, many IKE SAs, one private key. Datagrams and the caller's
// wishes go in, datagrams and security associations come out. Knows no socket, no kernel, no clock.
//
// A peer here is one pair of endpoints (a node may have several). The engine keeps one IKE SA with one
// CHILD SA for each, initiates by rule (docs/ike.md: duplicates), repeats for ever with back-off, and
// answers.

#include "base/log.hpp"
#include "base/random.hpp"
#include "base/sa.hpp"
#include "base/time.hpp"
#include "ike/credentials.hpp"
#include "ike/crypto.hpp"
#include "ike/identity.hpp"
#include "ike/payload.hpp"

#include <array>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace aronet::ike {

using base::Address;
using base::Duration;
using base::Endpoint;
using base::Instant;

using PeerId = std::uint32_t;   // the caller's number for a pair of endpoints
using ChildId = std::uint64_t;  // the engine's number for one CHILD SA, never reused

struct EngineConfig {
    base::Secret private_key;                          // Ed25519 seed, 32 bytes
    Duration dpd_interval = std::chrono::seconds(10);  // probe when nothing came in for so long; 0: never
    Duration keepalive_interval = std::chrono::seconds(20);  // RFC 3948, only when we are behind NAT
    std::size_t half_open_max = 1024;
    std::size_t cookie_threshold = 64;            // half-open SAs from which on cookies are asked for
    std::size_t cookie_threshold_per_source = 8;  // the same for one /32 or /56
    std::size_t half_open_max_per_source = 64;    // with cookies, so that nobody takes all places
    std::size_t concurrent_per_endpoint = 3;  // attempts towards one endpoint (strongSwan drops the fifth)
    Duration retry_cap = std::chrono::seconds(30);  // longest pause after attempts that the peer refused
    Duration child_lifetime{};  // a CHILD SA is rekeyed in the last tenth of it; 0: only when rekey() asks
    std::uint64_t child_bytes = 0, child_packets = 0;  // or when one of its SAs carried so much; 0: no limit
    Duration ike_lifetime = std::chrono::hours(4);     // the same for the IKE SA; 0: only when renew() asks
    std::uint32_t ike_requests = 1u << 31;  // or after so many requests of ours: IDs are not unlimited
    // Of IP datagrams: messages that make larger ones go in fragments where the peer can. At least 256.
    std::size_t fragment_size = 1280;
    bool has_shared_link = false;  // for the peers that may have it, see ChildUp
    bool tells_keys = false;       // KeysMade for every IKE SA: to see through it, never in earnest
};

// What the CHILD SA with a peer is to be.
struct ChildTerms {
    base::SaMode mode = base::SaMode::tunnel;    // this and no other
    std::vector<TrafficSelector> local, remote;  // up to 64 each; empty: everything, both families
    bool narrower = false;                       // parts of a selector will do, not only whole ones
    Esn esn = Esn::no;
    std::uint32_t replay_window = 128;  // packets
    bool operator==(const ChildTerms&) const = default;
};

struct Peer {
    PeerId id = 0;
    Identity local, remote;
    std::vector<PublicKey> remote_keys;  // any of them authenticates (roll-over)
    SharedSecret psk;                    // not empty: both sides authenticate by it and by no key
    std::optional<Ppk> ppk;
    std::uint16_t local_port = 12025;
    std::optional<Address> local_address;  // nullopt: whatever the route gives
    base::Family family = base::Family::v4;
    std::optional<Endpoint> remote_endpoint;  // nullopt: the peer must come to us
    std::vector<Endpoint> other_endpoints;    // it may be there as well: tried in turn
    bool initiate_first = true;  // false: leaves the other side, which must be able to come, time to begin
    bool only_we_initiate =
        false;  // the other side knows no address of ours: what it forgets only we can mend
    std::uint32_t if_id = 0, reqid = 0;
    std::optional<std::uint32_t> mark;
    bool may_share_link = false;
    ChildTerms child;
    bool operator==(const Peer&) const = default;
};

struct Datagram {
    base::ByteView bytes;  // UDP payload, with its non-ESP marker where there is one; ESP is not for us
    Endpoint from, to;     // `to`: the local address and port it arrived at
};

struct Send {
    Endpoint from, to;
    base::Bytes bytes;
};  // from.address may be any(): the route decides
// Install both SAs, inbound first, then report installed() or refused(). A responder's answer waits for that.
struct ChildUp {
    PeerId peer;
    ChildId child;
    base::Sa in, out;
    bool replaces = false;
    std::vector<TrafficSelector> local, remote;  // what both sides agreed on (RFC 7296 2.9)
    bool shares_link = false;  // both said in IKE_AUTH that it goes over one link with those of other peers
};
// A responder's Switch follows installed(); with `replaces` it may come much later.
struct Switch {
    PeerId peer;
    ChildId child;
};  // from now on send on this child's outbound SA
struct ChildDown {
    PeerId peer;
    ChildId child;
    base::SaId in, out;
    Address in_source;
};  // remove both SAs
// Both SAs of this child run between other endpoints from now on, with the keys and sequence numbers they
// have: a verified message or mapping() said where the peer is, or we are.
struct ChildMoved {
    PeerId peer;
    ChildId child;
    Endpoint local, remote;
};
// Nothing has come in over IKE for a while: whether ESP has is to be told by traffic_seen(), or the peer is
// probed.
struct Silence {
    PeerId peer;
};
// What suspect() found: `suspected` at once; `none` when the peer is dead for routing, after eight unanswered
// questions and at least 2 s or four round trips; `full` with its next sign of life. Its SAs stay meanwhile.
enum class Trust : std::uint8_t { full, suspected, none };
struct Doubted {
    PeerId peer;
    Trust trust;
};
// What decrypts the messages of an IKE SA; only where the configuration wants it told.
struct KeysMade {
    std::uint64_t spi_i, spi_r;
    IkeCipherSuite suite;
    base::Secret ei, er, ai, ar;
};
// An attempt came to nothing: the peer may be elsewhere.
struct Unreached {
    PeerId peer;
};
using Action = std::
    variant<Send, ChildUp, Switch, ChildDown, ChildMoved, Silence, Doubted, KeysMade, Unreached, base::Note>;
using Actions = std::vector<Action>;

enum class PeerState : std::uint8_t { idle, waiting, connecting, established, closing };
struct PeerView {
    PeerId id;
    PeerState state;
    Instant since;
    std::string reason;  // why it is not established, or ""
    std::optional<Endpoint> local, remote;
    std::uint64_t spi_i, spi_r;
    bool initiator;
    std::string ike_suite, esp_suite;
    std::uint32_t spi_in, spi_out;
    bool behind_nat, peer_behind_nat;
    std::uint64_t attempts;
    std::uint64_t rekeyings;  // of the IKE SA, by either side
};

class Engine {
public:
    Engine(EngineConfig config, base::Random& random);  // `random` outlives the engine
    ~Engine();

    // Other times and limits, with the same private key: intervals and the size of fragments at once,
    // lifetimes of SAs from their next keys on.
    void configure(EngineConfig config);
    void connect(const Peer& peer, Instant now, Actions& out);  // adds or updates; an SA that fits stays
    void drop(PeerId id, Instant now, Actions& out);            // DELETE, then forgets the peer
    // SAs that an earlier process made still carry the peer's traffic, ours with this SPI: what is made
    // beside them does not say that we hold nothing (INITIAL_CONTACT). Until they are released.
    void carried(PeerId id, std::uint32_t spi_in);
    void released(PeerId id, std::uint32_t spi_in);
    // Where the peer may be, best first; what is being tried goes on while it is among them.
    void resolved(PeerId id, const std::vector<Endpoint>& remote, Instant now, Actions& out);
    void installed(ChildId child, Instant now, Actions& out);
    void refused(ChildId child, Instant now, Actions& out);  // the kernel would not: the exchange fails
    void rekey(ChildId child, Instant now, Actions& out);    // its bytes, packets or numbers run out
    void renew(PeerId id, Instant now, Actions& out);        // rekeys its IKE SA, with all children
    void mapping(
        PeerId id, const Endpoint& remote, Instant now, Actions& out
    );  // authentic ESP came from there
    // Our own address may be another, or has gone: the peer is asked at once, from where the route leads.
    void roam(PeerId id, Instant now, Actions& out);
    void traffic_seen(PeerId id, Instant at);  // authentic ESP came in then: puts the probe off
    // Traffic goes out, and nothing has come back for a while.
    void suspect(PeerId id, Instant now, Actions& out);
    void stop(Instant now, Actions& out);  // DELETE for every SA, then stopped()

    void handle(const Datagram& datagram, Instant now, Actions& out);
    void tick(Instant now, Actions& out);
    std::optional<base::Deadline> deadline() const;
    bool stopped() const;

    std::vector<PeerView> peers() const;
    std::size_t sessions() const;  // IKE SAs that are held, half-open ones and those on their way out too
    const base::Drops& drops() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace aronet::ike
