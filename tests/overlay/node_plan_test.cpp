// Plans of a running node, and what a reload does to tunnels that stay.

#include "desk.hpp"
#include "overlay/desired.hpp"

using namespace aronet;
using namespace aronet::overlay;
using namespace aronet::overlay::test;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> plan_of(Desk& desk, Config next) {
    desk.tell(ConfigChanged{std::move(next), 7, true});
    REQUIRE_FALSE(desk.answers.empty());
    REQUIRE(desk.answers.back().status == 200);
    return last_answer(desk).at("changes").get<std::vector<std::string>>();
}

bool has(const std::vector<std::string>& lines, const std::string& begin) {
    return std::ranges::any_of(lines, [&](const std::string& line) { return line.starts_with(begin); });
}

Registry named() {
    Registry out = registry();
    out.nodes.front().endpoints.front().address.reset();
    out.nodes.front().endpoints.front().hostname = "two.example";
    return out;
}

const Address kThere = *Address::parse("192.0.2.9");

Resolved answer(Duration lifetime, std::vector<Address> addresses = {kThere}) {
    return {"two.example", Family::v4, std::move(addresses), lifetime};
}

void running_by_name(Desk& desk) {
    desk.start();
    desk.tell(RegistryChanged{named()});
    desk.answer_all();
    desk.wait();
    REQUIRE(desk.questions.size() == 1);
    desk.tell(answer(300s));
}

bool calls(Desk& desk) {
    desk.called.clear();
    return desk.wait_for([&] {
        return std::ranges::any_of(desk.called, [](const auto& to) { return to.address == kThere; });
    });
}

}  // namespace

TEST_CASE("a plan alters a link that stays and does not make it anew") {
    Desk desk;
    running(desk);
    Config next = config();
    next.mtu = 1380;
    const auto lines = plan_of(desk, std::move(next));
    REQUIRE(lines.size() == 8);  // with how TCP is clamped then
    CHECK(lines.front().starts_with("+ ip link set aronet-"));
    CHECK(lines.front().ends_with(" mtu 1380"));
    CHECK(lines[1].starts_with("+ nft "));
    CHECK(plan_of(desk, config()).empty());
}

TEST_CASE("a plan that is asked for during the start is made when that is done, against what is then") {
    Desk desk;
    desk.start();
    desk.tell(RegistryChanged{registry()});
    Config next = config();
    next.extra_ip = {{*Address::parse("10.1.0.1"), 32u}};
    desk.tell(ConfigChanged{std::move(next), 7, true});
    desk.tell(RegistryChanged{Registry{}, 8, "load", true});
    CHECK(desk.answers.empty());
    desk.answer_all();
    REQUIRE(desk.answers.size() == 2);
    const auto of_config = nlohmann::json::parse(desk.answers[0].body).at("changes");
    CHECK(of_config == nlohmann::json{"+ ip addr replace 10.1.0.1/32 dev aronet"});
    const auto of_registry = nlohmann::json::parse(desk.answers[1].body);
    CHECK(of_registry.at("removed") == nlohmann::json{"acme/two"});
    CHECK(has(of_registry.at("changes").get<std::vector<std::string>>(), "- ip link del aronet-"));
    CHECK_FALSE(desk.asked("10.1.0.1"));

    Desk stopped;
    stopped.start();
    stopped.tell(RegistryChanged{registry(), 8, "load", true});
    stopped.tell(Stop{});
    stopped.answer_all();
    REQUIRE(stopped.answers.size() == 1);
    CHECK(stopped.answers.front().status == 503);
}

TEST_CASE("a plan has the sysctls that are not as they are to be, as far as the host has them") {
    Desk desk;
    Config next = config();
    running(desk);
    desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, "net.ipv4.ip_forward", "1"}});
    CHECK(plan_of(desk, config()).empty());
    desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, "net.vrf.strict_mode", "1"}});
    // Who only checks has left it as it was.
    next.sysctl = SysctlChoice::check;
    desk.tell(ConfigChanged{std::move(next), 1});
    desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, "net.ipv4.ip_forward", "0"}});
    desk.answer_all();
    CHECK(plan_of(desk, config()) == std::vector<std::string>{"+ sysctl -w net.ipv4.ip_forward=1"});
}

TEST_CASE("row 9: sysctls of which the kernel tells are looked at at once, and not for every word of it") {
    Desk desk;
    running(desk);
    desk.wait(1s);
    desk.answer_all();
    desk.forget();
    const auto touch = [&] {
        desk.tell(netlink::Notice{netlink::SysctlTouched{netlink::Space::underlay, ""}});
    };
    touch();
    touch();
    CHECK(desk.wishes.empty());
    desk.wait();
    CHECK(std::ranges::count(desk.wishes, "sysctl net.ipv4.ip_forward") == 1);
    desk.forget();
    desk.tell(netlink::Notice{netlink::SysctlTouched{netlink::Space::underlay, "eth0"}});
    desk.wait();
    CHECK(desk.wishes.empty());
    for (int i = 0; i < 50; ++i) {  // an opponent that does not give up
        touch();
        desk.wait();
    }
    CHECK(std::ranges::count(desk.wishes, "sysctl net.ipv4.ip_forward") < 15);
}

TEST_CASE("what TCP is to be clamped to is asked for again where it was refused") {
    Desk desk;
    const auto warned = [&] {
        desk.tell(Request{98, "status", ""});
        return last_answer(desk).at("warnings").dump().find("nft add table") != std::string::npos;
    };
    desk.refuses = "nft add table";
    running(desk);
    CHECK(warned());
    desk.refuses.clear();
    desk.forget();
    desk.wait();
    CHECK(desk.asked("nft add table"));
    desk.answer_all();
    CHECK_FALSE(warned());
    desk.forget();
    desk.wait(1s);
    CHECK_FALSE(desk.asked("nft add table"));
}

// The link of the one that there is.
static std::string running_with_tunnel(Desk& desk) {
    running(desk);
    std::string tunnel = pairings(config(), registry(), {}).front().interface;
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, tunnel, 7, 1400}});
    desk.answer_all();
    desk.forget();
    return tunnel;
}

TEST_CASE("row 9: sysctls of links of which the kernel does not tell are looked at, too") {
    Desk desk;
    const std::string tunnel = running_with_tunnel(desk);
    desk.wait(11s);
    CHECK(desk.asked("sysctl net.ipv6.conf." + tunnel + ".seg6_enabled"));
    CHECK(desk.asked("sysctl net.ipv4.conf." + tunnel + ".rp_filter"));
    CHECK(desk.asked("sysctl net.ipv6.conf." + tunnel + ".accept_ra"));
}

TEST_CASE("row 9: a link whose sysctls are touched again and again keeps no other from being looked at") {
    Desk desk;
    const std::string tunnel = running_with_tunnel(desk);
    for (int i = 0; i < 12; ++i) {
        desk.tell(netlink::Notice{netlink::SysctlTouched{netlink::Space::underlay, "aronet"}});
        desk.wait(1s);
    }
    CHECK(desk.asked("sysctl net.ipv6.conf." + tunnel + ".seg6_enabled"));
}

TEST_CASE("row 9: the reverse path filter of an interface that Babel runs on is put back at once") {
    Config with = config();
    with.babel.interfaces.push_back({});
    with.babel.interfaces.back().name = "eth1";
    Desk desk(std::move(with), Host{true, {}, "test", 1, "", false, false});
    running(desk);
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, "eth1", 3, 1500}});
    desk.tell(netlink::Notice{
        netlink::AddressAppeared{netlink::Space::underlay, "eth1", *Address::parse("fe80::1")}});
    desk.answer_all();
    desk.wait();
    desk.forget();
    desk.tell(netlink::Notice{netlink::SysctlTouched{netlink::Space::underlay, "eth1"}});
    desk.wait();
    CHECK(desk.asked("sysctl net.ipv4.conf.eth1.rp_filter"));
    CHECK_FALSE(desk.asked("eth1.seg6_enabled"));
}

TEST_CASE("row 16: an interface that Babel leaves has its reverse path filter back, though it is away") {
    const auto with_eth1 = [] {
        Config with = config();
        with.babel.interfaces.push_back({});
        with.babel.interfaces.back().name = "eth1";
        return with;
    };
    constexpr const char* kFilter = "net.ipv4.conf.eth1.rp_filter";
    const auto is = [](Desk& desk, const char* value) {
        desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, kFilter, value}});
        desk.answer_all();
    };
    const auto run_on_eth1 = [&](Desk& desk) {
        running(desk);
        desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, "eth1", 3, 1500}});
        desk.tell(netlink::Notice{
            netlink::AddressAppeared{netlink::Space::underlay, "eth1", *Address::parse("fe80::1")}});
        desk.answer_all();
        is(desk, "2");
        REQUIRE(desk.asked(std::string("sysctl -w ") + kFilter + "=0"));
        desk.forget();
    };
    const std::string put_back = std::string("sysctl -w ") + kFilter + "=2";

    Desk left(with_eth1(), Host{true, {}, "test", 1, "", false, false});
    run_on_eth1(left);
    left.tell(ConfigChanged{config(), 1});
    is(left, "0");
    CHECK(left.asked(put_back));
    left.forget();
    left.tell(Stop{});
    left.answer_all();
    CHECK_FALSE(left.asked(kFilter));  // it is none of ours any more

    Desk away(with_eth1(), Host{true, {}, "test", 1, "", false, false});
    run_on_eth1(away);
    away.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, "eth1"}});
    away.tell(Stop{});
    away.wait_for([&] { return away.asked(std::string("sysctl ") + kFilter); });
    is(away, "0");
    CHECK(away.asked(put_back));
}

TEST_CASE("strict mode of VRFs that is refused is asked for at the next look, not for ever") {
    Desk desk;
    running(desk);
    desk.forget();
    desk.refuses = "sysctl -w net.vrf.strict_mode=1";
    desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, "net.vrf.strict_mode", "0"}});
    desk.answer_all();
    CHECK(std::ranges::count(desk.wishes, "sysctl -w net.vrf.strict_mode=1") == 1);
    CHECK_FALSE(desk.asked("End.DT46"));
    desk.refuses.clear();
    desk.tell(netlink::Notice{netlink::SysctlValue{netlink::Space::underlay, "net.vrf.strict_mode", "0"}});
    desk.answer_all();
    CHECK(desk.asked("End.DT46"));
}

TEST_CASE("a peer given by name keeps its address when something else of it changes") {
    Desk desk;
    running_by_name(desk);
    CHECK(calls(desk));
    Registry next = named();
    next.version = "another";
    next.nodes.front().keys = {ike::PublicKey{1}};
    desk.tell(RegistryChanged{next});
    desk.answer_all();
    CHECK(calls(desk));
    CHECK(desk.questions.size() == 1);  // the answer holds

    next.nodes.front().endpoints.front().port = 4000;  // also at another port of the same host
    desk.tell(RegistryChanged{next});
    desk.called.clear();
    CHECK(desk.wait_for([&] {
        return std::ranges::any_of(desk.called, [](const auto& to) {
            return to == base::Endpoint{kThere, 4000};
        });
    }));
}

TEST_CASE("a load asks for names only whose answer is over, or was none") {
    Desk desk;
    running_by_name(desk);
    const auto load = [&] {
        desk.tell(RegistryChanged{named()});
        desk.wait(0s);
        return desk.questions.size();
    };
    CHECK(load() == 1);
    desk.wait(301s);
    CHECK(desk.questions.size() == 2);
    CHECK(load() == 2);  // it is under way
    desk.tell(answer(300s, {}));
    CHECK(load() == 3);
    desk.tell(answer(300s));
    CHECK(load() == 3);
}

TEST_CASE("a route of ours under a metric of Babel's rules is still ours at a look at everything") {
    Desk desk;
    running(desk);
    Config next = config();
    next.babel.install = {{{}, {.metric = 1024}}};
    desk.tell(ConfigChanged{std::move(next), 1});
    desk.answer_all();
    for (const auto& route : desired(config(), registry(), {}).routes) desk.snapshot.routes.push_back(route);
    desk.forget();
    desk.tell(netlink::Notice{netlink::Lost{}});
    desk.answer_all();
    desk.wait();
    desk.answer_all();
    CHECK_FALSE(desk.asked("route del"));
    CHECK_FALSE(desk.asked("route replace"));
}

TEST_CASE("a plan has the SAs of tunnels that could not stay as they are") {
    Desk desk;
    running(desk);
    // Nothing is keyed: nothing would be removed.
    Config next = config();
    next.endpoints.front().port = 4000;
    CHECK_FALSE(has(plan_of(desk, std::move(next)), "- ip xfrm"));
}
