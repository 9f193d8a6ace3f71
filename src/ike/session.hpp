#pragma once

// One IKE SA and its children as explicit states. Knows its own peer and no other session; what concerns
// several sessions (duplicates, attempts, who sends) it reports as events. State is written only after a
// message verified: whatever an outsider sends costs at most one check of its integrity.

#include "ike/child.hpp"
#include "ike/exchange.hpp"
#include "ike/fragments.hpp"
#include "ike/keys.hpp"

namespace aronet::ike {

enum class SessionState : std::uint8_t {
    init_sent,      // initiator: IKE_SA_INIT is out
    auth_sent,      // initiator: IKE_AUTH is out
    half_open,      // responder: IKE_SA_INIT is answered
    authenticated,  // responder: IKE_AUTH verified; its answer waits for the child
    spare,          // made by a rekeying: has keys, and no children until it takes over
    established,
    superseded,  // rekeyed, or made by a rekeying too many; the peer's DELETE is awaited
    closing,     // our DELETE is out, or waits for the request before it
    lingering,   // over; repetitions of the last request still get their answer
    closed,
};

// What one answer to our IKE_SA_INIT brought. Anybody may have sent it, so there may be several until
// IKE_AUTH tells which is the peer's (RFC 7296 2.4).
struct InitAnswer {
    std::uint64_t spi_r = 0;
    Endpoint local;
    IkeCipherSuite suite;
    std::optional<IkeKeys> keys;
    bool ppk = false;
    Bytes nonce, message;
    bool peer_signs = false, ppk_agreed = false;
    std::optional<PpkKeys> ppk_keys;
    bool behind_nat = false, peer_behind_nat = false, fragmentation = false;
    Fragments fragments;  // of the answer to IKE_AUTH
};

// What lives from IKE_SA_INIT to the end of IKE_AUTH.
struct Handshake {
    KeyPair ke;
    Bytes peer_ke;
    Nonces nonces;
    bool peer_signs = false;            // with Ed25519, as far as it announced
    bool ppk_agreed = false;            // both sides sent USE_PPK (RFC 8784 3)
    std::optional<PpkKeys> ppk_keys;    // initiator: taken if the peer takes the PPK
    Bytes init_request, init_response;  // as on the wire, without marker: AUTH covers them (RFC 7296 2.15)
    SaPayload ike_offer, esp_offer;
    std::uint32_t esp_spi = 0;
    Bytes cookie;
    unsigned rounds = 0;    // COOKIE and INVALID_KE_PAYLOAD answers followed so far
    std::string hint;       // an unauthenticated error: believed only when nothing better comes
    bool beside = false;    // there is a session with the peer already, or about to be
    bool disowned = false;  // IKE_AUTH was answered with INVALID_IKE_SPI, by whomever
    bool proposal_refused = false;
    unsigned answers = 0;            // that were followed
    std::vector<InitAnswer> others;  // beside the one in use
    bool offers_link = false;        // ChildUp::shares_link, as we said it
    bool contradicted = false;       // there were more answers than can be followed: no time is lost on it
};

// A verified IKE_SA_INIT request that is to be answered with an SPI.
struct Opening {
    const RawMessage& raw;
    const Message& message;
    const IkeChoice& choice;
    Endpoint local, remote;
};

struct Offer;

class Session {
public:
    struct Attempt {
        bool wide = false;    // also offers ECP-256
        bool beside = false;  // a session with the peer, which may be of no use, stays until it is known
    };
    static std::unique_ptr<Session> initiate(const Peer& peer, Attempt attempt, Turn& turn);
    static std::unique_ptr<Session> respond(const Opening& opening, Turn& turn);

    void handle(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn);
    void tick(Turn& turn);
    std::optional<Instant> deadline() const;

    void installed(ChildId child, Turn& turn);
    void refused(ChildId child, Turn& turn);
    void rekey(ChildId child, Turn& turn);
    void change_terms(Turn& turn);  // children of the peer's present terms take the place of all
    void renew(Turn& turn);         // rekeys the IKE SA as soon as that is possible
    void close(const std::string& why, Turn& turn);   // with DELETE where the peer knows the SA
    void forget(const std::string& why, Turn& turn);  // without
    void configure(const EngineConfig& config);       // its intervals
    void probe(Turn& turn);                           // a liveness request as soon as the window allows
    void follow(const Endpoint& remote, Turn& turn);  // authentic ESP came from there
    void roam(Turn& turn);                            // our endpoint may be another
    void heard_esp(Instant at);
    void suspect(Turn& turn);      // traffic to the peer goes unanswered: it is asked at once, and quickly
    void trust(const Turn& turn);  // it carries no traffic any more: no suspicion is told
    const Bytes* init_response() const;  // as we said it; nullptr where no repetition is answered any more
    // What the engine makes of a rekeying. A spare session takes the children and all that waits; the old one
    // then awaits the peer's DELETE.
    void inherit(Session& old, Turn& turn);
    void retire(const Turn& turn);           // no children, not to be used: the peer deletes it
    void discard(Turn& turn);                // the same, and we delete it
    void finish(Ending ending, Turn& turn);  // lost, or deleted by the peer
    const Bytes& lowest_nonce() const;       // of the exchange that made this spare session

    SessionKey key() const { return initiator_ ? spi_i_ : spi_r_; }
    std::optional<PeerId> peer() const { return peer_; }
    bool initiator() const { return initiator_; }
    bool awaits_init() const { return state_ == SessionState::init_sent; }
    // An attempt of ours that is young enough to be under way still, to the peer or from it.
    bool under_way(Instant now) const;
    void met_half_way();  // the peer may be calling, too: INITIAL_CONTACT would not be true
    bool half_open() const { return state_ == SessionState::half_open; }
    bool spare() const { return state_ == SessionState::spare; }
    bool established() const { return state_ == SessionState::established; }
    bool closing() const { return state_ == SessionState::closing; }
    bool over() const { return state_ >= SessionState::superseded; }
    bool closed() const { return state_ == SessionState::closed; }
    Instant opened_at() const { return opened_at_; }  // of the first SA of its line, where rekeyed
    Instant established_at() const { return established_at_; }
    Instant heard_ike_at() const { return heard_ike_at_; }
    // The peer has shown that it has the SAs, and knows that we have them: by an answer to what was asked
    // after IKE_AUTH; or, where it is the initiator, and hence had them later than we, by asking something.
    bool agreed() const { return agreed_; }
    // With which the peer authenticated; none before, or when it did by a shared secret.
    std::optional<PublicKey> proven_key() const { return proven_key_; }
    std::optional<ChildId> sending_child() const;
    bool has_child(ChildId id) const;
    bool worn() const { return worn_; }  // another is to take its place
    const std::string& trouble() const { return trouble_; }
    void describe(PeerView& view) const;

private:
    Session() = default;

    // session.cpp: messages in and out.
    void receive_request(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn);
    void receive_response(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn);
    base::Result<Message, Drop> unprotect(const RawMessage& raw, const Turn& turn);
    void on_request(const Message& message, Turn& turn);
    void on_response(const Message& message, Turn& turn);
    Datagrams protect(ExchangeType exchange, bool response, const std::vector<Payload>& payloads, Turn& turn);
    std::size_t message_size_max(const Turn& turn) const;
    void send(const Datagrams& datagrams, const Endpoint& to, Turn& turn);
    void send_plain(const Bytes& message, const Endpoint& to, Turn& turn) const;
    void answer_again(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn) const;
    void answer(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn);
    void answer_error(const Message& request, std::uint16_t type, Bytes data, Turn& turn);

    // What our request in flight is about.
    enum class Asked : std::uint8_t {
        nothing,
        init,
        auth,
        liveness,
        child,
        renewal,
        delete_children,
        delete_session
    };
    void ask(Asked what, ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn);
    bool keeps_quiet() const;
    void next_wish(Turn& turn);
    void on_silence(Turn& turn);
    void end(Ending ending, const std::string& why, Turn& turn);
    void abandon(const std::string& why, Turn& turn);
    void end_after_answer(const std::string& why, Turn& turn);
    std::string name(const Turn& turn) const;
    void tick_established(Turn& turn);
    Instant probe_at() const;
    Duration look_interval() const;
    std::optional<Instant> doubt_at() const;
    void doubt(Turn& turn);

    // session_moving.cpp: where the two ends are.
    void heard(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn);
    void weigh_claim(const Endpoint& from, const Turn& turn);
    void say_request(Turn& turn);
    bool may_be_at(const Endpoint& remote, const Turn& turn) const;
    void move(const Endpoint& local, const Endpoint& remote, Turn& turn);
    bool is_pinned(const Turn& turn) const;
    Endpoint source() const;
    void repeat(Turn& turn);
    bool is_disowned(const RawMessage& raw) const;
    void disowned(Turn& turn);

    // session_suspicion.cpp: a peer that does not answer traffic.
    void weigh_suspicion(Turn& turn);
    void acquit_if_heard(Turn& turn);
    void measure_path(const Turn& turn);

    // session_init.cpp: IKE_SA_INIT.
    void send_init(Turn& turn);
    void on_init_response(const RawMessage& raw, const Endpoint& from, const Endpoint& to, Turn& turn);
    bool follow_init_advice(const Message& message, Turn& turn);
    void take_hint(std::string hint, Turn& turn);
    struct Agreed {
        bool ed25519, ppk;
    };
    std::optional<Agreed> agree_on_proof(const Message& message, const Endpoint& from, Turn& turn);
    void detect_nat(const Message& message, const Endpoint& from, const Endpoint& to);
    void derive_keys(Turn& turn);
    void tell_keys(Turn& turn) const;

    // session_answers.cpp: several answers to one IKE_SA_INIT.
    bool follows(const RawMessage& raw) const;
    bool has_room();
    void make_room();
    void exchange_answer(InitAnswer& other);
    void ask_also(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn);
    void ask_others(ExchangeType exchange, const std::vector<Payload>& payloads, Turn& turn);
    bool opens(const RawMessage& raw) const;
    void choose_answer(const RawMessage& raw);
    bool take_twin();
    void answer_failed(Ending ending, const std::string& why, Turn& turn);
    bool tires_of_answers(Turn& turn);

    // session_auth.cpp: IKE_AUTH.
    void send_auth(Turn& turn);
    void on_auth_request(const Message& message, Turn& turn);
    const Peer* authenticate(const Message& message, Turn& turn);
    Bytes octets_of(bool initiator, const Secret& sk_p, ByteView id) const;
    AuthPayload prove(const Peer& peer, const Secret& sk_p, ByteView id, const Turn& turn) const;
    bool proves(const Peer& peer, const AuthPayload& auth, ByteView id);
    std::optional<AuthPayload> settle_ppk(const Message& message, const Peer& peer);
    void take(PpkKeys keys);
    void answer_auth(const Message& message, const Peer& peer, Turn& turn);
    void on_auth_response(const Message& message, Turn& turn);
    bool verify_responder(const Message& message, const Peer& peer);
    void become_established(Turn& turn);

    // session_child.cpp: CREATE_CHILD_SA and DELETE.
    struct Accepted;
    void agree(const Message& message, const Offer& offer, ChildId replaced, Turn& turn);
    ChildId raise_child(const Accepted& accepted, Turn& turn);
    void on_create_child(const Message& message, Turn& turn);
    void on_children_deleted(Turn& turn);
    void on_informational(const Message& message, Turn& turn);
    std::vector<std::uint32_t> delete_children(const DeletePayload& payload, Turn& turn);
    void send_on_what_stands_by(Turn& turn);
    static void send_on(Child& heir);
    void take_down(ChildId id, Turn& turn);
    void take_down_all(Turn& turn);
    void restore(ChildId id);
    void delete_child_later(Child& child);
    void let_die(Child& child, const Turn& turn);
    void no_child(const Message& answer, std::uint32_t spi, Turn& turn);
    void child_failed(std::string why, Turn& turn);
    void plan_child(Turn& turn);
    bool has_live_child() const;
    Child* find_child(ChildId id);
    void tick_children(Turn& turn);

    // session_child_asked.cpp: children that we ask for.
    void ask_for_child(Child* old, Turn& turn);
    void on_child_response(const Message& message, Turn& turn);
    bool tired(const Child& child) const;
    Child* child_to_rekey(Instant now);
    bool redundant(ChildId replaced, const Bytes& lowest_nonce) const;
    void rekey_failed(ChildId old, const Message& answer, Turn& turn);
    struct Wanted;
    void try_another_group(const Wanted& refused, const Message& answer, const Turn& turn);

    // session_rekey.cpp: the IKE SA itself.
    void on_rekey_session(const Message& message, Turn& turn);
    void plan_renewal(Turn& turn);
    bool settled() const;
    std::optional<Instant> renewal_due() const;
    void ask_for_renewal(Turn& turn);
    void on_renewal_response(const Message& message, Turn& turn);
    void renewal_failed(Turn& turn);
    void give_way(Ending ending, Turn& turn);
    void wear_out(const std::string& why, bool refused, Turn& turn);
    void forget_renewal(Turn& turn);
    std::unique_ptr<Session> make_spare(
        bool by_us, std::uint64_t spi_i, std::uint64_t spi_r, const Turn& turn
    ) const;
    void take_keys(
        const Session& old, const IkeCipherSuite& suite, const Nonces& nonces, const Secret& dh, Turn& turn
    );
    bool comes_early(const Message& message, Turn& turn);

    SessionState state_ = SessionState::closed;
    bool initiator_ = false;
    std::uint64_t spi_i_ = 0, spi_r_ = 0;
    std::optional<PeerId> peer_;
    Endpoint local_, remote_;
    bool marked_ = true;               // messages go behind the non-ESP marker, as the peer's do
    bool confirmed_ = false;           // the peer has said something on it: it had it once
    bool adrift_ = false;              // local_ may be no more: the route decides where messages come from
    std::optional<Instant> moved_at_;  // the peer was elsewhere before
    struct Claim {
        Endpoint at;
        Instant since;
        bool asked_again = false;
    };
    std::optional<Claim> claim_;  // a packet came from there: asked, not believed
    IkeCipherSuite suite_;
    std::optional<IkeKeys> keys_;
    std::uint64_t next_iv_ = 0;
    std::unique_ptr<Handshake> handshake_;
    std::optional<PublicKey> proven_key_;
    // Of answers to our IKE_SA_INIT beside the one that was first to prove itself. Whoever speaks on them
    // holds those SAs, perhaps in place of this one.
    std::vector<std::uint64_t> passed_over_;
    bool ppk_ = false;          // SK_d has a postquantum preshared key in it
    bool shares_link_ = false;  // both sides want it

    Requester requester_;
    Asked asked_ = Asked::nothing;
    ExchangeType asked_exchange_ = ExchangeType::ike_sa_init;
    unsigned extensions_ = 0;  // of the request in flight, because ESP kept coming
    bool worn_ = false;
    DhGroup child_group_ = DhGroup::curve25519;  // of the next child's own key exchange
    Responder responder_;
    Fragments request_fragments_, response_fragments_;
    Fingerprint first_fragment_{},
        request_print_{};                     // of the request being reassembled; of the one just received
    bool fragmentation_ = false;              // the peer can (RFC 7383 2.3)
    std::optional<Instant> fragments_until_;  // what is not whole by then never will be

    // The answer to a request that waits for its child: as it is with it, and without.
    struct Owed {
        ExchangeType exchange;
        ChildId child;
        std::vector<Payload> with, without;
    };
    std::optional<Owed> owed_;
    // The child that our CREATE_CHILD_SA request asks for.
    struct Wanted {
        std::uint32_t spi;
        Bytes nonce;
        SaPayload offer;
        KeyPair ke;  // of a rekeying
        ChildId replaces;
        std::vector<std::uint32_t> gone = {};  // SPIs the peer deleted before its answer told us of them
    };
    std::optional<Wanted> wanted_;
    std::vector<Child> children_;           // oldest first
    std::vector<std::uint32_t> to_delete_;  // our SPIs of children whose DELETE is still to be sent
    std::optional<Instant> child_due_;      // ask for a child again
    bool terms_changed_ = false;            // since what is on its way was offered
    unsigned child_failures_ = 0;
    bool probe_wanted_ = false;

    // Our rekeying of this SA that is under way.
    struct Renewal {
        std::uint64_t spi;
        Bytes nonce;
        SaPayload offer;
        KeyPair ke;
        std::optional<SessionKey> rival;  // what the peer's rekeying made meanwhile
    };
    std::unique_ptr<Renewal> renewal_;
    // What a spare session knows of where it comes from.
    struct Origin {
        SessionKey precursor = 0;
        Bytes lowest_nonce;
        std::optional<Message> early;  // a request that came before the children
    };
    std::unique_ptr<Origin> origin_;
    std::optional<Instant> renew_at_;
    unsigned renewal_failures_ = 0;

    Instant opened_at_{}, asked_at_{}, established_at_{}, heard_ike_at_{}, heard_at_{}, sent_at_{},
        linger_until_{};
    std::optional<Instant> doubted_since_;  // the heard_at_ that ESP has been asked for
    struct Suspicion {
        Instant since;
        unsigned sent_before;  // of the repetitions of the request in flight
        bool dead = false;
    };
    std::optional<Suspicion> suspicion_;
    Duration round_trip_{};  // smoothed; of requests that were answered at once
    unsigned in_vain_ = 0;   // repetitions that an answer takes, smoothed, times 256
    Duration dpd_interval_{}, keepalive_interval_{};
    bool agreed_ = false;
    bool lonely_ = false;  // the other side cannot begin an IKE SA
    bool behind_nat_ = false, peer_behind_nat_ = false;
    std::string trouble_;
};

}  // namespace aronet::ike
