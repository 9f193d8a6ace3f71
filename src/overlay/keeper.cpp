#include "overlay/keeper.hpp"

#include "base/overloaded.hpp"

#include <algorithm>
#include <set>

namespace aronet::overlay {
namespace {

using base::Instant;
using base::Level;
using netlink::Link;
using netlink::LinkAddress;
using netlink::Route;
using netlink::Rule;
using netlink::Space;
using netlink::Wish;
using Name = Keeper::Name;
using Object = Keeper::Object;

constexpr std::size_t kTroublesShown = 20;
constexpr base::Duration kLeakMax = std::chrono::seconds(1);
// A table is not flushed at once.
constexpr base::Duration kGather = std::chrono::milliseconds(250), kGatherMax = std::chrono::seconds(1);

Name name_of(const Object& object) {
    return std::visit(
        base::Overloaded{
            [](const Link& link) {
                return Name(Keeper::LinkName{link.space, link.name});
            },
            [](const LinkAddress& address) { return Name(address); },
            [](const Route& route) { return Name(route.key); },
            [](const Rule& rule) { return Name(rule); },
        },
        object
    );
}

// Each needs those of smaller ranks: a tunnel its VRF, a route the way to its next hop.
int rank(const Object& object) {
    return std::visit(
        base::Overloaded{
            [](const Link& link) {
                const bool is_main = std::holds_alternative<netlink::Vrf>(link.kind) ||
                                     std::holds_alternative<netlink::Veth>(link.kind);
                return is_main ? 0 : 1;
            },
            [](const LinkAddress&) { return 2; },
            [](const Route& route) { return route.via ? 4 : 3; },
            [](const Rule&) { return 5; },
        },
        object
    );
}

// The link that it is on, or enslaved to.
std::optional<Keeper::LinkName> hook_of(const Object& object) {
    const auto [space, name] = std::visit(
        base::Overloaded{
            [](const Link& link) { return std::pair(link.space, link.master); },
            [](const LinkAddress& address) { return std::pair(address.space, address.link); },
            [](const Route& route) { return std::pair(route.key.space, route.link); },
            [](const Rule&) { return std::pair(Space::underlay, std::string()); },
        },
        object
    );
    return name.empty() ? std::nullopt : std::optional(Keeper::LinkName{space, name});
}

// Whether it is as asked for; what was not asked for may be as it likes.
bool fits(const Link& actual, const Link& wanted) {
    return actual.up && same_kind(actual, wanted) && (wanted.mtu == 0 || actual.mtu == wanted.mtu) &&
           (actual.multicast || !wanted.multicast) && (wanted.keep_link_local || !actual.keep_link_local) &&
           (wanted.master.empty() || actual.master == wanted.master);
}

bool fits(const Object& actual, const Object& wanted) {
    const auto* link = std::get_if<Link>(&actual);
    return link != nullptr ? fits(*link, std::get<Link>(wanted)) : actual == wanted;
}

// Of what this run has not asked for. A rule for a host's table that other daemons have as well is theirs.
bool is_ours_alone(const Object& object) {
    return !std::holds_alternative<LinkAddress>(object) && !std::holds_alternative<Rule>(object);
}

template <class Each>
void for_each(const Objects& objects, const Each& each) {
    for (const Link& link : objects.links) each(Object(link));
    for (const LinkAddress& address : objects.addresses) each(Object(address));
    for (const Route& route : objects.routes) each(Object(route));
    for (const Rule& rule : objects.rules) each(Object(rule));
}

}  // namespace

bool same_kind(const Link& actual, const Link& wanted) {
    // A veth is shown without its other end, the user data plane's tunnel as the device that it is.
    const bool veths = std::holds_alternative<netlink::Veth>(actual.kind) &&
                       std::holds_alternative<netlink::Veth>(wanted.kind);
    return veths || actual.kind == wanted.kind || std::holds_alternative<netlink::Tun>(actual.kind);
}

void Keeper::want(const Objects& wanted, Instant now) {
    std::set<Name> names;
    for_each(wanted, [&](const Object& object) {
        names.insert(name_of(object));
        put(object, now);
    });
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        if (it->second.wanted && !names.contains(it->first)) let_go(it, now);
    }
}

void Keeper::want_also(const Objects& more, Instant now) {
    for_each(more, [&](const Object& object) { put(object, now); });
}

void Keeper::want_no_more(const Objects& less, Instant now) {
    for_each(less, [&](const Object& object) {
        const auto it = entries_.find(name_of(object));
        if (it != entries_.end() && it->second.wanted) let_go(it, now);
    });
}

void Keeper::let_go(Entries::iterator it, Instant now) {
    Entry& entry = it->second;
    entry.wanted = false;
    entry.was_lost = false;
    entry.state = State::missing;
    ++going_;
    due_.set(it->first, now);
}

void Keeper::put(const Object& object, Instant now) {
    const auto known = entries_.find(name_of(object));
    if (known == entries_.end()) return due_.set(add(object, true)->first, now);
    Entry& entry = known->second;
    if (entry.wanted && entry.object == object) return;
    const bool was_going = !entry.wanted;
    if (was_going) --going_;
    unhang(known->first, entry.object);
    hang(known->first, object);
    entry.wanted = true;
    entry.object = object;
    entry.state = State::missing;
    due_.set(known->first, now);
    const auto* link = std::get_if<Link>(&object);
    if (!was_going || link == nullptr) return;
    for_each_on(*link, [&](Entries::iterator other) {  // its removal may be under way, and take them along
        if (other->second.state != State::there) return;
        other->second.state = State::missing;
        due_.set(other->first, now);
    });
}

Keeper::Entries::iterator Keeper::add(const Object& object, bool wanted) {
    const auto [it, is_new] = entries_.try_emplace(name_of(object), Entry{object, wanted});
    if (is_new) hang(it->first, object);
    return it;
}

void Keeper::hang(const Name& name, const Object& object) {
    if (const auto link = hook_of(object)) on_[*link].insert(name);
}

void Keeper::unhang(const Name& name, const Object& object) {
    const auto link = hook_of(object);
    const auto list = link ? on_.find(*link) : on_.end();
    if (list == on_.end()) return;
    list->second.erase(name);
    if (list->second.empty()) on_.erase(list);
}

// A veth's other end is the same.
template <class Each>
void Keeper::for_each_on(const Link& link, const Each& each) {
    const bool is_veth = std::holds_alternative<netlink::Veth>(link.kind);
    for (const Space space : {Space::underlay, Space::overlay}) {
        const auto list = on_.find({space, link.name});
        if ((space != link.space && !is_veth) || list == on_.end()) continue;
        for (const Name& name : list->second) each(entries_.find(name));
    }
}

void Keeper::found(const Objects& actual, netlink::ChangeId asked, Instant now, bool of_earlier_run) {
    std::map<Name, Object> seen;
    for_each(actual, [&](const Object& object) { seen.emplace(name_of(object), object); });
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        Entry& entry = it->second;
        const auto here = seen.extract(it->first);
        const bool fits_here = !here.empty() && fits(here.mapped(), entry.object);
        if (!entry.wanted || entry.asked > asked) continue;
        if (entry.state == State::there && !fits_here) lose(it, now);
        const bool never_asked = entry.state == State::missing && entry.asked == 0;
        const Entry* link = link_of(entry.object);  // in order before what hangs on it
        const bool hangs_well = link == nullptr || link->state == State::there;
        if (never_asked && fits_here && hangs_well) is_there(it->first, entry, now);
    }
    for (auto& [name, object] : seen) {
        if (!(of_earlier_run ? may_be_left(object) : is_ours_alone(object))) continue;
        add(object, false);
        ++going_;
        due_.set(name, now);
    }
}

// Addresses without our number are somebody else's on our links, too. On a link that is not ours another
// daemon of ours may have made those that have it.
bool Keeper::may_be_left(const Object& object) const {
    const auto* address = std::get_if<LinkAddress>(&object);
    return address == nullptr || (address->marked && link_at(address->space, address->link) != nullptr);
}

void Keeper::is_there(const Name& name, Entry& entry, Instant now) {
    entry.state = State::there;
    due_.stop(name);
    const auto hanging = waiting_.extract(name);
    if (hanging.empty()) return;
    for (const Name& each : hanging.mapped()) {
        const auto it = entries_.find(each);
        if (it != entries_.end() && it->second.wanted && it->second.state == State::missing)
            due_.set(each, now);
    }
}

void Keeper::ask_for_links(Instant now) {
    for (auto& [name, entry] : entries_) {
        if (!entry.wanted || !std::holds_alternative<Link>(entry.object)) continue;
        entry.state = State::missing;
        due_.set(name, now);
    }
}

void Keeper::ask_refused(Instant now) {
    for (auto& [name, entry] : entries_) {
        if (entry.refused > 0 && entry.state == State::missing && due_.at(name)) due_.set(name, now);
    }
}

void Keeper::lose(Entries::iterator it, Instant now, bool with_its_link) {
    Entry& entry = it->second;
    if (!entry.wanted || entry.state == State::missing) return;
    entry.was_lost = true;
    entry.with_its_link = with_its_link;
    if (entry.state == State::asked) return;  // perhaps before it was done, perhaps after
    entry.state = State::missing;
    base::Duration pause = entry.losses.pause(now);
    // Behind a rule are the guards, too: what is meant for others leaves as it is until that is back.
    if (std::holds_alternative<Rule>(entry.object)) pause = std::min(pause, kLeakMax);
    due_.set(it->first, now + pause);
}

void Keeper::lost(const netlink::RouteKey& route, Instant now) {
    const auto it = entries_.find(route);
    if (it != entries_.end()) lose(it, now);
}

void Keeper::lost(const Rule& rule, Instant now) {
    const auto it = entries_.find(rule);
    if (it != entries_.end()) lose(it, now);
}

void Keeper::lost_address(Space space, const std::string& link, const Address& address, Instant now) {
    const LinkAddress first{space, link, address, 0, std::nullopt};
    for (auto it = entries_.lower_bound(first); it != entries_.end(); ++it) {
        const auto* other = std::get_if<LinkAddress>(&it->first);
        if (other == nullptr ||
            std::tie(other->space, other->link, other->address) != std::tie(space, link, address))
            break;
        lose(it, now);
    }
    lose_routes_of(first, now);
}

// The last of IPv4 takes its routes along, and those of IPv6 stay without their source: both unsaid.
void Keeper::lose_routes_of(const LinkAddress& gone, Instant now) {
    const Entry* carrier = link_at(gone.space, gone.link);
    if (carrier == nullptr) return;
    const Link link = std::get<Link>(carrier->object);
    bool was_last = gone.address.is_v4();
    for_each_on(link, [&](Entries::iterator it) {
        const auto* other = std::get_if<LinkAddress>(&it->second.object);
        const bool is_there = other != nullptr && it->second.state == State::there;
        if (is_there && other->space == gone.space && other->address.is_v4()) was_last = false;
    });
    for_each_on(link, [&](Entries::iterator it) {
        const auto* route = std::get_if<Route>(&it->second.object);
        if (route == nullptr || route->key.space != gone.space) return;
        const bool is_other = was_last && route->key.destination.family() == Family::v4;
        if (is_other || route->pref_src == gone.address) lose(it, now, true);
    });
}

void Keeper::lost_link(Space space, const std::string& link, Instant now) {
    const Entry* gone = link_at(space, link);
    if (gone == nullptr) return;
    const Link lost = std::get<Link>(gone->object);
    const Name name = name_of(gone->object);
    if (gone->refused > 0 && gone->state == State::missing)
        due_.set(name, now);  // it may have been in the way
    lose(entries_.find(name), now);
    for_each_on(lost, [&](Entries::iterator it) {
        lose(it, now, true);
        if (!it->second.wanted || it->second.state != State::missing) return;
        due_.stop(it->first);  // it is of no use before the link is there
        waiting_[name].insert(it->first);
    });
}

void Keeper::altered(const netlink::LinkAltered& altered, Instant now) {
    const auto it = entries_.find(LinkName{altered.link.space, altered.link.name});
    if (it == entries_.end()) return;
    if (altered.unmarked || !fits(altered.link, std::get<Link>(it->second.object))) lose(it, now);
}

Keeper::Entries::iterator Keeper::erase(Entries::iterator it) {
    if (!it->second.wanted) --going_;
    if (it->second.refused > 0) --refused_;
    due_.stop(it->first);
    waiting_.erase(it->first);
    unhang(it->first, it->second.object);
    return entries_.erase(it);
}

Wish Keeper::wish_for(const Entry& entry) {
    return std::visit(
        base::Overloaded{
            [&](const Link& link) {
                return entry.wanted ? Wish(netlink::AddLink{link})
                                    : Wish(netlink::RemoveLink{link.space, link.name});
            },
            [&](const LinkAddress& address) {
                return entry.wanted ? Wish(netlink::AddAddress{address})
                                    : Wish(netlink::RemoveAddress{address});
            },
            [&](const Route& route) {
                return entry.wanted ? Wish(netlink::AddRoute{route}) : Wish(netlink::RemoveRoute{route.key});
            },
            [&](const Rule& rule) {
                return entry.wanted ? Wish(netlink::AddRule{rule}) : Wish(netlink::RemoveRule{rule});
            },
        },
        entry.object
    );
}

// With the last address of IPv4 the routes of its link would go: another one comes before it leaves.
bool Keeper::is_followed(const Object& object) const {
    const auto* address = std::get_if<LinkAddress>(&object);
    if (address == nullptr || !address->address.is_v4()) return false;
    const auto on_link = on_.find({address->space, address->link});
    return on_link != on_.end() && std::ranges::any_of(on_link->second, [&](const Name& name) {
        const auto* other = std::get_if<LinkAddress>(&name);
        return other != nullptr && entries_.at(name).wanted && other->address.is_v4() &&
               other->address != address->address;
    });
}

// Removals first, but for addresses that others follow, and those that hang on others before these.
void Keeper::ask_due(Instant now, const Ask& ask, std::vector<base::Note>& notes) {
    std::vector<Entries::iterator> due;
    while (const auto name = due_.expired(now)) {
        const auto it = entries_.find(*name);
        const bool is_link = std::holds_alternative<Link>(it->second.object);
        const Entry* link = link_of(it->second.object);
        if (it->second.wanted && link != nullptr && link->state != State::there) {
            waiting_[name_of(link->object)].insert(*name);
        } else if (!it->second.wanted && !is_link && link != nullptr && !link->wanted) {
            erase(it);  // it goes with its link
        } else {
            due.push_back(it);
        }
    }
    const auto place = [this](const Entries::iterator& it) {
        const int of_object = 2 * rank(it->second.object);
        if (it->second.wanted) return of_object;
        return is_followed(it->second.object) ? of_object + 1 : -1 - of_object;
    };
    std::ranges::stable_sort(due, {}, place);
    for (const auto it : due) {
        Entry& entry = it->second;
        Wish wish = wish_for(entry);
        const bool is_news = std::exchange(entry.was_lost, false) && !entry.with_its_link;
        if (is_news && put_back_++ == 0) {
            first_put_back_ = netlink::describe(wish);
            gathered_since_ = now;
        }
        if (is_news) say_at_ = std::min(now + kGather, gathered_since_ + kGatherMax);
        entry.state = State::asked;
        entry.asked = ask(std::move(wish));
        asked_[entry.asked] = it->first;
    }
    if (!say_at_ || now < *say_at_) return;
    const std::string more = put_back_ > 1 ? " and " + std::to_string(put_back_ - 1) + " more" : "";
    notes.push_back({Level::warning, "taken away by somebody, put back: " + first_put_back_ + more});
    say_at_.reset();
    put_back_ = 0;
}

std::optional<Instant> Keeper::next() const {
    const auto due = due_.next();
    return due && say_at_ ? std::min(*due, *say_at_) : due ? due : say_at_;
}

bool Keeper::answered(const netlink::Done& done, Instant now, std::vector<base::Note>& notes) {
    const auto asked = asked_.extract(done.id);
    if (asked.empty()) return false;
    const auto it = entries_.find(asked.mapped());
    if (it == entries_.end() || it->second.asked != done.id || it->second.state != State::asked) return true;
    Entry& entry = it->second;
    const auto words = [&] { return netlink::describe(wish_for(entry)); };
    if (done.error != 0) {
        if (entry.refused == 0) notes.push_back({Level::error, words() + ": " + done.text});
        refused_ += entry.refused++ == 0 ? 1 : 0;
        entry.why = done.text;
        entry.was_lost = false;
        entry.state = State::missing;
        due_.set(it->first, now + pause_after(entry.refused));
        return true;
    }
    if (std::exchange(entry.refused, 0) > 0) {
        --refused_;
        notes.push_back({Level::info, words() + ": done at last"});
    }
    if (!entry.wanted) {
        const Object gone = entry.object;
        erase(it);
        const auto* address = std::get_if<LinkAddress>(&gone);
        if (address != nullptr) lose_routes_of(*address, now);
        return true;
    }
    is_there(it->first, entry, now);
    if (entry.was_lost) lose(it, now, entry.with_its_link);
    return true;
}

// Both ends of a veth have one name and one fate.
const Keeper::Entry* Keeper::link_at(Space space, const std::string& name) const {
    if (name.empty()) return nullptr;
    const auto here = entries_.find(LinkName{space, name});
    if (here != entries_.end()) return &here->second;
    const Space other = space == Space::overlay ? Space::underlay : Space::overlay;
    const auto there = entries_.find(LinkName{other, name});
    if (there == entries_.end()) return nullptr;
    const auto& kind = std::get<Link>(there->second.object).kind;
    return std::holds_alternative<netlink::Veth>(kind) ? &there->second : nullptr;
}

// On which this hangs.
const Keeper::Entry* Keeper::link_of(const Object& object) const {
    const auto hook = hook_of(object);
    return hook ? link_at(hook->first, hook->second) : nullptr;
}

std::vector<std::string> Keeper::troubles() const {
    std::vector<std::string> out;
    if (refused_ == 0) return out;
    for (const auto& [name, entry] : entries_) {
        if (entry.refused > 0 && out.size() < kTroublesShown)
            out.push_back(netlink::describe(wish_for(entry)) + ": " + entry.why);
    }
    return out;
}

Objects Keeper::wanted() const {
    Objects out;
    for (const auto& [name, entry] : entries_) {
        if (!entry.wanted) continue;
        std::visit(
            base::Overloaded{
                [&](const Link& link) { out.links.push_back(link); },
                [&](const LinkAddress& address) { out.addresses.push_back(address); },
                [&](const Route& route) { out.routes.push_back(route); },
                [&](const Rule& rule) { out.rules.push_back(rule); },
            },
            entry.object
        );
    }
    return out;
}

}  // namespace aronet::overlay
