#pragma once

// The node by hand: one event at a time, the changes it asks the kernel for in return.

#include "overlay/node.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>

namespace aronet::overlay::test {

using namespace std::chrono_literals;

inline EndpointConfig own_endpoint() {
    EndpointConfig endpoint;
    endpoint.address = *Address::parse("192.0.2.1");
    endpoint.serial_number = "0";
    return endpoint;
}

inline Config config() {
    Config out;
    out.private_key = base::Secret(32);
    out.organization = "acme";
    out.common_name = "one";
    out.network = *Prefix::parse("fd66::/64");
    out.endpoints = {own_endpoint()};
    return out;
}

inline Registry registry() {
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
    explicit Desk(const std::string& source = "", bool kernel_datapath = true, bool is_managed = false)
        : Desk(config(), Host{kernel_datapath, {}, "test", 1, source, false, is_managed}) {}
    Desk(Config config, Host host)
        : random_(base::Random::from_number(1)), node_(std::move(config), std::move(host), random_) {}

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
            const bool refused = !refuses.empty() && netlink::describe(change.wish).starts_with(refuses);
            if (!refused && std::holds_alternative<netlink::TakeSnapshot>(change.wish))
                tell(netlink::Notice{snapshot});
            tell(netlink::Notice{netlink::Done{change.id, refused ? EBUSY : 0, refused ? "no" : ""}});
        }
    }
    // Time passes.
    void wait(Duration duration) {
        now_ += duration;
        turn([&](Actions& out) { node_.tick(now_, out); });
    }
    // What status says of the registry.
    nlohmann::json registry_status() {
        tell(Request{99, "status", ""});
        return nlohmann::json::parse(answers.back().body).at("registry");
    }
    void forget() { wishes.clear(); }
    void wait() {  // long enough for what goes together to come back together
        now_ += std::chrono::milliseconds(100);
        turn([&](Actions& out) { node_.tick(now_, out); });
    }

    // Until something happens that this says, ten seconds at most.
    bool wait_for(const std::function<bool()>& holds) {
        for (int i = 0; i < 100 && !holds(); ++i) wait();
        return holds();
    }

    bool asked(const std::string& words) const {
        return std::any_of(wishes.begin(), wishes.end(), [&](const std::string& wish) {
            return wish.find(words) != std::string::npos;
        });
    }

    std::vector<std::string> wishes;  // in the words of `ip`
    std::string refuses;              // what begins so
    netlink::Snapshot snapshot;       // of what there is
    bool stopped = false;
    std::vector<Answer> answers;
    std::vector<Edition> looks;          // that were asked for: what was known then
    std::vector<std::string> errors;     // that were logged
    std::vector<Resolve> questions;      // for name servers
    std::vector<base::Endpoint> called;  // where IKE went
    std::vector<RunUpdown> scripts;

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
            if (auto* look = std::get_if<LookAtRegistry>(&action)) looks.push_back(look->known);
            if (auto* note = std::get_if<base::Note>(&action); note && note->level == base::Level::error)
                errors.push_back(note->text);
            if (auto* question = std::get_if<Resolve>(&action)) questions.push_back(*question);
            if (auto* send = std::get_if<SendIke>(&action)) called.push_back(send->to);
            if (auto* script = std::get_if<RunUpdown>(&action)) scripts.push_back(std::move(*script));
            stopped |= std::holds_alternative<Stopped>(action);
        }
    }

    Instant now_{};
    base::Random random_;
    Node node_;
    std::deque<netlink::Change> unanswered_;
};

inline Desk& running(Desk& desk) {
    desk.start();
    desk.tell(RegistryChanged{registry()});
    desk.answer_all();
    return desk;
}

inline void running_from_file(Desk& desk) {
    desk.start();
    RegistryLooked looked;
    looked.registry = registry();
    looked.edition = {"tag", "", "version"};
    desk.tell(looked);
    desk.answer_all();
}

// What was asked of the kernel but questions.
inline std::vector<std::string> changes(const Desk& desk) {
    std::vector<std::string> out;
    for (const std::string& wish : desk.wishes) {
        if (wish.starts_with("ip ") && !wish.starts_with("ip link show")) out.push_back(wish);
    }
    return out;
}

inline nlohmann::json last_answer(const Desk& desk) {
    return nlohmann::json::parse(desk.answers.back().body);
}

}  // namespace aronet::overlay::test
