#pragma once

// One interface's part in the authentication of packets (RFC 8967, with both relaxations of RFC 9467): it
// signs what is sent, judges what came, and remembers of every peer what tells a new packet from a replayed
// one. It knows no Hellos, no routes and no sockets; a packet without a right MAC leaves no trace in it.

#include "babel/speaker.hpp"
#include "babel/tlv.hpp"
#include "base/timers.hpp"

#include <bitset>
#include <deque>

struct evp_mac_ctx_st;  // of OpenSSL

namespace aronet::babel {

// Why something received did not count. Those up to `replayed` concern whole packets.
enum class MacDrop : std::uint8_t {
    no_mac,
    wrong_mac,
    too_many_peers,
    no_counter,
    unproven,
    replayed,
    multicast_challenge,
    stray_reply,
};
std::string_view to_string(MacDrop drop);

// A key ready for use.
class KeyedMac {
public:
    explicit KeyedMac(const MacKey& key);
    // Of a packet without its trailer (section 4.1); the ports are always ours.
    base::Bytes of(base::ByteView packet, const Address& from, const Address& to) const;
    std::size_t size() const { return size_; }
    bool signs() const { return signs_; }
    bool accepted() const { return accepted_; }

private:
    struct Free {
        void operator()(evp_mac_ctx_st* context) const;
    };
    std::unique_ptr<evp_mac_ctx_st, Free> context_;
    std::size_t size_;
    bool signs_, accepted_;
};

// Which packet counters were seen: the highest, and those up to kMacWindow below it (RFC 9467 3.2).
class CounterWindow {
public:
    explicit CounterWindow(std::uint32_t pc) : highest_(pc) { seen_.set(0); }
    bool is_new(std::uint32_t pc) const;
    bool take(std::uint32_t pc);  // false: not new

private:
    std::uint32_t highest_;
    std::bitset<kMacWindow> seen_;  // bit n: highest_ - n
};

class MacLink {
public:
    struct Verdict {
        std::optional<MacDrop> refused;  // the packet, unless all are accepted
        std::vector<MacDrop> ignored;    // parts of it
        bool accepted = false;
        bool proven = false;       // it answered our challenge: we have not heard what it said before
        bool unheard = false;      // it had challenged us: it has not heard what we said before
        std::vector<Tlv> answers;  // to the sender, alone and at once
    };
    struct Due {
        Address to;
        std::vector<Tlv> tlvs;
    };

    // `random` outlives this. `pc` is arbitrary (section 3.1).
    MacLink(const MacConfig& config, std::size_t peers_max, base::Random& random, std::uint32_t pc = 0);
    void set(const MacConfig& config);  // peers and counters stay

    std::size_t overhead() const;  // what sign() adds to a packet
    void sign(base::Bytes& packet, const Address& from, const Address& to);

    // `neighbour`: the sender is one. What is remembered of others expires (section 4.4).
    Verdict judge(const Packet& packet, bool neighbour, Instant now);
    void forget(const Address& peer);  // no neighbour any more

    std::optional<Instant> deadline() const { return timers_.next(); }
    std::optional<Due> due(Instant now);  // call until there is none

private:
    struct Proof {  // what a peer's answer to a challenge showed, and what it sent since
        base::Bytes index;
        CounterWindow multicast, unicast;
        Instant accepted_at;
    };
    struct Challenge {
        base::Bytes nonce;
        Instant expires;
    };
    struct Peer {
        std::optional<Proof> proof;
        std::deque<Challenge> challenges;  // the latest, each good for one reply until then
        unsigned challenges_left = 0;
        Duration challenge_gap = kChallengeGap;
        Instant challenge_allowed_at{};
        std::optional<base::Bytes> owed;  // the nonce of a challenge we have not replied to yet
        Instant reply_allowed_at{};
        std::optional<base::Bytes> asked_with;  // the index under which it last challenged us
    };
    struct Preparsed {
        std::optional<PacketCounter> counter;
        std::optional<base::Bytes> request;  // the last of several
        std::vector<base::Bytes> replies;
    };

    void examine(const Packet& packet, Peer& peer, Instant now, Verdict& verdict);
    std::optional<MacDrop> check_mac(const Packet& packet) const;
    static Preparsed preparse(base::ByteView packet);
    Peer* meet(const Address& from, Instant now);
    static bool replies(Peer& peer, const Preparsed& said, Instant now, Verdict& verdict);
    static void take_request(Peer& peer, const Preparsed& said, bool multicast, Verdict& verdict);
    static void prove(Peer& peer, const PacketCounter& counter, Instant now, Verdict& verdict);
    static std::optional<MacDrop> judge_counter(Peer& peer, const PacketCounter& counter, bool multicast);
    static bool challenged(const Peer& peer, Instant now);  // and the reply would still count
    std::vector<Tlv> answers(const Address& to, Peer& peer, Instant now);

    std::vector<KeyedMac> keys_;
    bool permissive_ = false;
    std::size_t peers_max_;
    base::Random& random_;
    base::Bytes index_;
    std::uint32_t pc_;
    std::map<Address, Peer> peers_;
    base::Timers<Address> timers_;  // when to answer() whom
};

}  // namespace aronet::babel
