#pragma once

// Two engines and the wire between them, in virtual time. A test is a script: who connects, what happens to
// which message, how long it takes, what must hold then. for_each_fault() runs a script again and again,
// losing, doubling and swapping each of its messages in turn.

#include "ike/engine.hpp"

#include <functional>
#include <map>
#include <string>

namespace aronet::ike::test {

using base::Bytes;

// Exchanges as they stand in a header (RFC 7296 3.1).
inline constexpr std::uint8_t kInit = 34, kAuth = 35, kCreateChild = 36, kInformational = 37;

enum class Fate : std::uint8_t { arrives, lost, doubled, late };

// One host: an engine and a data plane that installs what it is told to.
struct Side {
    Side(const char* name, const char* address, std::uint64_t seed, EngineConfig config);

    std::string name;
    Endpoint endpoint;
    std::unique_ptr<base::Random> random;
    std::unique_ptr<Engine> engine;
    Actions actions;

    bool obedient = true;                                       // answers every ChildUp with installed()
    bool refuses = false;                                       // or with refused()
    std::map<ChildId, std::pair<base::Sa, base::Sa>> children;  // in, out
    std::map<ChildId, bool> replacing, sharing;
    std::map<ChildId, std::pair<std::vector<TrafficSelector>, std::vector<TrafficSelector>>> selectors;
    std::optional<ChildId> sending;
    unsigned ups = 0, downs = 0, switches = 0, moves = 0, keepalives = 0, silences = 0, unreached = 0;
    std::vector<Trust> trust;  // as it changed
    std::vector<std::string> notes;
    std::vector<KeysMade> keys;  // of IKE, where the configuration has them told

    PeerView view(PeerId id = 1) const;
    std::uint64_t drops(std::string_view reason) const;
};

struct Passing {
    std::size_t number = 0;  // since the dialogue began
    Endpoint from, to;
    Bytes bytes;  // the datagram
    bool by_a = false;
    Endpoint source;  // as the engine said it; any(): the route decides

    bool marked() const;             // with the non-ESP marker
    base::ByteView message() const;  // without it
    std::uint8_t exchange() const { return at(18); }
    bool response() const { return (at(19) & 0x20) != 0; }
    std::uint32_t id() const;
    std::uint8_t at(std::size_t index) const { return message().size() > index ? message()[index] : 0; }
};

class Dialogue {
public:
    explicit Dialogue(std::uint64_t seed = 1, EngineConfig for_a = {}, EngineConfig for_b = {});

    Side a, b;
    Instant now{};
    Duration delay = std::chrono::milliseconds(10);
    bool cut = false;                          // nothing arrives
    const Side* sleeping = nullptr;            // neither hears nor acts
    bool a_unknown = false;                    // b knows no address of a, which a knows
    std::function<Fate(const Passing&)> fate;  // what becomes of a message; empty: arrives
    std::function<bool(Passing&)> middle;      // a box on the path: rewrites, or swallows (false)
    std::vector<Passing> sent;                 // everything, in order

    Peer peer_of_a() const;  // b, as a is told of it
    Peer peer_of_b() const;
    Dialogue& a_connects();
    Dialogue& b_connects();
    Dialogue& both_connect();
    // Both, each with its peer changed before: b first, as it only waits.
    Dialogue& connect(const std::function<void(Peer&)>& of_a, const std::function<void(Peer&)>& of_b);
    Dialogue& advance(Duration d);
    Dialogue& advance_until(Duration at_most, const std::function<bool()>& reached);
    Dialogue& call(Side& side, const std::function<void(Engine&, Actions&)>& what);
    void deliver(const Passing& message);  // now, to whoever has that address
    void restart(Side& side, std::uint64_t seed);

    std::size_t count(std::uint8_t exchange, bool by_a) const;  // messages sent so far
    bool tunnel() const;  // both sides send on SAs that the other side holds with the same keys
    bool single() const;  // and there is exactly one child on each side
    void expect_tunnel(const char* where = "") const;

private:
    struct Flight {
        Instant at;
        std::uint64_t order;
        Passing message;
    };
    void perform(Side& side);
    void post(Side& side, const Send& send);
    void check_contract(Side& side);
    Side& other(const Side& side) { return &side == &a ? b : a; }

    std::vector<Flight> flights_;
    std::uint64_t order_ = 0;
    EngineConfig config_a_, config_b_;
};

EngineConfig copy(const EngineConfig& config);
EngineConfig without_dpd();
base::Secret key_of(const Side& side);  // its Ed25519 seed

// Runs `script` untouched, then once per message and fault; both sides have the same configuration.
void for_each_fault(
    const std::function<void(Dialogue&)>& script, std::uint64_t seed = 1, const EngineConfig& config = {}
);

}  // namespace aronet::ike::test
