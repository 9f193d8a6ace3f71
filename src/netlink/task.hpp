#pragma once

// A change on its way: phases of requests, each phase sent as one burst when the one before has been
// answered. For src/netlink alone.

#include "base/result.hpp"
#include "netlink/codec.hpp"
#include "netlink/session.hpp"

#include <map>
#include <set>

namespace aronet::netlink {

// What the session knows of links, from answers and notices.
class KnownLinks {
public:
    // The notices that follow from it, if the link changed. In a dump, what is up is told in any case.
    std::vector<Notice> learn(Space space, const LinkState& state, bool in_dump);
    std::optional<Notice> forget(Space space, std::uint32_t index);

    const LinkState* find(Space space, const std::string& name) const;
    const LinkState* find(Space space, std::uint32_t index) const;
    // Under whatever name.
    const LinkState* find_marked(Space space, const std::string& mark) const;
    // Somebody else's with the very number, of a tunnel or of a VRF's table.
    const LinkState* find_rival(Space space, const Link& link) const;
    std::string name_of(Space space, std::uint32_t index) const;  // empty: of none
    void clear();

private:
    std::map<std::pair<Space, std::uint32_t>, LinkState> links_;
    std::map<std::pair<Space, std::string>, std::uint32_t> indexes_;
};

struct Request {
    Channel channel = Channel::underlay_route;
    Bytes bytes;
    std::vector<int> fine;  // errors that are as good as success
    bool is_dump = false;
    bool is_torn = false;  // a dump during which things changed, or something of it was lost
};

// What a task may look at when it makes its next requests.
struct Surroundings {
    const KnownLinks& links;
    int overlay_fd;
    ByteView shown_sa;  // the message that a request for one SA was answered with
};

struct Errno {
    int value = 0;
    std::string text = {};  // empty: the usual words
};

struct Task {
    // Makes the requests of a phase. An error instead ends the task.
    using Phase = std::function<base::Result<std::vector<Request>, Errno>(const Surroundings&)>;

    Task() = default;
    Task(Task&&) = default;
    Task& operator=(Task&&) = default;
    ~Task();  // wipes what it was to send: it may hold keys

    ChangeId id = 0;
    std::vector<Request> requests;  // sent before the first phase
    std::vector<Phase> phases;
    std::size_t next_phase = 0;
    std::size_t unanswered = 0;
    base::Instant sent_at;
    int error = 0;  // the first
    std::string text;
    std::optional<Snapshot> snapshot;    // being collected
    std::vector<std::uint32_t> masters;  // indexes of those of its links
    std::optional<Counters> counters;    // likewise
    std::optional<LinkCounters> link_counters;
    Bytes shown_sa;
    std::string link_prefix;                                 // of the snapshot
    std::set<std::uint32_t> watched_tables;                  // from the snapshot on
    std::optional<std::pair<Space, std::string>> announces;  // a link whose LinkUp is due when all is done
    bool was_down = false;                                   // that link, meanwhile
    bool is_exclusive = false;

    void collect(Channel channel, const nlmsghdr* message, const KnownLinks& links);
    // A torn dump is asked for again: what it gave goes, that of those before stays. A snapshot that may have
    // holes, as the links were forgotten that it goes by, is taken anew.
    void begin_dump();
    void forget_dump();
    bool start_over();                          // false: it has been often enough
    std::vector<std::size_t> before_dump = {};  // how much there was of each
    bool has_holes = false;
    unsigned beginnings = 0;

    bool is_all_sent() const { return next_phase == phases.size(); }
};

Task make_task(Change change);
bool is_removal(const Wish& wish);
bool needs_overlay(const Wish& wish);  // something of it is in the namespace
bool is_exclusive(const Wish& wish);   // changes links or asks in turns: nothing runs beside it
Channel route_channel(Space space);
Space space_of(Channel channel);

}  // namespace aronet::netlink
