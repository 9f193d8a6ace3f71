// connect, exit and babel.peers of config.json, connect of a registry.

#include "overlay/parse.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

Prefix net(const char* text) { return *Prefix::parse(text); }

base::Result<base::Secret> no_files(const std::string& path) { return base::Error{path + ": no such file"}; }

std::optional<Config> parse(const std::string& more, std::string* told = nullptr) {
    Problems problems;
    const std::string text = R"({"daemon": {"mode": "none"}, "endpoints": [],
        "babel": {"interfaces": ["e"]}, )" +
                             more + "}";
    auto config = parse_config(text, "config.json", no_files, problems);
    if (told == nullptr) return config;
    told->clear();
    for (const Problem& problem : problems.list()) *told += problem.to_string() + "\n";
    return config;
}

}  // namespace

TEST_CASE("whom a node has tunnels with is a list of patterns; without one it is everybody") {
    CHECK_FALSE(parse(R"("log": {})")->connect);
    CHECK_FALSE(parse(R"("connect": null)")->connect);
    const auto rules =
        parse(R"("connect": [{"common_name": "hub*"}, {"organization": "o", "deny": true}, {}])")->connect;
    CHECK(rules == ConnectRules{{{"*", "hub*"}, false}, {{"o", "*"}, true}, {{"*", "*"}, false}});
    CHECK(parse(R"("connect": [])")->connect == ConnectRules{});
}

TEST_CASE("a registry says of a node whom it has tunnels with") {
    Problems problems;
    const auto registry = parse_registry(
        R"([{"public_key": "-- raw pem of public key --", "organization": "p", "nodes": [
                {"common_name": "a", "endpoints": [], "remarks": {"connect": [{"common_name": "b"}]}},
                {"common_name": "c", "endpoints": [], "remarks": {}}]}])",
        "registry.json",
        problems
    );
    REQUIRE(registry);
    CHECK(registry->nodes.at(0).connect == ConnectRules{{{"*", "b"}, false}});
    CHECK_FALSE(registry->nodes.at(1).connect);
}

TEST_CASE("an exit is of a family, for all sources or for some") {
    const auto config = parse(
        R"("exit": ["0.0.0.0/0", {"prefix": "::/0", "source": "fd10::/16", "metric": 9}, {"prefix": "::/0"}])"
    );
    REQUIRE(config);
    const std::vector<Exit> wanted{
        {babel::Destination::of(net("0.0.0.0/0")), 0},
        {{net("::/0"), net("fd10::/16")}, 9},
        {babel::Destination::of(net("::/0")), 0}};
    CHECK(config->exits == wanted);
    CHECK(parse(R"("log": {})")->exits.empty());
}

TEST_CASE("segments are nodes by their names, or SIDs; they and marks need an overlay of their own") {
    const auto parse_overlay = [](const std::string& daemon, const std::string& more, std::string& told) {
        Problems problems;
        const std::string text =
            R"({"daemon": {"network": "fd66::/64")" + daemon + R"(}, "endpoints": [])" + more + "}";
        auto config = parse_config(text, "config.json", no_files, problems);
        told.clear();
        for (const Problem& problem : problems.list()) {
            if (!problem.is_warning) told += problem.to_string() + "\n";
        }
        return config;
    };
    std::string told;
    const auto config = parse_overlay(
        R"(, "ipv4_transport": "srv6", "fwmark": "0x2a", "host_table": 254, "clamp_mss": false)",
        R"(, "segments": [{"prefix": "10.9.1.1/16", "via": ["o/a", "fd67::ffff:0:0:a"]}])",
        told
    );
    REQUIRE(config);
    CHECK(config->ipv4_transport == Ipv4Transport::srv6);
    CHECK(
        config->segments ==
        std::vector<SegmentList>{
            {net("10.9.0.0/16"), {NodeName{"o", "a"}, *Address::parse("fd67::ffff:0:0:a")}}}
    );
    CHECK(config->fwmark == 42);
    CHECK(config->host_table == 254);
    CHECK_FALSE(config->clamp_mss);
    const auto refuses = [&](const char* daemon, const char* more, const char* why) {
        CHECK_FALSE(parse_overlay(daemon, more, told));
        INFO(told);
        CHECK(told.find(why) != std::string::npos);
    };
    refuses("", R"(, "segments": [{"prefix": "10.9.0.0/16", "via": ["a"]}])", "a node like");
    refuses("", R"(, "segments": [{"prefix": "10.9.0.0/16", "via": []}])", "1 to 8");
    refuses(
        "",
        R"(, "segments": [{"prefix": "10.9.0.0/16", "via": ["o/a"]},
            {"prefix": "10.9.0.0/16", "via": ["o/b"]}])",
        "before this one"
    );
    refuses(
        R"(, "mode": "none")", R"(, "segments": [{"prefix": "10.9.0.0/16", "via": ["o/a"]}])", "another mode"
    );
    refuses(R"(, "mode": "none", "ipv4_transport": "srv6")", "", "another mode");
    refuses(R"(, "host_table": 128)", "", "the VRF's table");
    // 1400 octets hold 1280 of IPv6 behind a header of 40, one of 8 and four segments.
    const char* three = R"(, "segments": [{"prefix": "fd99::/64", "via": ["o/a", "o/b", "o/c"]}])";
    const char* four = R"(, "segments": [{"prefix": "fd99::/64", "via": ["o/a", "o/b", "o/c", "o/d"]}])";
    CHECK(parse_overlay("", three, told));
    refuses("", four, "segments[0].via");
    CHECK(parse_overlay(R"(, "mtu": 1408)", four, told));
    refuses(R"(, "mtu": 1391)", three, "less than the 1280 octets");
}

TEST_CASE("transit, the cost of peers and the most routes of a neighbour") {
    const auto babel = [](const std::string& text) {
        Problems none;
        auto config = parse_config(
            R"({"daemon": {"mode": "none"}, "endpoints": [], "babel": {)" + text + "}}", "c", no_files, none
        );
        REQUIRE(config);
        return config->babel;
    };
    CHECK(babel("").transit);
    CHECK_FALSE(babel("").max_routes);
    const BabelConfig all = babel(R"("transit": false, "max_routes": 500,
        "interfaces": [{"name": "e", "max_routes": 7}],
        "peers": [{"organization": "o", "cost": 100}, {"common_name": "b?", "cost": 0}])");
    CHECK_FALSE(all.transit);
    CHECK(all.max_routes == std::size_t{500});
    CHECK(all.interfaces.at(0).as.routes_max == std::size_t{7});
    CHECK(all.peers == std::vector<PeerCost>{{{"o", "*"}, 100}, {{"*", "b?"}, 0}});
}

TEST_CASE("what is wrong with a role is told where it stands") {
    const std::pair<const char*, const char*> wrong[] = {
        {R"("exit": ["10.0.0.0/8"])", "exit[0]: expected \"::/0\" or \"0.0.0.0/0\""},
        {R"("exit": ["everything"])", "exit[0]: expected a prefix"},
        {R"("exit": [{"source": "fd10::/16"}])", "exit[0].prefix"},
        {R"("exit": [{"prefix": "::/0", "source": "10.0.0.0/8"}])", "exit[0].source: is of another family"},
        {R"("exit": [{"prefix": "0.0.0.0/0", "source": "10.0.0.0/8"}])", "exit[0].source: is of IPv4"},
        {R"("exit": [{"prefix": "::/0", "metric": 65535}])", "exit[0].metric"},
        {R"("exit": ["::/0", {"prefix": "::/0"}])", "exit[1]: an exit before this one is the same"},
        {R"("exit": true)", "exit"},
        {R"("connect": [{"common_name": 5}])", "connect[0].common_name"},
        {R"("connect": [{"deny": "yes"}])", "connect[0].deny"},
        {R"("connect": "hub")", "connect"},
    };
    for (const auto& [text, told] : wrong) {
        std::string found;
        CHECK_FALSE(parse(text, &found));
        INFO(text << "\n" << found);
        CHECK(found.find(told) != std::string::npos);
    }
}
