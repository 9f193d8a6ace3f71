#include "overlay/parse.hpp"

#include "test_data.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;

namespace {

const std::string kPrivate =
    "-----BEGIN PRIVATE "
    "KEY-----\\nMC4CAQAwBQYDK2VwBCIEIFDeUe+jPJPx/TyqQuZUZvdCtmnzMZHy2JXsiEe0TDNV\\n-----END PRIVATE KEY-----";

std::string public_pem() {
    const auto seed = ike::parse_private_key(
        "-----BEGIN PRIVATE "
        "KEY-----\nMC4CAQAwBQYDK2VwBCIEIFDeUe+jPJPx/TyqQuZUZvdCtmnzMZHy2JXsiEe0TDNV\n-----END PRIVATE "
        "KEY-----"
    );
    std::string pem = ike::public_key_to_pem(ike::public_key_of(*seed)), escaped;
    for (const char c : pem) escaped += c == '\n' ? "\\n" : std::string(1, c);
    return escaped;
}

base::Result<base::Secret> no_files(const std::string& path) { return base::Error{"cannot read " + path}; }

std::string config_text(
    const std::string& daemon, const std::string& endpoints, const std::string& more = ""
) {
    return "{\n\"private_key\": \"" + kPrivate +
           "\",\n\"organization\": \"acme\", \"common_name\": \"one\",\n\"daemon\": {" + daemon +
           "},\n\"endpoints\": [" + endpoints + "]" + more + "}";
}

const std::string kDaemon = R"("network": "fd66::1/64", "prefixs": ["192.168.128.1/24"])";
const std::string kEndpoint = R"({"address": "192.0.2.1", "port": 12025, "serial_number": 0})";

Config good(const std::string& text) {
    Problems problems;
    auto config = parse_config(text, "config.json", no_files, problems);
    for (const auto& problem : problems.list()) INFO(problem.to_string());
    REQUIRE(config.has_value());
    return std::move(*config);
}

// The first error of a text, as a person reads it.
std::string bad(const std::string& text) {
    Problems problems;
    const auto config = parse_config(text, "config.json", no_files, problems);
    REQUIRE_FALSE(config.has_value());
    for (const auto& problem : problems.list()) {
        if (!problem.is_warning) return problem.to_string();
    }
    return "";
}

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path);
    REQUIRE(file.good());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("a configuration of the original is read with its defaults") {
    const Config config = good(config_text(kDaemon, kEndpoint));
    CHECK(config.organization == "acme");
    CHECK(config.network == *Prefix::parse("fd66::/64"));
    CHECK(config.prefixes == std::vector<Prefix>{*Prefix::parse("192.168.128.0/24")});
    CHECK(config.ifname == "aronet");
    CHECK(config.mode == Mode::vrf);
    CHECK(config.route_table == 128);
    CHECK(config.mtu == 1400);
    CHECK(config.links == Links::per_peer);
    CHECK(config.seccomp == SeccompChoice::enforce);
    CHECK(config.babel.hello_interval == 20s);
    CHECK_FALSE(config.babel.update_interval);
    CHECK(config.babel.rxcost == 32);
    CHECK(config.endpoints.at(0).serial_number == "0");
    CHECK(config.endpoints.at(0).port == 12025);
    CHECK(base::to_hex(config.public_key).size() == 64);
}

TEST_CASE("every spelling of the original's versions means the same") {
    for (const char* spelling : {"prefixs", "prefixes", "extra_network"}) {
        const Config config = good(config_text(
            std::string("\"network\": \"fd66::/64\", \"") + spelling + "\": [\"10.0.0.0/8\"]", kEndpoint
        ));
        CHECK(config.prefixes.size() == 1);
    }
    CHECK(good(config_text(kDaemon + R"(, "use_netns": true)", kEndpoint)).mode == Mode::netns);
    CHECK(good(config_text(kDaemon + R"(, "mode": "netns")", kEndpoint)).mode == Mode::netns);
    CHECK(good(config_text(kDaemon + R"(, "mode": "netns")", kEndpoint)).route_table == 254);
    const Config extra =
        good(config_text(kDaemon + R"(, "extra_ip": ["192.168.128.1/32", "10.1.1.1"])", kEndpoint));
    REQUIRE(extra.extra_ip.size() == 2);
    CHECK(extra.extra_ip[1] == std::pair(*Address::parse("10.1.1.1"), 32u));
    const Config null_address = good(config_text(
        kDaemon, R"({"address": null, "address_family": "ip6", "port": 12025, "serial_number": "x7"})"
    ));
    CHECK_FALSE(null_address.endpoints[0].address.has_value());
    CHECK(null_address.endpoints[0].family == Family::v6);
    CHECK(null_address.endpoints[0].serial_number == "x7");
    const Config ranet = good(config_text(
        kDaemon, R"({"address": "10.0.0.0/8", "port": 13000, "fwmark": "0x2a", "updown": "/bin/true"})"
    ));
    CHECK(ranet.endpoints[0].address_range == *Prefix::parse("10.0.0.0/8"));
    CHECK(ranet.endpoints[0].fwmark == 42);
    CHECK(ranet.endpoints[0].updown == "/bin/true");
    CHECK_FALSE(ranet.endpoints[0].serial_number.has_value());
    CHECK(
        good(config_text(kDaemon, R"({"address": "host.example", "address_family": "ip4", "port": 1})"))
            .endpoints[0]
            .hostname == "host.example"
    );
    const Config tuned = good(config_text(
        kDaemon +
            R"(, "datapath": "user", "sysctl": "check", "mtu": 1380, "seccomp": "log", "links": "shared")",
        kEndpoint,
        R"(, "babel": {"hello_interval": "auto", "update_interval": "2s", "rxcost": 10},)"
        R"( "ike": {"dpd_interval": 5, "fragment_size": 576, "ike_lifetime": "8h", "child_lifetime": 0,)"
        R"( "child_bytes": 1000000, "child_packets": 1000},)"
        R"("log": {"format": "json", "level": "debug"})"
    ));
    CHECK(tuned.datapath == DatapathChoice::user);
    CHECK(tuned.links == Links::shared);
    CHECK(tuned.sysctl == SysctlChoice::check);
    CHECK(tuned.seccomp == SeccompChoice::log);
    CHECK_FALSE(tuned.babel.hello_interval);
    CHECK(tuned.babel.update_interval == 2s);
    CHECK(tuned.ike.dpd_interval == 5s);
    CHECK(tuned.ike.fragment_size == 576);
    CHECK(tuned.ike.ike_lifetime == 8h);
    CHECK(tuned.ike.child_lifetime == 0s);
    CHECK(tuned.ike.child_bytes == 1'000'000);
    CHECK(tuned.ike.child_packets == 1000);
    CHECK(tuned.log_format == LogFormat::json);
}

TEST_CASE("an error names file, line, column, key, what was expected and what was found") {
    CHECK(
        bad(config_text(kDaemon, R"({"address": "192.0.2.1", "address_family": "ip5", "port": 1})")) ==
        R"(config.json:5:58: endpoints[0].address_family: "ip5" is not one of "ip4", "ip6")"
        R"( (did you mean "ip4"?))"
    );
    CHECK(
        bad(config_text(kDaemon, R"({"address": "192.0.2.1", "port": 70000})")) ==
        R"(config.json:5:48: endpoints[0].port: expected a whole number from 1 to 65535, found 70000)"
    );
    CHECK(
        bad(config_text(R"("network": 7)", kEndpoint)) ==
        "config.json:4:23: daemon.network: expected a string, found 7"
    );
    CHECK(bad(config_text(kDaemon + R"(, "host_table": 255)", kEndpoint))
              .ends_with("host_table: is a table of the kernel's own: expected another, or 254"));
    CHECK(
        bad(config_text(R"("network": "fd66::/64", "links": "share")", kEndpoint)) ==
        R"(config.json:4:45: daemon.links: "share" is not one of "per-peer", "shared")"
        R"( (did you mean "shared"?))"
    );
    CHECK(bad("{}") == "config.json:1:1: organization: is missing");
    CHECK(bad("{\"private_key\": }").starts_with("config.json:1:17: not JSON: "));
    CHECK(bad("[]") == "config.json:1:1: expected an object, found a list");
}

TEST_CASE("a configuration says how registries come, and who signs them") {
    const auto read = [](const std::string& registry) {
        return good(config_text(kDaemon, kEndpoint, R"(, "registry": {)" + registry + "}")).registry;
    };
    CHECK(read("") == RegistrySourceConfig{});
    CHECK(read("").interval == 5min);
    CHECK(read(R"("interval": "5s", "ca_file": "ca.pem")") == RegistrySourceConfig{5s, "ca.pem", {}});
    const std::string key = "\"" + public_pem() + "\"";
    CHECK(read(R"("public_key": )" + key).public_keys.size() == 1);
    CHECK(read(R"("public_key": [)" + key + ", " + key + "]").public_keys.size() == 2);
    CHECK(good(config_text(kDaemon, kEndpoint)).state_dir == "/var/lib/aronet");
    CHECK(good(config_text(kDaemon + R"(, "state_dir": "/srv")", kEndpoint)).state_dir == "/srv");
}

TEST_CASE("who asks for signatures gets them: a key that is none is an error") {
    const auto told = [](const std::string& registry) {
        return bad(config_text(kDaemon, kEndpoint, R"(, "registry": {)" + registry + "}"));
    };
    CHECK(
        told(R"("public_key": "signer.pem")").find("registry.public_key: expected a PEM") != std::string::npos
    );
    CHECK(told(R"("public_key": "<PEM encoded public key>")")
              .ends_with("registry.public_key: holds no key that a registry could be signed with"));
    CHECK(
        told(R"("public_key": [])").find("registry.public_key: expected one key, or two") != std::string::npos
    );
    CHECK(told(R"("public_key": null)").find("registry.public_key") != std::string::npos);
    CHECK(told(R"("interval": "4s")")
              .ends_with(
                  "registry.interval: expected a time from 5000ms to 86400000ms like \"20s\" or \"500ms\" "
                  "or whole seconds, found \"4s\""
              ));
    CHECK(told(R"("interval": "25h")").find("registry.interval") != std::string::npos);
}

TEST_CASE("lifetimes and limits so small that keys would be changed all the time are refused") {
    const auto told = [](const std::string& ike) {
        return bad(config_text(kDaemon, kEndpoint, R"(, "ike": {)" + ike + "}"));
    };
    CHECK(told(R"("child_lifetime": "9s")")
              .ends_with(R"(ike.child_lifetime: expected 0, or a time of at least 10s, found "9s")"));
    CHECK(told(R"("ike_lifetime": 1)")
              .ends_with("ike.ike_lifetime: expected 0, or a time of at least 10s, found 1"));
    CHECK(told(R"("child_bytes": 999999)")
              .ends_with("ike.child_bytes: expected 0, or at least 1000000, found 999999"));
    CHECK(told(R"("child_packets": 999)")
              .ends_with("ike.child_packets: expected 0, or at least 1000, found 999"));
}

TEST_CASE("an error says where it is also behind a byte order mark, a huge number and too many levels") {
    CHECK(
        bad("\xef\xbb\xbf" + config_text(R"("network": 7)", kEndpoint)) ==
        "config.json:4:23: daemon.network: expected a string, found 7"
    );
    CHECK(bad("{\n\"a\": [-1e400]}") == "config.json:2:7: not JSON: number overflow parsing '-1e400'");
    CHECK(bad("1e400").starts_with("config.json:1:1: not JSON: number overflow"));
    CHECK(bad("\n" + std::string(2000, '['))
              .starts_with("config.json:2:34: not JSON: expected at most 32 levels"));
}

TEST_CASE("a private key is never shown, however it is mistaken for something else") {
    const std::string secret = "MC4CAQAwBQYDK2VwBCIEIFDeUe+jPJPx/TyqQuZUZvdCtmnzMZHy2JXsiEe0TDNV";
    std::string lines = kPrivate;
    for (auto at = lines.find("\\n"); at != std::string::npos; at = lines.find("\\n"))
        lines.replace(at, 2, "\n");
    for (const std::string& key :
         {secret, "\\u0001" + kPrivate, kPrivate + "\\q", lines, kPrivate + "\\n\n"}) {
        const std::string told = bad("{\"private_key\": \"" + key + "\"}");
        INFO(told);
        CHECK(told.find(secret.substr(20, 8)) == std::string::npos);
        CHECK(told.starts_with("config.json:"));
    }
    CHECK_FALSE(good(
                    "{\"private_key\": \" " + kPrivate + "\\n\", \"organization\": \"a\"," +
                    R"("common_name": "b", "endpoints": [)" + kEndpoint + "]}"
    )
                    .private_key.empty());
}

TEST_CASE("many errors are not hidden by many warnings, and those that are not listed are counted") {
    std::string text = "{";
    for (int i = 0; i < 150; ++i) text += "\"zzzz" + std::to_string(i) + "\": 1,";
    text += "\"endpoints\": [";
    for (int i = 0; i < 120; ++i) text += "{\"address\": \"::1\", \"port\": 0},";
    Problems problems;
    parse_config(text + "]}", "c", no_files, problems);
    CHECK(std::count_if(problems.list().begin(), problems.list().end(), [](const Problem& p) {
              return !p.is_warning;
          }) == 20);
    CHECK(problems.lines().size() == 41);
    CHECK(problems.lines().back() == "c: and 234 more");
}

TEST_CASE("what would not work is refused, with the words for it") {
    const std::vector<std::pair<std::string, std::string>> cases{
        {config_text(R"("network": "fd66::/65")", kEndpoint), "expected an IPv6 prefix of length 1 to 64"},
        {config_text(R"("network": "10.0.0.0/8")", kEndpoint), "expected an IPv6 prefix"},
        {config_text(R"("network": "fd66::/64", "prefixs": ["fd66::ffff:0:0:7/128"])", kEndpoint),
         "which the node keeps for itself"},
        {config_text(R"("prefixs": ["::/0"])", kEndpoint), "would lead all traffic into the overlay"},
        {config_text(kDaemon, R"({"address": "0.0.0.0", "port": 1})"), "expected the address of one host"},
        {config_text(kDaemon, R"({"address": "::1", "port": 1}, {"address": "::1", "port": 1})"),
         "an endpoint before this one has the same"},
        {config_text(kDaemon + R"(, "prefixes": [])", kEndpoint), "says the same as"},
        {config_text(kDaemon + R"(, "use_netns": true, "mode": "vrf")", kEndpoint), "says otherwise"},
        {config_text(kDaemon + R"(, "ifname": "abcdefghijk")", kEndpoint),
         "expected an interface name of at most 10"},
        {config_text(kDaemon + R"(, "ifname": "../x")", kEndpoint), "expected an interface name"},
        {config_text(kDaemon + R"(, "extra_ip": ["x"])", kEndpoint), "expected an address"},
        {config_text(kDaemon + R"(, "mtu": 100)", kEndpoint), "from 1280 to 65535"},
        {config_text(kDaemon, R"({"address": null, "port": 1})"), "without an address nothing says"},
        {config_text(kDaemon, R"({"address": "::1", "address_family": "ip4", "port": 1})"),
         "does not fit the address"},
        {config_text(kDaemon, R"({"address": "a b", "port": 1})"),
         "expected an address, a domain name or null"},

        {config_text(kDaemon, kEndpoint + "," + kEndpoint), "an endpoint before this one has the same"},
        {config_text(kDaemon, kEndpoint, R"(, "babel": {"hello_interval": "10 years"})"),
         "expected a time from"},
        {config_text(kDaemon, kEndpoint, R"(, "organization": "x")"), "stands twice"},
        {R"({"private_key": "nowhere.pem"})", "cannot read nowhere.pem"},
        {R"({"private_key": "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"})",
         "expected a PEM"},
    };
    for (const auto& [text, words] : cases) {
        Problems problems;
        CHECK_FALSE(parse_config(text, "config.json", no_files, problems).has_value());
        const bool told = std::any_of(
            problems.list().begin(),
            problems.list().end(),
            [&, &wanted = words](const Problem& problem) {
                return problem.to_string().find(wanted) != std::string::npos && problem.line > 0 &&
                       problem.column > 0;
            }
        );
        INFO(text);
        INFO(words);
        CHECK(told);
    }
}

TEST_CASE(
    "all errors are told, in the order of the file, and unknown keys are warned of with the nearest word"
) {
    Problems problems;
    parse_config(
        R"({"organisation": "a", "private_key": 1, "daemon": {"network": 2, "ifnam": "x"},)"
        R"("endpoints": [{"port": 0}]})",
        "c",
        no_files,
        problems
    );
    std::string all;
    for (const auto& problem : problems.list()) all += problem.to_string() + "\n";
    CHECK(
        all.find("warning: organisation: unknown key (did you mean \"organization\"?)") != std::string::npos
    );
    CHECK(all.find("warning: daemon.ifnam: unknown key (did you mean \"ifname\"?)") != std::string::npos);
    CHECK(all.find("common_name: is missing") != std::string::npos);
    CHECK(all.find("daemon.network: expected a string, found 2") != std::string::npos);
    CHECK(all.find("endpoints[0].port: expected") != std::string::npos);
    CHECK(std::is_sorted(
        problems.list().begin(),
        problems.list().end(),
        [](const Problem& a, const Problem& b) {
            return std::tie(a.line, a.column) < std::tie(b.line, b.column);
        }
    ));
}

TEST_CASE("the reserved range is the network's address and ffff in its fifth group") {
    CHECK(reserved_range(*Prefix::parse("fd66::1/64")).to_string() == "fd66::ffff:0:0:0/80");
    CHECK(reserved_range(*Prefix::parse("fd66:0:0:100::/56")).to_string() == "fd66:0:0:100:ffff::/80");
}

TEST_CASE("all files of the original load as they are") {
    const auto folder = test_data("aronet");
    if (!folder) return;
    int configs = 0, registries = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder)) {
        const std::string name = entry.path().filename().string();
        const bool is_registry = name.starts_with("registry"), is_config = name.starts_with("config.");
        if (!is_registry && !(is_config && entry.is_regular_file())) continue;
        Problems problems;
        INFO(entry.path().string());
        const auto key = [&](const std::string&) -> base::Result<base::Secret> {
            std::string pem = kPrivate;
            for (auto at = pem.find("\\n"); at != std::string::npos; at = pem.find("\\n"))
                pem.replace(at, 2, "\n");
            return base::Secret(base::as_bytes(pem));
        };
        const bool loaded = is_registry ? parse_registry(read(entry.path()), name, problems).has_value()
                                        : parse_config(read(entry.path()), name, key, problems).has_value();
        std::string all;
        for (const auto& problem : problems.list()) all += problem.to_string() + "\n";
        INFO(all);
        CHECK(loaded);
        (is_registry ? registries : configs) += 1;
    }
    CHECK(configs >= 15);
    CHECK(registries >= 8);
}
