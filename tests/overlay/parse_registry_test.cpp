// Registries, those that mean no good among them.

#include "has.hpp"
#include "overlay/parse.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::overlay;

namespace {

std::string public_pem() {
    const std::string pem = ike::public_key_to_pem(ike::public_key_of(base::Secret(32)));
    std::string escaped;
    for (const char c : pem) escaped += c == '\n' ? "\\n" : std::string(1, c);
    return escaped;
}

std::string bad_registry(const std::string& text) {
    Problems problems;
    const auto registry = parse_registry(text, "registry.json", problems);
    REQUIRE_FALSE(registry.has_value());
    for (const auto& problem : problems.list()) {
        if (!problem.is_warning) return problem.to_string();
    }
    return "";
}

std::string node_text(const std::string& name, const std::string& network, const std::string& prefixes = "") {
    return R"({"common_name": ")" + name +
           R"(", "endpoints": [{"address": "192.0.2.9", "port": 12025, "serial_number": "0"}],)" +
           R"("remarks": {"network": ")" + network + R"(", "prefixes": [)" + prefixes + "]}}";
}

std::string registry_text(const std::string& nodes, const std::string& key = public_pem()) {
    return R"([{"public_key": ")" + key + R"(", "organization": "acme", "nodes": [)" + nodes + "]}]";
}

}  // namespace

TEST_CASE("a registry is read, sorted and versioned, with one key or two") {
    Problems problems;
    const auto one = parse_registry(
        registry_text(node_text("b", "fd67::/64") + "," + node_text("a", "fd66::1/64", "\"10.0.0.0/8\"")),
        "r",
        problems
    );
    REQUIRE(one.has_value());
    CHECK(one->nodes.at(0).common_name == "a");
    CHECK(one->nodes.at(0).prefixes.size() == 1);
    CHECK(one->version.size() == 64);
    const std::string two_keys = registry_text(node_text("a", "fd66::/64"), "");
    std::string text = two_keys;
    text.replace(
        text.find("\"public_key\": \"\""),
        16,
        "\"public_key\": [\"" + public_pem() + "\", \"" + public_pem() + "\"]"
    );
    const auto two = parse_registry(text, "r", problems);
    REQUIRE(two.has_value());
    CHECK(two->nodes.at(0).keys.size() == 2);
}

TEST_CASE("row 63: a registry that would break the mesh is refused with the reason") {
    const std::string a = node_text("a", "fd66::/64");
    const std::vector<std::pair<std::string, std::string>> cases{
        {registry_text(a + "," + node_text("A", "fd67::/64")), "has this identity already"},
        {registry_text(a + "," + node_text("b", "fd66::/56")), "is that of acme/a too"},
        {registry_text(a + "," + node_text("b", "fd67::/64", "\"fd66::ffff:0:0:1/128\"")),
         "fd66::ffff:0:0:1/128 lies in fd66::ffff:0:0:0/80, which acme/a keeps for itself"},
        {registry_text(node_text("b", "fd67::/64", "\"fd66::ffff:0:0:1/128\"") + "," + a),
         "which acme/a keeps"},
        {registry_text(a, "nonsense"), "expected a PEM \"PUBLIC KEY\""},
        {registry_text(node_text("*", "fd66::/64")), "must not be \"*\""},
        {registry_text(node_text("a,CN=b", "fd66::/64")), "hold a comma"},
        {registry_text(node_text("a", "fd66::/64", "\"0.0.0.0/0\"")),
         "0.0.0.0/0 would lead all traffic into the"},
        {registry_text(node_text("a", "fd66::/64", "\"fe80::/64\"")),
         "fe80::/64 means something else on every"},
        {registry_text(node_text("a", "ff02::/64")), "ff02::/64 means something else on every host"},
        {registry_text(node_text("a", "fd66::/64", "\"127.0.0.0/8\"")), "127.0.0.0/8 means something else"},
        {registry_text(node_text("a", "fd66::/64", "\"127.0.0.53/32\"")),
         "127.0.0.53/32 means something else"},
        {registry_text(node_text("a", "fd66::/64", "\"::1/128\"")),
         "::1/128 means something else on every host"},
        {registry_text(node_text("a", "fd66::/64", "\"169.254.0.0/16\"")), "169.254.0.0/16 means something"},
        {registry_text(node_text("a", "fd66::/64", "\"224.0.0.0/4\"")),
         "224.0.0.0/4 means something else on"},
        {registry_text(node_text("a", "::/64")), "::/64 means something else on every host"},
        {registry_text(node_text("a", "fd66::/64", "\"0.0.0.0/8\"")), "0.0.0.0/8 means something else on"},
    };
    for (const auto& [text, words] : cases) {
        INFO(text);
        CHECK_THAT(bad_registry(text), Catch::Contains(words));
    }
    Problems problems;
    const auto anycast = parse_registry(
        registry_text(
            node_text("a", "fd66::/64", "\"10.0.0.0/8\"") + "," +
            node_text("b", "fd67::/64", "\"10.0.0.0/8\"")
        ),
        "r",
        problems
    );
    CHECK(anycast.has_value());
    REQUIRE(problems.list().size() == 1);
    CHECK(problems.list().front().text.find("anycast") != std::string::npos);
}

// Keys of RSA do not fit, however large; the point of order 1 would verify anything.
TEST_CASE("row 63: a registry made to harm whoever reads it is refused, in words that a terminal can show") {
    const auto named = [](const std::string& name) { return registry_text(node_text(name, "fd66::/64")); };
    const auto keyed = [](const std::string& der) {
        return registry_text(
            node_text("a", "fd66::/64"), "-----BEGIN PUBLIC KEY-----\\n" + der + "\\n-----END PUBLIC KEY-----"
        );
    };
    const std::string million(1'000'000, '['),
        controls = "expected a string without control characters, found ";
    std::string objects;
    for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
    const std::vector<std::pair<std::string, std::string>> cases{
        {million, "not JSON: expected at most 32 levels"},
        {objects, "not JSON: expected at most 32 levels"},
        {registry_text(node_text("a", "fd66::/64", million)), "not JSON: expected at most 32 levels"},
        {named("a\\u0000b"), controls + R"("a\x5cu0000b")"},
        {named(std::string("a\0b", 3)), "invalid string: control character U+0000"},
        {named("\\u001b[2Jb"), controls + R"("\x5cu001b[2Jb")"},
        {named("\x1b[2Jb"), "invalid string: control character U+001B"},
        {named("\\u009b2Jb"), controls},
        {named("\xc2\x9b"
               "2Jb"),
         controls},
        {named("a\\u007f"), controls},
        {named("a\xff"
               "b"),
         "invalid string: ill-formed UTF-8 byte"},
        {named("\xc0\xaf"), "invalid string: ill-formed UTF-8 byte"},
        {named("\xed\xa0\x80"), "invalid string: ill-formed UTF-8 byte"},
        {named("../a"), "must not be"},
        {named("a/../../b"), "must not be"},
        {named(".."), "must not be"},
        {keyed("MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), "is not a valid point"},
        {keyed("MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), "is not a valid point"},
        {keyed("MCowBQYDK2VwAyEAAQ=="), "found a key of another kind"},
        {keyed("MIII" + std::string(2728, 'A')), "found a key of another kind"},
    };
    for (const auto& [text, words] : cases) {
        INFO(base::printable(text, 300));
        Problems problems;
        CHECK_FALSE(parse_registry(text, "r", problems).has_value());
        std::string told;
        for (const std::string& line : problems.lines()) told += line;
        CHECK_THAT(told, Catch::Contains(words));
        CHECK(std::ranges::all_of(told, [](char c) { return c >= 0x20 && c < 0x7f; }));
        CHECK(told.size() < 1000);
    }
}

TEST_CASE("row 63: of many errors in a registry twenty are told with their places, the others counted") {
    std::string nodes = node_text("a", "fd66::/64");
    for (int i = 0; i < 49; ++i) nodes += ",\n" + node_text("", "fd66::/64");
    Problems problems;
    CHECK_FALSE(parse_registry(registry_text(nodes), "r", problems).has_value());
    REQUIRE(problems.lines().size() == 21);
    for (std::size_t i = 0; i < 20; ++i) {
        INFO(problems.lines()[i]);
        CHECK(problems.lines()[i].starts_with("r:" + std::to_string(2 + i / 2) + ":"));
    }
    CHECK(problems.lines().back() == "r: and 78 more");
}

TEST_CASE("row 63: a prefix that a node claims twice is told of, and means what it means once") {
    Problems problems;
    const auto registry = parse_registry(
        registry_text(node_text("a", "fd66::/64", R"("10.0.0.0/8", "10.0.0.0/8")")), "r", problems
    );
    REQUIRE(registry.has_value());
    REQUIRE(problems.lines().size() == 1);
    CHECK(has(problems.lines().front(), "warning: "));
    CHECK(problems.lines().front().ends_with(": 10.0.0.0/8 stands twice"));
}

TEST_CASE("remarks may hold anything, but what is nearly a key of ours is told") {
    std::string text = registry_text(node_text("a", "fd66::/64"));
    text.replace(text.find("\"remarks\": {") + 12, 0, "\"colour\": \"red\", \"prefix\": [], ");
    Problems problems;
    CHECK(parse_registry(text, "r", problems).has_value());
    REQUIRE(problems.list().size() == 1);
    CHECK(problems.list().front().text == "unknown key (did you mean \"prefixs\"?)");
}
