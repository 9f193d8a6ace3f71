// The node by hand: one event at a time, the changes it asks the kernel for in return.

#include "desk.hpp"
#include "overlay/desired.hpp"

#include <algorithm>

using namespace aronet;
using namespace aronet::overlay;
using namespace aronet::overlay::test;
using namespace std::chrono_literals;

TEST_CASE("row 8: a name of the namespace that is lost before the start is done is asked for again") {
    Desk desk;
    desk.start();
    desk.tell(netlink::Notice{netlink::NamespaceLost{}});
    desk.forget();
    desk.wait();
    CHECK(desk.asked("ip netns add"));
}

TEST_CASE("who has nothing in the kernel to go on with waits for no registry") {
    Host host{true, {}, "test", 1, ""};
    host.remembers = true;
    host.remembered = {{"router-id", "1"}, {"tunnel 7", "a b"}};
    Desk desk(config(), std::move(host));
    desk.start();
    desk.answer_all();
    CHECK(desk.asked("link add"));
}

TEST_CASE("a node that is stopped before it has begun makes nothing") {
    Desk desk;
    desk.start();
    desk.tell(RegistryChanged{registry()});
    desk.tell(Stop{});
    CHECK_FALSE(desk.stopped);
    desk.answer_all();
    CHECK(desk.stopped);
    CHECK_FALSE(desk.asked("link add"));
    CHECK_FALSE(desk.asked("addr add"));
}

TEST_CASE("a registry that comes while the node stops is refused, not forgotten") {
    Desk desk;
    running(desk);
    desk.tell(Stop{});
    desk.tell(RegistryChanged{registry(), 3});
    REQUIRE(desk.answers.size() == 1);
    CHECK(desk.answers.front().status == 503);
}

TEST_CASE("row 13: somebody else's link under the name of a tunnel is not set up, and nothing is said on it"
) {
    Desk desk;
    running(desk);
    const auto name = pairings(config(), registry(), {}).front().interface;
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, name, 7, 1400, false, false}});
    desk.answer_all();
    CHECK_FALSE(desk.asked(name));
    desk.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, name}});
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, name, 7, 1400, false, false}});
    desk.answer_all();
    CHECK_FALSE(desk.asked(name + "."));  // what it is asked to be
}

TEST_CASE("C13: a tunnel's interface that somebody removes comes back in its VRF with address and sysctls") {
    Desk desk;
    running(desk);
    const auto name = pairings(config(), registry(), {}).front().interface;
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, name}});
    desk.wait();
    desk.answer_all();
    CHECK(desk.asked("link add " + name));
    CHECK(desk.asked("dev " + name));
    CHECK_FALSE(desk.asked("rp_filter"));
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, name, 7, 1400}});
    CHECK(desk.asked("net.ipv4.conf." + name + ".rp_filter"));
    desk.answer_all();
    desk.wait();
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkUp{netlink::Space::underlay, name, 7, 1500}});
    CHECK(desk.wishes.empty());
}

TEST_CASE("with the main interface comes back what went with it: addresses, tunnels, routes of both families"
) {
    Desk desk;
    running(desk);
    const auto name = pairings(config(), registry(), {}).front().interface;
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, "aronet"}});
    desk.wait();
    desk.answer_all();
    CHECK(desk.asked("link add aronet"));
    CHECK(desk.asked("addr add fd66::ffff:0:0:1/128"));
    for (const char* destination : {"fd67::/64", "10.2.0.0/16", "fd66::ffff:0:0:a"})
        CHECK(desk.asked(destination));
    CHECK(desk.asked("link add " + name));
}

TEST_CASE("a link of somebody else's that goes is not ours to bring back, nor any once we stop") {
    Desk desk;
    running(desk);
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, "eth0"}});
    CHECK(desk.wishes.empty());
    desk.tell(Stop{});
    desk.forget();
    desk.tell(netlink::Notice{netlink::LinkDown{netlink::Space::underlay, "aronet"}});
    desk.wait();
    CHECK_FALSE(desk.asked("link add"));
}

TEST_CASE("C14: expiry and new mappings of SAs that nobody knows are nothing") {
    Desk desk;
    running(desk);
    desk.forget();
    for (const std::uint32_t spi : {0u, 1u, 0x12345678u, 0xffffffffu}) {
        const base::SaId unknown{*Address::parse("192.0.2.1"), spi};
        for (const bool hard : {false, true}) desk.tell(netlink::Notice{netlink::SaExpiring{unknown, hard}});
        desk.tell(netlink::Notice{netlink::Mapping{unknown, {*Address::parse("198.51.100.1"), 4500}}});
    }
    CHECK(desk.wishes.empty());
    CHECK_FALSE(desk.stopped);
}

TEST_CASE("the registry of a source is used as any other, and status tells where it is from") {
    Desk desk("https://example.org/registry.json");
    desk.start();
    const auto before = desk.registry_status();
    CHECK(before.at("source") == "https://example.org/registry.json");
    for (const char* key : {"from", "changed_seconds", "checked_seconds", "error", "copy_error"})
        CHECK(before.at(key).is_null());
    desk.wait(0s);
    REQUIRE(desk.looks == std::vector<Edition>{{}});
    RegistryLooked looked;
    looked.registry = registry();
    looked.edition = {"tag", "date", "version"};
    desk.tell(looked);
    desk.answer_all();
    CHECK(desk.asked("link add aronet-"));
    desk.wait(3s);
    const auto after = desk.registry_status();
    CHECK(after.at("nodes") == 1);
    CHECK(after.at("version") == "version");
    CHECK(after.at("from") == "url");
    CHECK(after.at("changed_seconds") == 3);
    CHECK(after.at("checked_seconds") == 3);

    desk.tell(RereadRegistry{});
    desk.wait(0s);
    REQUIRE(desk.looks.size() == 2);
    CHECK(desk.looks.back() == Edition{});
    RegistryLooked refused;
    refused.error = "not usable";
    refused.is_refused = true;
    desk.tell(refused);
    const auto failed = desk.registry_status();
    CHECK(failed.at("version") == "version");
    CHECK(failed.at("error") == "not usable");
    CHECK(failed.at("checked_seconds") == 3);
    REQUIRE(desk.errors.size() == 1);
    CHECK(desk.errors[0] == "https://example.org/registry.json: not usable: the old registry stays");

    desk.tell(RegistryChanged{Registry{{}, "loaded"}});
    const auto loaded = desk.registry_status();
    CHECK(loaded.at("from") == "load");
    CHECK(loaded.at("changed_seconds") == 0);
    CHECK(loaded.at("error") == "not usable");
}

TEST_CASE("a file that somebody touches is looked at when it is left alone") {
    Desk desk("/etc/aronet/registry.json");
    running_from_file(desk);
    CHECK(desk.registry_status().at("from") == "file");
    desk.tell(RegistryTouched{});
    desk.wait(100ms);
    CHECK(desk.looks.empty());
    desk.wait(200ms);
    REQUIRE(desk.looks.size() == 1);
    CHECK(desk.looks[0].tag == "tag");
}

TEST_CASE("once a node stops nobody looks for registries, and one that was found is not used") {
    Desk desk("/etc/aronet/registry.json");
    desk.start();
    desk.wait(0s);
    CHECK(desk.looks.size() == 1);
    desk.tell(Stop{});
    RegistryLooked looked;
    looked.registry = registry();
    desk.tell(looked);
    desk.tell(RereadRegistry{});
    desk.wait(100ms);
    CHECK(desk.looks.size() == 1);
    CHECK_FALSE(desk.asked("link add aronet-"));
}

TEST_CASE("without a source who asks for the registry to be read again is told that there is none") {
    Desk desk;
    running(desk);
    desk.tell(RereadRegistry{});
    desk.wait(1s);
    CHECK(desk.looks.empty());
    CHECK(desk.registry_status().at("source").is_null());
}

TEST_CASE("row 15: who is to keep all asks the kernel for nothing; where the ESP is our own it is refused") {
    for (const bool kernel_datapath : {true, false}) {
        Desk desk("", kernel_datapath);
        desk.start();
        desk.tell(RegistryChanged{registry(), 0});
        desk.answer_all();
        desk.wait();
        desk.answer_all();
        desk.forget();
        for (const char* nonsense : {"[]", R"({"keep": 1})", "{"}) {
            desk.tell(Request{1, "stop", nonsense});
            CHECK(desk.answers.back().status == 400);
        }
        desk.tell(Request{1, "stop", R"({"keep": true})"});
        CHECK(desk.answers.back().status == (kernel_datapath ? 200 : 409));
        CHECK(desk.stopped == kernel_datapath);
        CHECK(desk.wishes.empty());
    }
}

TEST_CASE("row 15: nothing is kept for another node, nor where a service manager lets go of it") {
    const auto renamed = [] {
        Config out = config();
        out.ifname = "other";
        return out;
    };
    Config other = config();
    other.seccomp = SeccompChoice::off;  // takes a restart, and the same node goes on
    {
        Desk desk;
        running(desk);
        desk.tell(Request{1, "stop", R"({"keep": true})", renamed()});
        CHECK(desk.answers.back().status == 409);
        CHECK_FALSE(desk.stopped);
        desk.forget();
        desk.tell(Request{2, "stop", R"({"keep": true})", std::move(other)});
        CHECK(desk.answers.back().status == 200);
        CHECK(desk.stopped);
        CHECK(desk.wishes.empty());
    }
    {
        Config without = config();
        without.endpoints.clear();  // nobody goes on with the tunnels
        Desk desk;
        running(desk);
        desk.tell(Request{1, "stop", R"({"keep": true})", std::move(without)});
        CHECK(desk.answers.back().status == 409);
    }
    {
        Desk desk("", true, true);
        running(desk);
        desk.tell(Request{1, "stop", R"({"keep": true})"});
        CHECK(desk.answers.back().status == 409);
        CHECK_FALSE(desk.stopped);
        desk.tell(Stop{true, renamed()});  // by the manager's signal
        desk.answer_all();
        CHECK(desk.asked("link del"));
    }
}

TEST_CASE("packets with a mark of their own that would enter the overlay are warned of") {
    Config marked = config();
    marked.endpoints.front().fwmark = 7;
    const auto warned = [](Desk& desk) {
        desk.tell(Request{1, "status", ""});
        return desk.answers.back().body.find("a mark of their own") != std::string::npos;
    };
    Desk desk(std::move(marked), Host{true, {}, "test", 1, ""});
    running(desk);
    CHECK_FALSE(warned(desk));
    Registry wide = registry();
    wide.nodes.front().prefixes.push_back(*Prefix::parse("192.0.2.0/24"));
    desk.tell(RegistryChanged{wide});
    CHECK(warned(desk));
}

// ---- another configuration, another registry

namespace {

Config with_address(const char* address) {
    Config out = config();
    out.extra_ip = {{*Address::parse(address), 32u}};
    return out;
}

Registry many(std::size_t count) {
    Registry out = registry();
    for (std::size_t i = 0; i < count; ++i) {
        RegistryNode node = out.nodes.front();
        node.common_name = "n" + std::to_string(i);
        node.network = *Prefix::parse("fd70:" + std::to_string(i) + "::/64");
        node.prefixes.clear();
        out.nodes.push_back(node);
    }
    std::sort(out.nodes.begin(), out.nodes.end());
    return out;
}

}  // namespace

TEST_CASE("row 8: a namespace that has lost its name is asked for again, and nothing of what is in it") {
    Desk desk;
    running(desk);
    desk.forget();
    desk.tell(netlink::Notice{netlink::NamespaceLost{}});
    CHECK(desk.wishes.empty());  // nobody's other change is undone half way
    desk.wait();
    CHECK(changes(desk) == std::vector<std::string>{"ip netns add aronet"});
    desk.tell(Stop{});
    desk.forget();
    desk.tell(netlink::Notice{netlink::NamespaceLost{}});
    desk.wait();
    CHECK_FALSE(desk.asked("ip netns add"));
}

TEST_CASE("another configuration changes what is another in the kernel, and nothing else") {
    Desk desk;
    running(desk);
    desk.forget();
    Config next = with_address("10.1.0.1");
    next.babel.rxcost = 500;
    desk.tell(ConfigChanged{std::move(next), 7});
    desk.answer_all();
    CHECK(changes(desk) == std::vector<std::string>{"ip addr add 10.1.0.1/32 dev aronet"});
    REQUIRE(desk.answers.size() == 1);
    CHECK(desk.answers[0].status == 200);
    CHECK(last_answer(desk).at("changed") == nlohmann::json{"daemon.extra_ip", "babel.rxcost"});
    CHECK(last_answer(desk).at("registry").is_null());
}

TEST_CASE("a configuration with a key that lasts is refused as a whole, by name and place") {
    Desk desk;
    running(desk);
    desk.forget();
    Config next = with_address("10.1.0.1");
    next.ifname = "mesh";
    next.places = {{"daemon.ifname", "config.json:3:4"}};
    desk.tell(ConfigChanged{std::move(next), 7});
    desk.answer_all();
    CHECK(desk.wishes.empty());
    REQUIRE(desk.answers.size() == 1);
    CHECK(desk.answers[0].status == 422);
    CHECK(last_answer(desk).at("refused") == "configuration");
    const std::string line = last_answer(desk).at("problems").at(0);
    CHECK(line.starts_with("config.json:3:4: daemon.ifname: cannot be another while the daemon runs"));
    CHECK(desk.errors.size() == 2);
}

TEST_CASE("row 66: a key of its own that is another is refused, a registry without the node is taken") {
    Desk desk;
    running(desk);
    desk.forget();
    Config next = config();
    next.public_key[0] = 1;
    desk.tell(ConfigChanged{std::move(next), 7});
    CHECK(desk.answers.back().status == 422);
    desk.tell(RegistryChanged{registry(), 8});  // which does not have this node
    CHECK(desk.answers.back().status == 200);
    CHECK_FALSE(desk.asked("link del"));
}

TEST_CASE("row 70: a configuration that comes during the start is used after it, during a stop not at all") {
    Desk desk;
    desk.start();
    desk.tell(ConfigChanged{with_address("10.1.0.1"), 1});
    desk.tell(ConfigChanged{with_address("10.1.0.2"), 2});
    REQUIRE(desk.answers.size() == 1);
    CHECK(desk.answers[0].id == 1);
    CHECK(desk.answers[0].status == 409);
    desk.answer_all();
    CHECK(desk.asked("addr add 10.1.0.2/32"));
    CHECK_FALSE(desk.asked("addr add 10.1.0.1/32"));
    REQUIRE(desk.answers.size() == 2);
    CHECK(desk.answers[1].status == 200);
    desk.tell(Stop{});
    desk.tell(ConfigChanged{with_address("10.1.0.3"), 3});
    CHECK(desk.answers.back().status == 503);
    desk.answer_all();
    CHECK_FALSE(desk.asked("addr add 10.1.0.3/32"));
}

TEST_CASE("who asked for a reload is answered when the registry has been read, too") {
    Desk desk("/etc/aronet/registry.json");
    running_from_file(desk);
    desk.tell(ConfigChanged{with_address("10.1.0.1"), 5});
    CHECK(desk.answers.empty());
    desk.wait(0s);
    REQUIRE_FALSE(desk.looks.empty());
    RegistryLooked failed;
    failed.error = "not usable";
    failed.is_refused = true;
    desk.tell(failed);
    REQUIRE(desk.answers.size() == 1);
    CHECK(desk.answers[0].status == 422);
    CHECK(last_answer(desk).at("refused") == "registry");
    CHECK(desk.asked("addr add 10.1.0.1/32"));
}

TEST_CASE("row 64: of a thousand nodes only that is touched which is another") {
    Desk desk;
    running(desk);
    Registry big = many(1000);
    desk.tell(RegistryChanged{big});
    desk.answer_all();
    desk.forget();
    desk.tell(RegistryChanged{big, 1});
    CHECK(desk.wishes.empty());

    big.version = "another";
    big.nodes[500].prefixes = {*Prefix::parse("10.77.0.0/16")};
    desk.tell(RegistryChanged{big, 2});
    desk.answer_all();
    CHECK(desk.wishes.size() == 3);
    for (const std::string& wish : desk.wishes) CHECK(wish.find("10.77.0.0/16") != std::string::npos);

    desk.forget();
    const std::string network = big.nodes[500].network->to_string();
    big.nodes.erase(big.nodes.begin() + 500);
    big.version = "a third";
    desk.tell(RegistryChanged{big, 3, "load", true});
    CHECK(desk.wishes.empty());
    const auto planned = last_answer(desk).at("changes");
    desk.tell(RegistryChanged{big, 4});
    desk.answer_all();
    CHECK(desk.wishes.size() == 7);  // a link; of either prefix a route and the ends behind it
    CHECK(planned.size() == desk.wishes.size());
    CHECK(desk.asked("link del aronet-"));
    CHECK(desk.asked(network));
}

namespace {

const std::string kLook = "ip link show aronet*";

// Starts, but nobody shows the kernel.
void unseen(Desk& desk) {
    desk.refuses = kLook;
    running(desk);
    CHECK(desk.wishes == std::vector<std::string>{kLook});
    desk.forget();
}

}  // namespace

TEST_CASE("row 12: a start to which the kernel is not shown asks again, and changes nothing before") {
    Desk desk;
    unseen(desk);
    desk.wait();
    CHECK(desk.wishes.empty());
    desk.wait(1s);
    CHECK(desk.wishes == std::vector<std::string>{kLook});
    desk.refuses.clear();
    desk.answer_all();
    CHECK(desk.asked("link add aronet"));
    CHECK(std::ranges::count(desk.wishes, kLook) == 1);
}

TEST_CASE("row 12: a node to which the kernel is never shown starts in the end, and stops at any time") {
    for (const int looks : {0, 1, 4}) {
        CAPTURE(looks);
        Desk desk;
        unseen(desk);
        for (int i = 0; i < looks; ++i) {
            desk.wait(1s);
            desk.answer_all();
        }
        CHECK(desk.asked("link add aronet") == (looks == 4));
        desk.refuses.clear();
        desk.tell(Stop{});
        desk.answer_all();
        CHECK(desk.wait_for([&] { return desk.answer_all(), desk.stopped; }));
    }
}

TEST_CASE("row 12: what went unsaid while the node started is looked at behind it") {
    Desk desk;
    desk.start();
    desk.tell(RegistryChanged{registry()});
    desk.tell(netlink::Notice{netlink::Lost{}});
    desk.answer_all();
    CHECK(std::ranges::count(desk.wishes, kLook) == 2);
}
