// Tunnels that share a link: what the kernel is to look like, what is taken over, and what becomes of it
// where the kernel or the configuration will not have it.

#include "desk.hpp"
#include "overlay/alteration.hpp"
#include "overlay/desired.hpp"
#include "overlay/keeper.hpp"
#include "overlay/legacy.hpp"

using namespace aronet;
using namespace aronet::overlay;
using namespace aronet::overlay::test;
using netlink::Space;

namespace {

constexpr const char* kLink = "aronet-x";

Config sharing(Mode mode = Mode::vrf) {
    Config out = config();
    out.mode = mode;
    out.links = Links::shared;
    return out;
}

Host with_kernel_datapath() { return {true, {}, "test", 1, "", false, false}; }

// To two nodes of one endpoint each.
std::vector<Pairing> two_tunnels(Carrier first, Carrier second) {
    Registry both = registry();
    both.nodes.push_back(both.nodes.front());
    both.nodes.back().common_name = "three";
    both.nodes.back().endpoints.front().address = *Address::parse("192.0.2.3");
    auto list = pairings(sharing(), both, {});
    REQUIRE(list.size() == 2);
    list[0].carrier = first;
    list[1].carrier = second;
    return list;
}

template <class Kind>
std::size_t count(const Objects& objects) {
    return static_cast<std::size_t>(std::ranges::count_if(objects.links, [](const netlink::Link& link) {
        return std::holds_alternative<Kind>(link.kind);
    }));
}

// The routes to peers over the shared link: address and tunnel.
std::map<Prefix, std::uint32_t> ways(const Objects& objects) {
    std::map<Prefix, std::uint32_t> out;
    for (const netlink::Route& route : objects.routes) {
        const auto* tunnel = std::get_if<netlink::XfrmEncap>(&route.encap);
        if (tunnel == nullptr) continue;
        CHECK(route.link == kLink);
        out.emplace(route.key.destination, tunnel->if_id);
    }
    return out;
}

std::set<Address> own_addresses(const Objects& objects) {
    std::set<Address> out;
    for (const netlink::LinkAddress& each : objects.addresses) {
        if (each.link == kLink && each.prefix_length == 128) out.insert(each.address);
    }
    return out;
}

// What is left of tunnels that were pinned, or not.
std::map<std::uint32_t, Legacy> left_by(const std::vector<Pairing>& tunnels, bool pinned) {
    std::map<std::uint32_t, Legacy> out;
    for (const Pairing& pairing : tunnels) {
        Legacy& legacy = out[pairing.if_id];
        legacy.policies.if_id = pairing.if_id;
        if (pinned) legacy.policies.pin = pin_on_shared(pairing);
    }
    return out;
}

}  // namespace

TEST_CASE("a shared link has our addresses and a way to each peer that names its tunnel") {
    const auto tunnels = two_tunnels(Carrier::shared, Carrier::shared);
    for (const Mode mode : {Mode::vrf, Mode::netns, Mode::none}) {
        const Objects wanted = desired(sharing(mode), registry(), tunnels);
        CHECK(count<netlink::External>(wanted) == 1);
        CHECK(count<netlink::Tunnel>(wanted) == 0);
        const netlink::Link& link = wanted.links.back();
        CHECK(link.name == kLink);
        CHECK(link.space == (mode == Mode::netns ? Space::overlay : Space::underlay));
        CHECK(link.master == (mode == Mode::vrf ? "aronet" : ""));
        CHECK(own_addresses(wanted) == std::set{tunnels[0].on_shared.own});  // one endpoint of ours
        CHECK(
            ways(wanted) ==
            std::map{
                std::pair(Prefix::host(tunnels[0].on_shared.peer), tunnels[0].if_id),
                std::pair(Prefix::host(tunnels[1].on_shared.peer), tunnels[1].if_id)}
        );
    }
}

TEST_CASE("until a peer was met its tunnel has no link, and who does not share has one of its own") {
    const auto tunnels = two_tunnels(Carrier::undecided, Carrier::own);
    const Objects wanted = desired(sharing(), registry(), tunnels);
    CHECK(count<netlink::External>(wanted) == 1);
    CHECK(count<netlink::Tunnel>(wanted) == 1);
    CHECK(wanted.links.back().name == tunnels[1].interface);
    CHECK(ways(wanted).empty());
    Config per_peer = sharing();
    per_peer.links = Links::per_peer;
    const Objects without = desired(per_peer, registry(), two_tunnels(Carrier::own, Carrier::own));
    CHECK(count<netlink::External>(without) == 0);
    CHECK(count<netlink::Tunnel>(without) == 2);
}

TEST_CASE("an address on shared links is that of an endpoint: the same to all its peers, and to none of ours"
) {
    const auto tunnels = two_tunnels(Carrier::shared, Carrier::shared);
    CHECK(tunnels[0].on_shared.own == tunnels[1].on_shared.own);
    CHECK(tunnels[0].on_shared.peer != tunnels[1].on_shared.peer);
    // The other end has it the other way round.
    Config there = sharing();
    there.common_name = "two";
    there.endpoints.front().address = *Address::parse("192.0.2.2");
    Registry here = registry();
    here.nodes.front().common_name = "one";
    here.nodes.front().endpoints.front().address = *Address::parse("192.0.2.1");
    const auto back = pairings(there, here, {});
    REQUIRE(back.size() == 1);
    const auto same =
        std::ranges::find(tunnels, back[0].on_shared.own, [](const Pairing& p) { return p.on_shared.peer; });
    REQUIRE(same != tunnels.end());
    CHECK(back[0].on_shared.peer == same->on_shared.own);
}

TEST_CASE("the shared link of an earlier run is ours and goes where links are not shared any more") {
    const auto tunnels = two_tunnels(Carrier::shared, Carrier::shared);
    const Objects before = desired(sharing(), registry(), tunnels);
    Config per_peer = sharing();
    per_peer.links = Links::per_peer;
    netlink::Snapshot snapshot;
    snapshot.links = before.links;
    snapshot.links.emplace_back().name = "aronet-xy";
    snapshot.addresses = before.addresses;
    snapshot.routes = before.routes;
    const Objects there = found(snapshot, per_peer);
    CHECK(there.links.size() == before.links.size());
    std::vector<std::string> gone;
    for (const netlink::Wish& wish : difference(there, desired(per_peer, registry(), {})))
        gone.push_back(netlink::describe(wish));
    CHECK(std::ranges::count(gone, "ip link del aronet-x") == 1);
}

TEST_CASE("what carries a tunnel of an earlier run is told by whether it was pinned") {
    for (const bool pinned : {true, false}) {
        auto tunnels = two_tunnels(Carrier::undecided, Carrier::undecided);
        const auto left = left_by({tunnels[0]}, pinned);
        adopt_carriers(left, sharing(), tunnels);
        CHECK(tunnels[0].carrier == (pinned ? Carrier::shared : Carrier::own));
        CHECK(tunnels[1].carrier == Carrier::undecided);
    }
    auto tunnels = two_tunnels(Carrier::own, Carrier::own);
    Config per_peer = sharing();
    per_peer.links = Links::per_peer;
    adopt_carriers(left_by(tunnels, true), per_peer, tunnels);
    CHECK(tunnels[0].carrier == Carrier::own);
    // By other addresses it was somebody else's.
    auto others = two_tunnels(Carrier::undecided, Carrier::undecided);
    auto left = left_by(others, true);
    left.begin()->second.policies.pin->peer = *Address::parse("fe80::1");
    adopt_carriers(left, sharing(), others);
    CHECK(std::ranges::count(others, Carrier::own, &Pairing::carrier) == 1);
}

TEST_CASE("nodes of which each could be heard as the other share no link") {
    auto tunnels = two_tunnels(Carrier::undecided, Carrier::undecided);
    share_out(tunnels);
    CHECK((tunnels[0].peer.may_share_link && tunnels[1].peer.may_share_link));
    // As if somebody had searched for such a name.
    tunnels[0].on_shared.peer = *Address::parse("fe80::1:2:3:4");
    tunnels[1].on_shared.peer = *Address::parse("fe80::1:2:3:5");
    share_out(tunnels);
    CHECK_FALSE((tunnels[0].peer.may_share_link || tunnels[1].peer.may_share_link));
    // Endpoints of one node are let in by each other's policies, and speak for one.
    tunnels[1].peer.remote.common_name = tunnels[0].peer.remote.common_name;
    share_out(tunnels);
    CHECK((tunnels[0].peer.may_share_link && tunnels[1].peer.may_share_link));
}

TEST_CASE("pinned policies that nobody goes on with are removed with what they kept out") {
    const auto tunnels = two_tunnels(Carrier::shared, Carrier::shared);
    netlink::Snapshot snapshot;
    snapshot.policies.resize(1);
    snapshot.policies[0].if_id = 77;  // of a peer that is none any more, known by its route
    snapshot.policies[0].pin = pin_on_shared(tunnels[0]);
    CHECK(clean_up(snapshot, sharing(), tunnels, {}).empty());
    netlink::Route way;
    way.link = kLink;
    way.encap = netlink::XfrmEncap{77};
    snapshot.routes = {way};
    const auto wishes = clean_up(snapshot, sharing(), tunnels, {});
    REQUIRE(wishes.size() == 1);
    const auto* removed = std::get_if<netlink::RemovePolicies>(&wishes[0]);
    REQUIRE(removed != nullptr);
    CHECK(removed->if_id == 77);
    CHECK(removed->pin == pin_on_shared(tunnels[0]));
}

TEST_CASE("a kernel that refuses the shared link is asked again, and its refusal is told of once") {
    Desk desk(sharing(), with_kernel_datapath());
    desk.refuses = "ip link add aronet-x";
    running(desk);
    REQUIRE(desk.asked(desk.refuses));
    desk.forget();
    for (int i = 0; i < 100; ++i) {
        desk.wait(1s);
        desk.answer_all();
    }
    CHECK(desk.asked(desk.refuses));
    const auto told = std::ranges::count_if(desk.errors, [](const std::string& line) {
        return line.find(kLink) != std::string::npos;
    });
    CHECK(told == 1);
    CHECK_FALSE(desk.asked("addr add fe80:"));  // nothing is put on it
}

TEST_CASE("without the kernel's ESP links are as if they had not been asked to be shared") {
    Host host = with_kernel_datapath();
    host.kernel_datapath = false;
    Desk desk(sharing(), host);
    running(desk);
    CHECK_FALSE(desk.asked(kLink));
    CHECK(desk.asked(pairings(config(), registry(), {}).front().interface));
}

TEST_CASE(
    "whether links are shared lasts until a restart: another wish is refused by name, the rest untouched"
) {
    const auto wanted = [] {
        Config out = sharing();
        out.mtu = 1300;
        return out;
    };
    CHECK(refused_changes(config(), config()).empty());
    const auto lines = refused_changes(config(), wanted());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("daemon.links: cannot be another") != std::string::npos);
    Desk desk;
    running(desk);
    desk.forget();
    desk.tell(ConfigChanged{wanted()});
    CHECK(changes(desk).empty());
    REQUIRE_FALSE(desk.errors.empty());
    CHECK(desk.errors.front().find("daemon.links: cannot be another") != std::string::npos);
    // Where they cannot be shared anyway it is no other wish.
    Desk user("", false);
    running(user);
    user.forget();
    user.tell(ConfigChanged{wanted()});
    CHECK(user.errors.empty());
    CHECK(user.asked("mtu 1300"));
}

TEST_CASE(
    "where somebody else has SAs each tunnel has a link of its own: a shared one would take their packets"
) {
    Desk desk(sharing(), with_kernel_datapath());
    desk.snapshot.has_other_sas = true;
    desk.start();
    desk.answer_all();
    desk.tell(RegistryChanged{registry()});
    desk.answer_all();
    CHECK_FALSE(desk.asked(kLink));
    CHECK(desk.asked(pairings(config(), registry(), {}).front().interface));
    desk.tell(Request{98, "status", ""});
    CHECK(last_answer(desk).at("warnings").dump().find("SAs of somebody else") != std::string::npos);
}
