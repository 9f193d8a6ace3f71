#pragma once

// One aronet node as a function: events and the time in, actions out. Everything the daemon does is decided
// here or below; the shell (src/daemon) only carries bytes and performs the actions in order.

#include "base/log.hpp"
#include "base/random.hpp"
#include "netlink/change.hpp"
#include "overlay/config.hpp"
#include "overlay/memory.hpp"
#include "overlay/registry_source.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace aronet::overlay {

using base::Endpoint;
using base::Instant;

// Events.
struct IkeDatagram {
    base::ByteView bytes;
    Endpoint from, to;
};
struct BabelDatagram {
    base::ByteView bytes;
    std::string link;
    Address from, to;
    std::uint16_t from_port;
    Instant received_at;
};
// The peer's host says so of what Babel sent there: its kernel is well, and its daemon is away.
struct NobodyListens {
    std::string link;
    Address there;
};
using RequestId = std::uint64_t;
struct Request {
    RequestId id;
    std::string verb;
    std::string body;
    std::optional<Config> next = {};  // to stop and keep: of the next start, where it is known
};                                    // verbs: docs/control.md
// Whether a request to stop wants that what the kernel has goes on; none: its body makes no sense.
std::optional<bool> wants_keeping(const std::string& body);
struct RegistryChanged {
    Registry registry;
    RequestId answer_to = 0;    // 0: nobody waits
    const char* from = "load";  // or file, url, copy, stdin: how it came
    bool is_trial = false;      // nothing is changed: the answer is what would be
};
// Another configuration. What lasts (overlay/alteration.hpp) must be as it is, or nothing of it is applied;
// then the registry's source is read again.
struct ConfigChanged {
    Config config;
    RequestId answer_to = 0;  // 0: nobody waits
    bool is_trial = false;    // as above
};
struct RegistryTouched {};  // its file, by somebody who may not be done
struct RereadRegistry {};   // somebody wants it
struct Resolved {
    std::string hostname;
    Family family;
    std::vector<Address> addresses;  // empty: failed
    Duration lifetime{};             // of the answer (TTL)
};
struct Stop {
    bool keep = false;  // what the kernel has goes on carrying traffic, and nobody is told
    std::optional<Config> next =
        {};  // of the next start, where it is known: nothing is kept for another node
};
using Event = std::variant<
    IkeDatagram,
    BabelDatagram,
    NobodyListens,
    netlink::Notice,
    Request,
    RegistryChanged,
    ConfigChanged,
    RegistryTouched,
    RereadRegistry,
    RegistryLooked,
    Resolved,
    Stop>;

// Actions.
struct SendIke {
    Endpoint from, to;
    base::Bytes bytes;
};
struct SendBabel {
    netlink::Space space;
    std::string link;
    Address from, to;
    base::Bytes bytes;
};
struct ListenBabel {
    std::string link;
};  // where the overlay lives, from now on
struct Answer {
    RequestId id;
    int status;
    std::string body;
};  // HTTP status and JSON
struct Resolve {
    std::string hostname;
    Family family;
};
// What the shell has of a configuration that is in use from now on.
struct Configured {
    std::string log_level;
    LogFormat log_format = LogFormat::text;
    std::set<IkePort> ike;
};
struct RunUpdown {
    std::string interface;  // scripts of one tunnel are run one after the other
    std::string script;
    std::map<std::string, std::string> environment;
};
// A row of a table that Wireshark decrypts with; only where Config::tells_keys.
struct TellKeys {
    enum class Table : std::uint8_t { ike, esp };
    Table table;
    std::string row;
};
// Remember (overlay/memory.hpp): to be kept, in this order and before anything behind it leaves the host, for
// a process that goes on in this one's place.
struct Stopped {
    std::string failure = {};  // why it could not go on; empty: it was asked to stop
    bool keeps = false;        // somebody is to go on in its place
};
using Action = std::variant<
    SendIke,
    SendBabel,
    ListenBabel,
    netlink::Change,
    Answer,
    Resolve,
    LookAtRegistry,
    Configured,
    RunUpdown,
    TellKeys,
    Remember,
    Stopped,
    base::Note>;
using Actions = std::vector<Action>;

// What the shell found out about the host before the node was made.
struct Host {
    bool kernel_datapath = false;  // ESP and XFRM interfaces are there and wanted; or there are no tunnels
    std::vector<Address> local_addresses;  // of the underlay, for endpoints given as a range
    std::string version;
    int pid = 0;
    std::string registry_source = {};  // a file or a URL; empty: none
    bool remembers = false;            // performs Remember
    bool is_managed = false;           // by somebody who lets go of all it holds for us when we end unasked
    std::map<std::string, std::string> remembered = {};  // by an earlier process that was not stopped
    bool has_other_ipsec = false;  // SAs of somebody else, whose packets an external interface would take
    bool operator==(const Host&) const = default;
};

// What this host cannot do is as if it were not asked for.
void settle_links(Config& config, const Host& host);

class Node {
public:
    Node(Config config, Host host, base::Random& random);  // `random` outlives the node
    ~Node();

    void start(Instant now, Actions& out);  // once, before anything else
    void handle(Event event, Instant now, Actions& out);
    void tick(Instant now, Actions& out);
    std::optional<base::Deadline> deadline() const;

    struct State;  // for the files of src/overlay/node_*

private:
    std::unique_ptr<State> state_;
};

}  // namespace aronet::overlay
