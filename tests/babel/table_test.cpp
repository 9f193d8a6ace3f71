// The routing table against the plain containers it stands for, and what it costs.

#include "babel/table.hpp"

#include "babel/alarms.hpp"
#include "babel/desk.hpp"
#include "base/timers.hpp"

#include <malloc.h>

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

Destination numbered(std::uint64_t number) {
    const Prefix prefix = Prefix::host(ip("2001:db8::").plus(number % 4096));
    return number < 4096 ? Destination::of(prefix) : Destination{prefix, net("2001:db8:1::/48")};
}

std::size_t allocated() {
    const auto all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

std::vector<base::Bytes> updates_about(unsigned count) {
    std::vector<base::Bytes> packets;
    PacketWriter writer(1352);
    Announcement update = Announce{"2001:db8::/128", 100, 0xaa, 1, 80s}();
    for (unsigned i = 0; i < count; ++i) {
        update.about = Destination::of(Prefix::host(ip("2001:db8::").plus(i)));
        if (writer.add(update, Encoding::v4_via_v6)) continue;
        packets.push_back(writer.finish());
        writer.add(update, Encoding::v4_via_v6);
    }
    packets.push_back(writer.finish());
    return packets;
}

}  // namespace

TEST_CASE("a feasibility distance lives as long as the longest promise it was told with") {
    Entry entry;
    const Instant now{std::chrono::seconds(1000)};
    entry.sent(0xaa, 5, 100, now + 600s);
    entry.sent(0xaa, 5, 100, now + 180s);  // on another interface, more often
    CHECK(entry.source(0xaa)->expires.near(now) >= now + 600s);
    entry.sent(0xaa, 5, 100, now + 700s);
    CHECK(entry.source(0xaa)->expires.near(now) >= now + 700s);
}

TEST_CASE("entries are found and listed in the order of destinations, whichever come and go") {
    base::Random random = base::Random::from_number(3);
    Table table;
    std::map<Destination, EntryId> model;
    for (unsigned round = 0; round < 40000; ++round) {
        // Some at random, some one after the other; first more come than go.
        const Destination about = numbered(round % 4 == 0 ? random.u32() % 8192 : round % 8192);
        const auto known = model.find(about);
        Entry* found = table.find(about);
        REQUIRE((found == nullptr) == (known == model.end()));
        if (found == nullptr) {
            Entry& added = table.find_or_add(about);
            REQUIRE(added.about() == about);
            REQUIRE(table.at(added.id) == &added);
            model[about] = added.id;
        } else {
            REQUIRE(found->id == known->second);
            if (random.u32() % 2 == 0) {
                table.erase(*found);
                REQUIRE(table.at(known->second) == nullptr);
                model.erase(known);
            }
        }
        REQUIRE(table.size() == model.size());
        if (round % 1000 != 0) continue;
        auto expected = model.begin();
        for (const Entry& entry : table) REQUIRE(entry.about() == (expected++)->first);
        REQUIRE(expected == model.end());
        const auto next = model.upper_bound(about);
        const auto behind = table.after(about);
        REQUIRE((behind == table.end()) == (next == model.end()));
        if (next != model.end()) REQUIRE((*behind).id == next->second);
    }
}

TEST_CASE("routes stay in the order of their neighbours, one or many") {
    base::Random random = base::Random::from_number(4);
    Routes routes;
    std::map<NeighbourId, std::uint32_t> model;
    for (std::uint32_t round = 0; round < 20000; ++round) {
        const auto neighbour = static_cast<NeighbourId>(random.u32() % (round % 2000 < 1000 ? 3 : 50));
        if (Route* route = routes.by(neighbour)) {
            REQUIRE(route->since == model.at(neighbour));
            routes.remove(*route);
            model.erase(neighbour);
        } else {
            REQUIRE(model.count(neighbour) == 0);
            Route& added = routes.add(neighbour);
            REQUIRE(added.received == kInfinity);
            added.since = model[neighbour] = round;
        }
        REQUIRE(routes.size() == model.size());
        auto expected = model.begin();
        for (const Route& route : routes) {
            REQUIRE(route.neighbour == expected->first);
            REQUIRE(route.since == (expected++)->second);
        }
    }
}

TEST_CASE("alarms ring in order, once, and not when stopped") {
    base::Random random = base::Random::from_number(5);
    Alarms alarms;
    base::Timers<EntryId> model;
    Instant now{1000s};
    for (unsigned round = 0; round < 20000; ++round) {
        const auto id = static_cast<EntryId>(random.u32() % 300);
        const Instant at = now + 10ms * std::int64_t(random.u32() % 500);
        if (random.u32() % 4 == 0) {
            alarms.stop(id);
            model.stop(id);
        } else {
            alarms.set_if_earlier(id, at);
            if (const auto set = model.at(id); !set || at < *set) model.set(id, at);
        }
        REQUIRE(alarms.next(now) == model.next());
        if (round % 10 != 0) continue;
        now += 50ms;
        for (auto expected = model.expired(now); expected; expected = model.expired(now))
            REQUIRE(alarms.expired(now) == expected);
        REQUIRE(!alarms.expired(now));
    }
}

TEST_CASE("a route that is all there is of its destination takes less than 180 bytes, malloc's included") {
    constexpr unsigned kRoutes = 10000;
    if (allocated() == 0) {
        WARN("left out: this allocator does not tell what it gave");
        return;
    }
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, ip("fe80::2"));
    const auto packets = updates_about(kRoutes);
    std::size_t installed = 0;
    const std::size_t before = allocated();
    {
        Actions actions;
        for (const base::Bytes& bytes : packets) {
            desk.speaker.handle(
                {.bytes = bytes,
                 .from = ip("fe80::2"),
                 .to = multicast_group(),
                 .in = 1,
                 .received_at = desk.now},
                desk.now,
                actions
            );
            for (const Action& action : actions) installed += std::holds_alternative<InstallRoute>(action);
            actions.clear();
        }
    }
    const double each = double(allocated() - before) / kRoutes;
    CHECK(installed == kRoutes);
    CHECK(each < 180);
    CHECK(each > 100);  // else this measures nothing
}
