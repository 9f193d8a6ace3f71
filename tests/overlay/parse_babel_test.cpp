// The part `babel` of config.json.

#include "overlay/parse.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;

namespace {

Prefix net(const char* text) { return *Prefix::parse(text); }

base::Result<base::Secret> files(const std::string& path) {
    if (path != "mac.key") return base::Error{path + ": no such file"};
    return base::Secret(base::as_bytes("00112233\n"));
}

// The configuration of a router without tunnels, or nothing and what is wrong with it.
std::optional<Config> parse(const std::string& babel, std::string* told = nullptr) {
    Problems problems;
    const std::string text =
        "{\"daemon\": {\"mode\": \"none\"}, \"endpoints\": [],\n\"babel\": {" + babel + "}}";
    auto config = parse_config(text, "config.json", files, problems);
    if (told != nullptr) {
        told->clear();
        for (const Problem& problem : problems.list()) *told += problem.to_string() + "\n";
    }
    return config;
}

const babel::InterfaceConfig& first(const std::optional<Config>& config) {
    REQUIRE(config);
    REQUIRE_FALSE(config->babel.interfaces.empty());
    return config->babel.interfaces.front().as;
}

}  // namespace

TEST_CASE("a router without tunnels needs neither key nor names, and redistributes its addresses") {
    std::string told;
    const auto config = parse(R"("interfaces": ["eth0"])", &told);
    CHECK(told.empty());
    REQUIRE(config);
    CHECK(config->mode == Mode::none);
    CHECK(config->route_table == 254);
    CHECK(config->babel.redistribute == babel::MetricRules{{{.local = true}, 0}});
    CHECK(config->babel.redistribute_tables == std::set<std::uint32_t>{254});
    parse("", &told);
    CHECK(told.find("there is nobody to talk to") != std::string::npos);
}

TEST_CASE("an interface is what its type says where nothing else is said") {
    const auto wired = parse(R"("interfaces": ["eth*"])");
    CHECK(first(wired).type == babel::LinkType::wired);
    CHECK(first(wired).rxcost == 96);
    CHECK(*std::optional<Duration>(first(wired).hello_interval) == 4s);
    CHECK_FALSE(first(wired).update_interval);
    CHECK(first(wired).split_horizon);
    CHECK_FALSE(first(wired).bounded);
    const auto tunnel = parse(R"("interfaces": [{"name": "gre1", "type": "tunnel"}])");
    CHECK(first(tunnel).type == babel::LinkType::tunnel);
    CHECK(first(tunnel).rtt_cost == 96);
    CHECK(first(tunnel).rtt_max == 120ms);
    const auto lossy = parse(R"("interfaces": [{"name": "wlan0", "type": "lossy"}])");
    CHECK(first(lossy).rxcost == 256);
    CHECK_FALSE(first(lossy).split_horizon);
}

TEST_CASE("everything of an interface can be said") {
    const auto config = parse(R"("interfaces": [{"name": "wg*", "type": "tunnel", "rxcost": 7,
        "hello_interval": "500ms", "update_interval": "3s", "rtt_cost": 10,
        "rtt_min": "1ms", "rtt_max": "5ms",
        "split_horizon": false, "only_registered_prefixes": true, "mac_permissive": true,
        "mac": [{"algorithm": "hmac-sha256", "file": "mac.key"},
                {"algorithm": "blake2s128", "key": "aabb", "sign": false}],
        "import": [{"neighbour": "fe80::1", "deny": true}],
        "export": [{"prefix": "10.0.0.0/8", "metric": 5}]}])");
    const babel::InterfaceConfig& as = first(config);
    CHECK(config->babel.interfaces.front().name == "wg*");
    CHECK(as.rxcost == 7);
    CHECK(*std::optional<Duration>(as.hello_interval) == 500ms);
    CHECK(*std::optional<Duration>(as.update_interval) == 3s);
    CHECK(as.rtt_cost == 10);
    CHECK(as.rtt_min == 1ms);
    CHECK(as.rtt_max == 5ms);
    CHECK_FALSE(as.split_horizon);
    CHECK(as.bounded);
    CHECK(as.mac.permissive);
    REQUIRE(as.mac.keys.size() == 2);
    CHECK(base::to_hex(as.mac.keys[0].secret.view()) == "00112233");
    CHECK(as.mac.keys[0].signs);
    CHECK(as.mac.keys[1].algorithm == babel::MacAlgorithm::blake2s_128);
    CHECK_FALSE(as.mac.keys[1].signs);
    CHECK(as.mac.keys[1].accepted);
    const babel::MetricRules imports{{{.neighbour = *Address::parse("fe80::1")}, babel::kInfinity}};
    const babel::MetricRules exports{{{.prefix = net("10.0.0.0/8")}, 5}};
    CHECK(as.imports == imports);
    CHECK(as.exports == exports);
}

TEST_CASE("rules are read in their order with all they ask for") {
    const auto config = parse(R"("redistribute": [
            {"protocol": "static", "prefix": "10.0.0.0/8", "min_length": 16, "max_length": 24, "metric": 128},
            {"local": true, "interface": "lo", "deny": true},
            {"protocol": 250, "source": "2001:db8::/32", "source_max_length": 48}],
        "redistribute_tables": [100, 254],
        "install": [{"prefix": "10.9.0.0/16", "deny": true},
            {"pref_src": "10.1.1.1", "table": 100, "metric": 5}])");
    REQUIRE(config);
    const BabelConfig& babel = config->babel;
    REQUIRE(babel.redistribute.size() == 3);
    CHECK(
        babel.redistribute[0].match ==
        babel::Match{.prefix = net("10.0.0.0/8"), .lengths = {16, 24}, .protocol = std::uint8_t{4}}
    );
    CHECK(babel.redistribute[0].verdict == 128);
    CHECK(babel.redistribute[1].match == babel::Match{.interface = "lo", .local = true});
    CHECK(babel.redistribute[1].verdict == babel::kInfinity);
    CHECK(babel.redistribute[2].match.source_lengths == babel::Lengths{0, 48});
    CHECK(babel.redistribute_tables == std::set<std::uint32_t>{100, 254});
    REQUIRE(babel.install.size() == 2);
    CHECK(babel.install[0].verdict.refused);
    CHECK(babel.install[1].match.prefix == Prefix::any(Family::v4));
    CHECK(babel.install[1].verdict == Installation{false, 100, 5, *Address::parse("10.1.1.1")});
}

TEST_CASE("rules ask for peers, holders, metrics, tables, and for what the registry does not have") {
    const auto config = parse(R"("import": [
            {"prefix": "::/0", "max_length": 0, "peer": "olive/*", "unregistered": true},
            {"organization": "maple", "min_metric": 10, "max_metric": 100, "deny": true}],
        "export": [{"peer": "maple/cairo", "organization": "o*", "max_metric": 5, "deny": true}],
        "redistribute": [{"table": 100, "min_metric": 70000, "protocol": "static"}],
        "install": [{"peer": "olive/berlin", "table": 77}],
        "interfaces": [{"name": "e", "import": [{"organization": "olive", "unregistered": true}]}])");
    REQUIRE(config);
    const BabelConfig& babel = config->babel;
    CHECK(
        babel.imports[0].match ==
        babel::Match{.peer = "olive/*", .prefix = net("::/0"), .lengths = {0, 0}, .unregistered = true}
    );
    CHECK(babel.imports[1].match == babel::Match{.organization = "maple", .metrics = {10, 100}});
    CHECK(
        babel.exports[0].match == babel::Match{.peer = "maple/cairo", .organization = "o*", .metrics = {0, 5}}
    );
    CHECK(
        babel.redistribute[0].match ==
        babel::Match{.metrics = {70000, UINT32_MAX}, .table = 100u, .protocol = std::uint8_t{4}}
    );
    CHECK(babel.install[0].match == babel::Match{.peer = "olive/berlin"});
    CHECK(babel.install[0].verdict.table == 77u);
    CHECK(first(config).imports[0].match == babel::Match{.organization = "olive", .unregistered = true});
    std::string told;
    parse(R"("interfaces": [{"name": "e", "import": [{"peer": "a/b"}]}])", &told);
    CHECK(told.find("babel.interfaces[0].import[0].peer") != std::string::npos);  // nobody there has a name
}

TEST_CASE("what is wrong with a rule or an interface is told where it stands") {
    const std::pair<const char*, const char*> wrong[] = {
        {R"("interfaces": [{"type": "wired"}])", "babel.interfaces[0].name"},
        {R"("interfaces": [{"name": "a-name-that-is-too-long"}])", "expected the name of an interface"},
        {R"("interfaces": [{"name": "e", "type": "wireless"}])", "babel.interfaces[0].type"},
        {R"("interfaces": [{"name": "e", "rtt_min": "2s", "rtt_max": "1s"}])", "must be more than rtt_min"},
        {R"("interfaces": [{"name": "e", "mac": [{"algorithm": "md5", "key": "aa"}]}])", "mac[0].algorithm"},
        {R"("interfaces": [{"name": "e", "mac": [{"algorithm": "hmac-sha256"}]}])",
         "either \"key\" or \"file\""},
        {R"("interfaces": [{"name": "e", "mac": [{"algorithm": "hmac-sha256", "key": "xyz"}]}])",
         "hexadecimal"},
        {R"("interfaces": [{"name": "e", "mac": [{"algorithm": "hmac-sha256", "file": "no.key"}]}])",
         "no such file"},
        {R"("import": [{"prefix": "10.0.0.0/8", "max_length": 33}])", "babel.import[0].max_length"},
        {R"("import": [{"min_length": 24, "max_length": 16}])", "must not be less than the minimum"},
        {R"("export": [{"metric": 1, "deny": true}])", "of what is denied"},
        {R"("import": [{"min_metric": 5, "max_metric": 4}])", "babel.import[0].max_metric"},
        {R"("export": [{"max_metric": 65535}])", "babel.export[0].max_metric"},
        {R"("redistribute": [{"table": 0}])", "babel.redistribute[0].table"},
        {R"("redistribute": [{"local": true, "table": 4}])", "of addresses"},
        {R"("transit": "no")", "babel.transit"},
        {R"("max_routes": 0)", "babel.max_routes"},
        {R"("peers": [{"common_name": "a"}])", "babel.peers[0].cost"},
        {R"("peers": [{"cost": 65535}])", "babel.peers[0].cost"},
        {R"("redistribute": [{"protocol": 140}])", "is our own"},
        {R"("redistribute": [{"protocol": "statc"}])", "babel.redistribute[0].protocol"},
        {R"("redistribute": [{"local": true, "protocol": 4}])", "of addresses"},
        {R"("redistribute": [{"prefix": "10.0.0.0/8", "source": "fd00::/8"}])", "of another family"},
        {R"("install": [{"prefix": "10.0.0.0/8", "pref_src": "fd00::1"}])", "babel.install[0].pref_src"},
    };
    for (const auto& [text, words] : wrong) {
        std::string told;
        INFO(text);
        CHECK_FALSE(parse(text, &told));
        INFO(told);
        CHECK(told.find(words) != std::string::npos);
        CHECK(told.find("config.json:2:") != std::string::npos);
    }
    std::string told;
    CHECK(parse(R"("interfaces": ["e"], "import": [{"protocol": 4}])", &told));
    CHECK(told.find("babel.import[0].protocol") != std::string::npos);  // a rule that could never match
}

TEST_CASE("the error about a key does not show it") {
    std::string told;
    CHECK_FALSE(parse(
        R"("interfaces": [{"name": "e", "mac": [{"algorithm": "blake2s128", "key": "00deadbee"}]}])", &told
    ));
    CHECK(told.find("deadbee") == std::string::npos);
}

TEST_CASE("what Babel's routes are installed under is not what other routes of ours have") {
    std::string told;  // without a main interface: of a guard
    for (const char* metric : {"16", "1024"})
        CHECK(parse(R"("interfaces": ["e"], "install": [{"metric": )" + std::string(metric) + "}]"));
    for (const char* metric : {"4278198272"}) {
        CHECK_FALSE(
            parse(R"("interfaces": ["e"], "install": [{}, {"metric": )" + std::string(metric) + "}]", &told)
        );
        CHECK(told.find("babel.install[1].metric") != std::string::npos);
        CHECK(
            parse(R"("interfaces": ["e"], "install": [{"table": 77, "metric": )" + std::string(metric) + "}]")
        );
    }
    CHECK(parse(R"("interfaces": ["e"], "install": [{"metric": 1025}])"));
}
