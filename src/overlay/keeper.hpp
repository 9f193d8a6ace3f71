#pragma once

// Keeps the kernel's objects around the tunnels as they are wanted: asks for what is missing, again for what
// was refused or taken away, and for the removal of what is not wanted any more. Pure: knows of the kernel
// what it is told. What is refused, or taken away, again and again is asked for ever more seldom: somebody
// else may be as stubborn. What hangs on a link is asked for when that is there: until then the one of that
// name may be somebody else's.

#include "base/log.hpp"
#include "base/timers.hpp"
#include "overlay/desired.hpp"
#include "overlay/patience.hpp"

#include <functional>

namespace aronet::overlay {

class Keeper {
public:
    using Link = netlink::Link;
    using Object = std::variant<netlink::Link, netlink::LinkAddress, netlink::Route, netlink::Rule>;
    // What makes it this one and no other; in the kernel there is one of each name.
    using LinkName = std::pair<netlink::Space, std::string>;
    using Name = std::variant<LinkName, netlink::LinkAddress, netlink::RouteKey, netlink::Rule>;

    // These and no others, from now on.
    void want(const Objects& wanted, base::Instant now);
    // These as well, or no more; the rest as it is.
    void want_also(const Objects& more, base::Instant now);
    void want_no_more(const Objects& less, base::Instant now);
    // What there is, as of when the change `asked` was performed: later ones are not in it. Addresses that
    // are too much are removed only where they can be of an earlier run.
    void found(
        const Objects& actual, netlink::ChangeId asked, base::Instant now, bool of_earlier_run = false
    );
    // Links that are there are asked for all the same: that changes nothing, and says that they are up.
    void ask_for_links(base::Instant now);
    void ask_refused(base::Instant now);  // at once: what stood in their way may be gone

    // Notices: somebody took it away. A link takes along what hangs on it.
    void lost(const netlink::RouteKey& route, base::Instant now);
    void lost(const netlink::Rule& rule, base::Instant now);
    void lost_address(
        netlink::Space space, const std::string& link, const Address& address, base::Instant now
    );
    void lost_link(netlink::Space space, const std::string& link, base::Instant now);
    void altered(const netlink::LinkAltered& altered, base::Instant now);

    // What is due, in the order it has to be performed; `ask` says under which id it goes.
    using Ask = std::function<netlink::ChangeId(netlink::Wish)>;
    void ask_due(base::Instant now, const Ask& ask, std::vector<base::Note>& notes);
    // False: none of what was asked for here.
    bool answered(const netlink::Done& done, base::Instant now, std::vector<base::Note>& notes);

    std::optional<base::Instant> next() const;
    bool wants(netlink::Space space, const std::string& link) const {
        const Entry* entry = link_at(space, link);
        return entry != nullptr && entry->wanted;
    }
    bool has(netlink::Space space, const std::string& link) const {  // it is there, and ours
        const Entry* entry = link_at(space, link);
        return entry != nullptr && entry->wanted && entry->state == State::there;
    }
    bool wants(const netlink::RouteKey& route) const {
        const auto it = entries_.find(route);
        return it != entries_.end() && it->second.wanted;
    }
    bool all_gone() const { return going_ == 0; }  // nothing is left that is to go
    std::vector<std::string> troubles() const;     // what was refused, and why; a few
    Objects wanted() const;                        // in the end, whatever is there by now

private:
    enum class State : std::uint8_t { missing, asked, there };
    struct Entry {
        Object object;
        bool wanted = true;  // else it is to go: `missing` means that this has yet to be asked for
        State state = State::missing;
        bool was_lost = false;       // and is put back; while asked for: once more
        bool with_its_link = false;  // it was lost, which is not worth a word
        netlink::ChangeId asked = 0;
        unsigned refused = 0;  // in a row
        std::string why;       // the last time
        Losses losses;
    };
    using Entries = std::map<Name, Entry>;

    void put(const Object& object, base::Instant now);
    Entries::iterator add(const Object& object, bool wanted);
    bool may_be_left(const Object& object) const;
    bool is_followed(const Object& object) const;
    template <class Each>
    void for_each_on(const Link& link, const Each& each);  // that hangs on it: each(iterator)
    void hang(const Name& name, const Object& object);
    void unhang(const Name& name, const Object& object);
    void let_go(Entries::iterator it, base::Instant now);
    void lose(Entries::iterator it, base::Instant now, bool with_its_link = false);
    void lose_routes_of(const netlink::LinkAddress& gone, base::Instant now);
    void is_there(const Name& name, Entry& entry, base::Instant now);
    Entries::iterator erase(Entries::iterator it);
    const Entry* link_at(netlink::Space space, const std::string& name) const;
    const Entry* link_of(const Object& object) const;
    static netlink::Wish wish_for(const Entry& entry);

    Entries entries_;
    base::Timers<Name> due_;
    std::map<netlink::ChangeId, Name> asked_;
    std::map<Name, std::set<Name>> waiting_;  // for a link
    std::map<LinkName, std::set<Name>> on_;   // what hangs on a link of that name, if there is one
    std::size_t refused_ = 0, going_ = 0;     // how many are
    std::size_t put_back_ = 0;                // of what was taken away, and yet to be told of
    std::string first_put_back_;
    base::Instant gathered_since_{};
    std::optional<base::Instant> say_at_;
};

// Whether the one can become as the other, or has to be made anew.
bool same_kind(const netlink::Link& actual, const netlink::Link& wanted);
// The changes that lead from one to the other, in the order in which they can be made: from what an earlier
// run left, and under a keeper.
std::vector<netlink::Wish> difference(const Objects& actual, const Objects& wanted);
std::vector<netlink::Wish> transition(const Objects& before, const Objects& after);

}  // namespace aronet::overlay
