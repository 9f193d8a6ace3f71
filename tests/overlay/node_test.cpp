// The node by hand: one event at a time, the changes it asks the kernel for in return.

#include "overlay/node.hpp"

#include "overlay/desired.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;

namespace {

EndpointConfig own_endpoint() {
    EndpointConfig endpoint;
    endpoint.address = *Address::parse("192.0.2.1");
    endpoint.serial_number = "0";
    return endpoint;
}

Config config() {
    Config out;
    out.private_key = base::Secret(32);
    out.organization = "acme";
    out.common_name = "one";
    out.network = *Prefix::parse("fd66::/64");
    out.endpoints = {own_endpoint()};
    return out;
}

Registry registry() {
    RegistryEndpoint endpoint;
    endpoint.address = *Address::parse("192.0.2.2");
    endpoint.serial_number = "0";
    RegistryNode node;
    node.organization = "acme";
    node.common_name = "two";
    node.endpoints = {endpoint};
    node.network = *Prefix::parse("fd67::/64");
    node.prefixes = {*Prefix::parse("10.2.0.0/16")};
    return {{node}, "version"};
}

// A node whose kernel does what it is asked, at once, and can be made to wait with its answers.
class Desk {
public:
    Desk() : random_(base::Random::from_number(1)), node_(config(), Host{true, {}, "test", 1}, random_) {}

    void start() {
        turn([&](Actions& out) { node_.start(now_, out); });
    }
    void tell(Event event) {
        turn([&](Actions& out) { node_.handle(std::move(event), now_, out); });
    }
    // All that was asked is answered, and what is asked in return.
    void answer_all() {
        while (!unanswered_.empty()) {
            const netlink::Change change = std::move(unanswered_.front());
            unanswered_.pop_front();
            if (std::holds_alternative<netlink::TakeSnapshot>(change.wish))
                tell(netlink::Notice{netlink::Snapshot{}});
            tell(netlink::Notice{netlink::Done{change.id, 0, {}}});
        }
    }
    void forget() { wishes.clear(); }
    void wait() {  // long enough for what goes together to come back together
        now_ += std::chrono::milliseconds(100);
        turn([&](Actions& out) { node_.tick(now_, out); });
    }

    bool asked(const std::string& words) const {
        return std::any_of(wishes.begin(), wishes.end(), [&](const std::string& wish) {
            return wish.find(words) != std::string::npos;
        });
    }

    std::vector<std::string> wishes;  // in the words of `ip`
    bool stopped = false;
    std::vector<Answer> answers;

private:
    void turn(const std::function<void(Actions&)>& what) {
        Actions actions;
        what(actions);
        for (Action& action : actions) {
            if (auto* change = std::get_if<netlink::Change>(&action)) {
                wishes.push_back(netlink::describe(change->wish));
                unanswered_.push_back(std::move(*change));
            }
            if (auto* answer = std::get_if<Answer>(&action)) answers.push_back(std::move(*answer));
            stopped |= std::holds_alternative<Stopped>(action);
        }
    }

    Instant now_{};
    base::Random random_;
    Node node_;
    std::deque<netlink::Change> unanswered_;
};

Desk& running(Desk& desk) {
    desk.start();
    desk.tell(RegistryChanged{registry()});
    desk.answer_all();
    return desk;
}

}  // namespace

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
