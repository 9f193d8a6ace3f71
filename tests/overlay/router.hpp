#pragma once

// A node without tunnels whose kernel is the test itself.

#include "overlay/node.hpp"
#include "overlay/parse.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace aronet::overlay {

using namespace std::chrono_literals;
using netlink::Space;

class Router {
public:
    explicit Router(const std::string& babel) : node_(config_of(babel), {}, random_) {
        node_.start(now_, actions_);
        settle();
    }

    void tell(netlink::Notice notice) {
        node_.handle(std::move(notice), now_, actions_);
        settle();
    }
    void hear(const char* link, const Address& from, const base::Bytes& packet) {
        const Address group = *Address::parse("ff02::1:6");
        node_.handle(BabelDatagram{packet, link, from, group, 6696, now_}, now_, actions_);
        settle();
    }
    // The kernel answers what it has kept waiting, and goes on obeying at once.
    void release() {
        busy = false;
        for (netlink::Change& change : std::exchange(kept_, {})) obey(std::move(change));
        settle();
    }
    std::size_t kept() const { return kept_.size(); }
    void up(const char* link, std::uint32_t mtu = 1500) {
        tell(netlink::LinkUp{Space::underlay, link, 2, mtu});
    }
    void down(const char* link) { tell(netlink::LinkDown{Space::underlay, link}); }
    void add(const char* link, const char* address) {
        tell(netlink::AddressAppeared{Space::underlay, link, *Address::parse(address)});
    }
    void remove(const char* link, const char* address) {
        tell(netlink::AddressVanished{Space::underlay, link, *Address::parse(address)});
    }
    void stop() {
        node_.handle(Stop{}, now_, actions_);
        settle();
    }
    void wait(Duration time) {
        now_ += time;
        node_.tick(now_, actions_);
        settle();
    }
    // "eth0 as fe80::1", by what was sent last on each interface.
    std::map<std::string, std::string> speaks() {
        spoken.clear();
        for (int i = 0; i < 100; ++i) {
            now_ += 100ms;
            node_.tick(now_, actions_);
            settle();
        }
        return spoken;
    }
    nlohmann::json ask(const char* verb) {
        node_.handle(Request{1, verb, {}}, now_, actions_);
        settle();
        return nlohmann::json::parse(answer);
    }
    std::string state_of(const char* link) {
        const auto status = ask("status");
        for (const auto& entry : status.at("interfaces")) {
            if (entry.at("interface") == link) return entry.at("state");
        }
        return "unknown";
    }

    std::map<std::string, std::string> spoken;
    std::set<std::string> listening;
    std::string answer;
    unsigned snapshots = 0;
    std::vector<netlink::Notice> neighbourhood;  // what a snapshot tells
    bool busy = false;                           // the kernel keeps waiting who asks about routes
    std::map<netlink::RouteKey, netlink::Route> routes;
    std::size_t route_changes = 0;
    bool count_only = false;  // and remembers none
    bool refuses = false;     // routes that are to be added
    bool stopped = false;

private:
    static Config config_of(const std::string& babel) {
        Problems problems;
        const auto no_files = [](const std::string&) -> base::Result<base::Secret> {
            return base::Error{"no"};
        };
        auto config = parse_config(
            R"({"daemon": {"mode": "none"}, "endpoints": [], "babel": {)" + babel + "}}",
            "c",
            no_files,
            problems
        );
        REQUIRE(config);
        return std::move(*config);
    }

    // The kernel obeys.
    void settle() {
        while (!actions_.empty()) {
            Actions actions = std::exchange(actions_, {});
            for (Action& action : actions) {
                if (const auto* send = std::get_if<SendBabel>(&action))
                    spoken[send->link] = send->from.to_string();
                if (const auto* listen = std::get_if<ListenBabel>(&action)) listening.insert(listen->link);
                stopped = stopped || std::holds_alternative<Stopped>(action);
                if (const auto* said = std::get_if<Answer>(&action)) answer = said->body;
                if (auto* change = std::get_if<netlink::Change>(&action)) obey(std::move(*change));
            }
        }
    }
    void obey(netlink::Change change) {
        const auto* add = std::get_if<netlink::AddRoute>(&change.wish);
        const auto* remove = std::get_if<netlink::RemoveRoute>(&change.wish);
        if (busy && (add != nullptr || remove != nullptr)) return kept_.push_back(std::move(change));
        if (add != nullptr && refuses) {
            ++route_changes;
            return node_.handle(netlink::Notice(netlink::Done{change.id, 22, "no"}), now_, actions_);
        }
        if (add != nullptr && !count_only) put(add->route);
        if (remove != nullptr) routes.erase(remove->key);
        route_changes += add != nullptr || remove != nullptr ? 1 : 0;
        if (std::holds_alternative<netlink::TakeSnapshot>(change.wish)) {
            ++snapshots;
            for (const netlink::Notice& notice : neighbourhood) node_.handle(notice, now_, actions_);
            node_.handle(netlink::Notice(netlink::Snapshot{}), now_, actions_);
        }
        node_.handle(netlink::Notice(netlink::Done{change.id, 0, ""}), now_, actions_);
    }

    // IPv6 has both where one kind of route is to replace the other.
    void put(const netlink::Route& route) {
        const auto [it, is_new] = routes.try_emplace(route.key, route);
        if (!is_new && it->second.kind != route.kind) FAIL("a route of another kind was not removed first");
        it->second = route;
    }

    base::Random random_ = base::Random::from_number(7);
    base::Instant now_{1000s};
    Actions actions_;
    std::vector<netlink::Change> kept_;
    Node node_;
};

}  // namespace aronet::overlay
