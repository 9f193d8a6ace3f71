// The part `babel` of config.json: interfaces beside the tunnels, filters, what is redistributed and how
// routes are installed.

#include "netlink/kernel.hpp"
#include "overlay/desired.hpp"
#include "overlay/parse.hpp"

#include <algorithm>
#include <span>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;
using Keys = std::vector<std::string>;

// Intervals are hundredths of a second in 16 bits on the wire (RFC 8966 4.6).
constexpr Duration kIntervalMax = 655s;

Keys plus(Keys keys, const Keys& more) {
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
}

// What tunnels and ordinary interfaces have in common.
const Keys kLinkKeys = {
    "hello_interval",
    "update_interval",
    "rxcost",
    "rtt_cost",
    "rtt_min",
    "rtt_max",
    "only_registered_prefixes",
    "max_routes",
    "import",
    "export"};
const Keys kBabelKeys =
    plus(kLinkKeys, {"transit", "peers", "interfaces", "redistribute", "redistribute_tables", "install"});
const Keys kInterfaceKeys = plus(kLinkKeys, {"name", "type", "split_horizon", "mac", "mac_permissive"});

// What all rules have in common.
const Keys kMatchKeys = {
    "prefix", "min_length", "max_length", "source", "source_min_length", "source_max_length", "deny"};
const Keys kImportKeys = plus(
    kMatchKeys,
    {"interface", "peer", "neighbour", "organization", "min_metric", "max_metric", "unregistered", "metric"}
);
const Keys kExportKeys =
    plus(kMatchKeys, {"interface", "peer", "organization", "min_metric", "max_metric", "metric"});
// Of one ordinary interface, where there are no peers.
const Keys kOwnImportKeys =
    plus(kMatchKeys, {"neighbour", "organization", "min_metric", "max_metric", "unregistered", "metric"});
const Keys kOwnExportKeys = plus(kMatchKeys, {"organization", "min_metric", "max_metric", "metric"});
const Keys kRedistributeKeys =
    plus(kMatchKeys, {"interface", "table", "protocol", "local", "min_metric", "max_metric", "metric"});
const Keys kInstallKeys = plus(kMatchKeys, {"interface", "peer", "table", "metric", "pref_src"});

// ---- costs and intervals: those of the tunnels and of each interface have the same keys

// "auto": Babel chooses.
void read_interval(const Value& value, Duration low, std::optional<Duration>& out) {
    if (value.is_absent()) return;
    out.reset();
    if (value.is_string() && value.string() == "auto") return;
    read_duration(value, low, kIntervalMax, out.emplace(low));
}

template <class Link>
void read_link(const Value& value, Link& link) {
    read_interval(value.member("hello_interval"), 100ms, link.hello_interval);
    read_interval(value.member("update_interval"), 500ms, link.update_interval);
    read_number(value.member("rxcost"), 1, 65534, link.rxcost);
    read_number(value.member("rtt_cost"), 0, 65534, link.rtt_cost);
    read_duration(value.member("rtt_min"), 0ms, 60s, link.rtt_min);
    read_duration(value.member("rtt_max"), 1ms, 60s, link.rtt_max);
    if (link.rtt_max <= link.rtt_min) value.member("rtt_max").error("must be more than rtt_min");
}

void read_most(const Value& value, std::optional<std::size_t>& out) {
    if (!value.is_absent()) read_number(value, 1, 1000000, out.emplace(1));
}

void read_flag(const Value& value, bool& out) {
    if (!value.is_absent()) out = value.boolean().value_or(out);
}

// ---- rules

void read_lengths(
    const Value& low, const Value& high, const std::optional<Prefix>& prefix, babel::Lengths& out
) {
    const unsigned most = prefix ? base::bits(prefix->family()) : 128;
    read_number(low, 0, most, out.min);
    read_number(high, 0, most, out.max);
    if (out.min > out.max) high.error("must not be less than the minimum");
}

std::optional<Prefix> read_optional_prefix(const Value& value) {
    return value.is_absent() ? std::nullopt : read_any_prefix(value);
}

std::optional<Address> read_address(const Value& value) {
    if (value.is_absent()) return std::nullopt;
    const auto text = value.string();
    const auto address = text ? Address::parse(*text) : std::nullopt;
    if (text && !address) value.expected("an address");
    return address;
}

// As iproute2 calls them.
std::optional<std::uint8_t> read_protocol(const Value& value) {
    static const std::vector<std::pair<std::string, std::uint8_t>> names{
        {"redirect", 1},
        {"kernel", 2},
        {"boot", 3},
        {"static", 4},
        {"ra", 9},
        {"zebra", 11},
        {"bird", 12},
        {"dhcp", 16},
        {"babel", 42},
        {"bgp", 186},
        {"isis", 187},
        {"ospf", 188},
        {"rip", 189},
        {"eigrp", 192}};
    if (value.is_absent()) return std::nullopt;
    std::optional<std::uint64_t> number;
    if (value.is_number()) {
        number = value.number(0, 255);
    } else {
        Keys words;
        for (const auto& [name, of_name] : names) words.push_back(name);
        const auto word = value.one_of(words);
        if (word) number = names[*word].second;
    }
    if (number == netlink::kProtocol) value.error("is our own: what Babel installed is never redistributed");
    return number ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
}

std::string read_pattern(const Value& value) {
    const auto name = value.is_absent() ? std::string() : value.string().value_or("");
    const bool fine = name.size() <= kIfNameMax && name.find_first_of("/: ") == std::string::npos;
    if (!fine) value.expected("the name of an interface, or a pattern with * and ?");
    return name;
}

std::string read_name_pattern(const Value& value) {
    return value.is_absent() ? "" : value.string().value_or("");
}

// Of Babel, or of the kernel's routes.
void read_metrics(const Value& rule, bool of_kernel, babel::Metrics& out) {
    const Value low = rule.member("min_metric"), high = rule.member("max_metric");
    const std::uint64_t most = of_kernel ? UINT32_MAX : babel::kInfinity - 1u;
    read_number(low, 0, most, out.min);
    read_number(high, 0, most, out.max);
    if (out.min > out.max) high.error("must not be less than the minimum");
}

// Where the kernel has it from.
void read_origin(const Value& rule, babel::Match& match) {
    const Value table = rule.member("table");
    if (!table.is_absent()) read_number(table, 1, 0xfffffffe, match.table.emplace());
    match.protocol = read_protocol(rule.member("protocol"));
    read_flag(rule.member("local"), match.local);
    if (!match.local) return;
    if (match.protocol) rule.member("protocol").error("is of routes, \"local\" of addresses");
    if (match.table) table.error("is of routes, \"local\" of addresses");
}

// `keys`: what this kind of rule may ask for.
babel::Match read_match(const Value& value, const Keys& keys) {
    babel::Match match;
    match.prefix = read_optional_prefix(value.member("prefix"));
    match.source = read_optional_prefix(value.member("source"));
    if (match.prefix && match.source && match.prefix->family() != match.source->family()) {
        value.member("source").error("is of another family than the prefix");
    }
    read_lengths(value.member("min_length"), value.member("max_length"), match.prefix, match.lengths);
    read_lengths(
        value.member("source_min_length"),
        value.member("source_max_length"),
        match.source,
        match.source_lengths
    );
    const auto may = [&](const char* key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
    if (may("interface")) match.interface = read_pattern(value.member("interface"));
    if (may("peer")) match.peer = read_name_pattern(value.member("peer"));
    if (may("organization")) match.organization = read_name_pattern(value.member("organization"));
    if (may("neighbour")) match.neighbour = read_address(value.member("neighbour"));
    if (may("min_metric")) read_metrics(value, may("protocol"), match.metrics);
    if (may("unregistered")) read_flag(value.member("unregistered"), match.unregistered);
    if (may("protocol")) read_origin(value, match);
    return match;
}

babel::Metric read_metric(const Value& value) {
    babel::Metric metric = 0;
    bool refused = false;
    read_number(value.member("metric"), 0, 65534, metric);
    read_flag(value.member("deny"), refused);
    if (refused && !value.member("metric").is_absent()) value.member("metric").error("of what is denied");
    return refused ? babel::kInfinity : metric;
}

Installation read_installation(const Value& value) {
    Installation out;
    read_flag(value.member("deny"), out.refused);
    if (!value.member("table").is_absent())
        read_number(value.member("table"), 1, 0xfffffffe, out.table.emplace());
    if (!value.member("metric").is_absent())
        read_number(value.member("metric"), 1, 0xfffffffe, out.metric.emplace());
    out.preferred_source = read_address(value.member("pref_src"));
    return out;
}

template <class Verdict, class Read>
void read_rules(const Value& list, const Keys& keys, Read read, babel::Rules<Verdict>& out) {
    if (list.is_absent()) return;
    for (const Value& rule : list.elements()) {
        if (!rule.is_object()) continue;
        rule.warn_of_unknown(keys);
        babel::Match match = read_match(rule, keys);
        out.push_back({std::move(match), read(rule)});
    }
}

// Of the routes of ours that Babel has no say about (desired.cpp), in the tables that they are in.
constexpr std::uint32_t kTakenMetrics[] = {kCarriedMetric, kWayOutMetric, kGuardMetric};

void refuse_taken_metrics(const Value& list, const Config& config) {
    const auto& rules = config.babel.install;
    const std::uint32_t own = config.mode == Mode::netns ? netlink::kMainTable : config.route_table;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const Installation& how = rules[i].verdict;
        const std::uint32_t table = how.table.value_or(own);
        // Without a main interface there are the guards alone; into a namespace no route of the host's goes.
        const std::span<const std::uint32_t> all(kTakenMetrics);
        const auto taken = config.mode == Mode::none ? all.last(1) : all;
        const bool is_taken = how.metric && std::ranges::find(taken, *how.metric) != taken.end();
        const bool is_ours = table == own || (config.mode == Mode::vrf && table == config.host_table);
        if (is_taken && is_ours)
            list.elements().at(i).member("metric").error(
                "is that of other routes of ours in table " + std::to_string(table)
            );
    }
}

// A source address is of one family, and so are the routes that it is for.
void read_install(const Value& list, babel::Rules<Installation>& out) {
    read_rules(list, kInstallKeys, read_installation, out);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto& source = out[i].verdict.preferred_source;
        auto& prefix = out[i].match.prefix;
        if (!source) continue;
        if (!prefix) prefix = Prefix::any(source->family());
        if (prefix->family() == source->family()) continue;
        list.elements()[i].member("pref_src").error("is of another family than the prefix");
    }
}

// ---- interfaces

void read_mac_key(const Value& value, const ReadKey& read_key, babel::MacConfig& out) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"algorithm", "key", "file", "sign", "accept"});
    babel::MacKey key;
    const Value algorithm = value.required({"algorithm"}), text = value.member("key"),
                file = value.member("file");
    const auto chosen =
        algorithm.is_absent() ? std::nullopt : algorithm.one_of({"hmac-sha256", "blake2s128"});
    key.algorithm = chosen == 1u ? babel::MacAlgorithm::blake2s_128 : babel::MacAlgorithm::hmac_sha256;
    read_flag(value.member("sign"), key.signs);
    read_flag(value.member("accept"), key.accepted);
    if (text.is_absent() == file.is_absent()) return value.error("needs either \"key\" or \"file\"");
    std::string digits = text.is_absent() ? "" : text.string().value_or("");
    const Value& where = text.is_absent() ? file : text;
    if (const auto path = file.is_absent() ? std::nullopt : file.string()) {
        auto content = read_key(*path);
        if (!content) return file.error(content.error().text);
        for (const base::Byte byte : content->view()) digits.push_back(static_cast<char>(byte));
        while (!digits.empty() && (digits.back() == '\n' || digits.back() == '\r')) digits.pop_back();
    }
    const auto bytes = base::from_hex(digits);
    base::wipe({reinterpret_cast<base::Byte*>(digits.data()), digits.size()});
    if (!bytes) return where.error("expected hexadecimal digits, two for each octet");
    key.secret = base::Secret(*bytes);
    if (!key.usable()) return where.error("is empty, or too long for its algorithm");
    out.keys.push_back(std::move(key));
}

void read_mac(const Value& value, const ReadKey& read_key, babel::MacConfig& out) {
    if (value.is_absent()) return;
    for (const Value& key : value.elements()) read_mac_key(key, read_key, out);
    const auto signing =
        std::count_if(out.keys.begin(), out.keys.end(), [](const auto& key) { return key.signs; });
    if (static_cast<std::size_t>(signing) > babel::kSigningKeysMax)
        value.error("at most " + std::to_string(babel::kSigningKeysMax) + " keys can sign");
}

// What babeld and BIRD take for links of these kinds, so that both ends of a link judge it alike.
babel::InterfaceConfig usual(babel::LinkType type) {
    babel::InterfaceConfig out;
    out.type = type;
    out.rxcost = type == babel::LinkType::lossy ? 256 : 96;
    out.hello_interval = 4s;
    out.update_interval.reset();
    out.rtt_cost = 96;
    out.rtt_max = 120ms;
    out.split_horizon = type != babel::LinkType::lossy;  // not everybody hears everybody there
    out.bounded = false;
    return out;
}

void read_interface(const Value& value, const ReadKey& read_key, BabelConfig& config) {
    if (value.is_string()) {
        return config.interfaces.push_back({read_pattern(value), usual(babel::LinkType::wired)});
    }
    if (!value.is_object()) return;
    value.warn_of_unknown(kInterfaceKeys);
    InterfaceRule rule;
    rule.name = read_pattern(value.required({"name"}));
    const Value type = value.member("type");
    const auto kind = type.is_absent() ? std::nullopt : type.one_of({"wired", "tunnel", "lossy"});
    rule.as = usual(static_cast<babel::LinkType>(kind.value_or(0)));
    read_link(value, rule.as);
    read_flag(value.member("split_horizon"), rule.as.split_horizon);
    read_flag(value.member("only_registered_prefixes"), rule.as.bounded);
    read_most(value.member("max_routes"), rule.as.routes_max);
    read_rules(value.member("import"), kOwnImportKeys, read_metric, rule.as.imports);
    read_rules(value.member("export"), kOwnExportKeys, read_metric, rule.as.exports);
    read_mac(value.member("mac"), read_key, rule.as.mac);
    read_flag(value.member("mac_permissive"), rule.as.mac.permissive);
    config.interfaces.push_back(std::move(rule));
}

}  // namespace

void read_babel(const Value& babel, const ReadKey& read_key, bool has_tunnels, Config& config) {
    BabelConfig& out = config.babel;
    const std::uint32_t own_table = config.mode == Mode::vrf ? config.route_table : netlink::kMainTable;
    out.redistribute_tables = {own_table};
    // Without tunnels, as babeld has it.
    if (!has_tunnels) out.redistribute = {{{.local = true}, 0}};
    if (babel.is_absent() || !babel.is_object()) return;
    babel.warn_of_unknown(kBabelKeys);
    read_link(babel, out);
    read_flag(babel.member("only_registered_prefixes"), out.only_registered_prefixes);
    read_most(babel.member("max_routes"), out.max_routes);
    read_flag(babel.member("transit"), out.transit);
    out.peers = read_peer_costs(babel.member("peers"));
    const Value interfaces = babel.member("interfaces"), redistribute = babel.member("redistribute"),
                tables = babel.member("redistribute_tables");
    if (!interfaces.is_absent()) {
        for (const Value& value : interfaces.elements()) read_interface(value, read_key, out);
    }
    read_rules(babel.member("import"), kImportKeys, read_metric, out.imports);
    read_rules(babel.member("export"), kExportKeys, read_metric, out.exports);
    if (!redistribute.is_absent()) out.redistribute.clear();
    read_rules(redistribute, kRedistributeKeys, read_metric, out.redistribute);
    if (!tables.is_absent()) out.redistribute_tables.clear();
    for (const Value& value : tables.is_absent() ? std::vector<Value>() : tables.elements()) {
        if (const auto table = value.number(1, 0xfffffffe))
            out.redistribute_tables.insert(std::uint32_t(*table));
    }
    read_install(babel.member("install"), out.install);
    refuse_taken_metrics(babel.member("install"), config);
}

}  // namespace aronet::overlay
