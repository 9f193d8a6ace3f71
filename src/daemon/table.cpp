#include "daemon/table.hpp"

#include "base/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace aronet::daemon {
namespace {

using nlohmann::json;

// Everything that came over the socket may have come from a stranger before.
std::string text_of(const json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) return "-";
    if (it->is_string()) {
        const auto text = base::printable(it->get<std::string>(), 200);
        return text.empty() ? "-" : text;
    }
    if (it->is_number_float()) return fmt::format("{:.1f}", it->get<double>());
    return it->dump();
}

std::string since(const json& object) {
    return duration_words(object.value("since_seconds", std::int64_t{0}));
}

std::string ago(const json& object, const char* key) {
    const auto seconds = object.find(key);
    const bool known = seconds != object.end() && seconds->is_number();
    return known ? duration_words(seconds->get<std::int64_t>()) + " ago" : "never";
}

// The registry in use and where it comes from, as rows.
std::vector<std::vector<std::string>> registry_rows(const json& answer) {
    const json& registry = answer.at("registry");
    std::vector<std::vector<std::string>> rows{
        {"registry",
         text_of(registry, "nodes") + " nodes, version " + text_of(registry, "version").substr(0, 12) +
             ", changed " + ago(registry, "changed_seconds")}};
    if (text_of(registry, "source") != "-")
        rows.push_back(
            {"source", text_of(registry, "source") + ", checked " + ago(registry, "checked_seconds")}
        );
    for (const char* key : {"error", "copy_error"}) {
        if (text_of(registry, key) != "-") rows.push_back({"", text_of(registry, key)});
    }
    return rows;
}

std::vector<std::vector<std::string>> joined(
    std::vector<std::vector<std::string>> rows, const std::vector<std::vector<std::string>>& more
) {
    rows.insert(rows.end(), more.begin(), more.end());
    return rows;
}

std::string info_text(const json& answer) {
    const std::vector<std::vector<std::string>> rows{
        {"node", text_of(answer, "organization") + "/" + text_of(answer, "common_name")},
        {"version", text_of(answer, "version")},
        {"pid", text_of(answer, "pid")},
        {"up", duration_words(answer.value("uptime_seconds", std::int64_t{0}))},
        {"overlay",
         text_of(answer, "ifname") + " (" + text_of(answer, "mode") + ", " + text_of(answer, "datapath") +
             " data plane)"},
    };
    return table(joined(rows, registry_rows(answer)));
}

// Ordinary interfaces; in words those that do not run.
std::string interfaces_words(const json& answer) {
    const json list = answer.value("interfaces", json::array());
    std::size_t running = 0;
    std::string others;
    for (const json& entry : list) {
        const std::string state = text_of(entry, "state");
        if (state == "running") {
            ++running;
        } else {
            others += "; " + text_of(entry, "interface") + ": " + state;
        }
    }
    return fmt::format("{} of {} running", running, list.size()) + others;
}

std::string status_text(const json& answer) {
    const auto pair = [&](const char* key, const char* part, const char* whole) {
        return text_of(answer.at(key), part) + " of " + text_of(answer.at(key), whole);
    };
    const std::vector<std::vector<std::string>> rows{
        {"node", text_of(answer, "organization") + "/" + text_of(answer, "common_name")},
        {"state", text_of(answer, "state")},
        {"up", duration_words(answer.value("uptime_seconds", std::int64_t{0}))},
        {"overlay",
         text_of(answer, "ifname") + " (" + text_of(answer, "mode") + ", " + text_of(answer, "datapath") +
             " data plane)"},
        {"tunnels", pair("tunnels", "up", "total") + " up"},
        {"interfaces", interfaces_words(answer)},
        {"neighbours", pair("neighbours", "reachable", "total") + " reachable"},
        {"routes", text_of(answer.at("routes"), "installed")},
    };
    std::string text = table(joined(rows, registry_rows(answer)));
    for (const json& name : answer.at("unreached"))
        text += "no way to " + base::printable(name.get<std::string>()) + "\n";
    for (const json& warning : answer.at("warnings"))
        text += "warning: " + base::printable(warning.get<std::string>(), 300) + "\n";
    return text;
}

std::string tunnels_text(const json& answer) {
    std::vector<std::vector<std::string>> rows{
        {"INTERFACE", "PEER", "STATE", "SINCE", "REMOTE", "ESP", "IN", "OUT", "RTT/ms", "REASON"}};
    for (const json& t : answer.at("tunnels")) {
        rows.push_back(
            {text_of(t, "interface"),
             text_of(t, "peer"),
             text_of(t, "state"),
             since(t),
             text_of(t, "remote"),
             text_of(t, "esp_suite"),
             bytes_words(t.value("bytes_in", std::uint64_t{0})),
             bytes_words(t.value("bytes_out", std::uint64_t{0})),
             text_of(t, "rtt_ms"),
             text_of(t, "reason")}
        );
    }
    return table(rows);
}

std::string neighbours_text(const json& answer) {
    std::vector<std::vector<std::string>> rows{
        {"INTERFACE", "PEER", "ADDRESS", "STATE", "COST", "RXCOST", "TXCOST", "RTT/ms", "ROUTES"}};
    for (const json& n : answer.at("neighbours")) {
        rows.push_back(
            {text_of(n, "interface"),
             text_of(n, "peer"),
             text_of(n, "address"),
             n.value("reachable", false) ? "reachable" : "silent",
             text_of(n, "cost"),
             text_of(n, "rxcost"),
             text_of(n, "txcost"),
             text_of(n, "rtt_ms"),
             text_of(n, "routes")}
        );
    }
    return table(rows);
}

std::string routes_text(const json& answer) {
    std::vector<std::vector<std::string>> rows{
        {"", "DESTINATION", "NODE", "VIA", "INTERFACE", "METRIC", "SINCE"}};
    for (const json& r : answer.at("routes")) {
        std::string destination = text_of(r, "destination");
        const std::string source = text_of(r, "source");
        if (source != "::/0" && source != "0.0.0.0/0") destination += " from " + source;
        const char* mark = r.value("selected", false) ? "*" : r.value("feasible", false) ? " " : "-";
        rows.push_back(
            {mark,
             destination,
             text_of(r, "node"),
             text_of(r, "via"),
             text_of(r, "interface"),
             text_of(r, "metric"),
             since(r)}
        );
    }
    return table(rows);
}

}  // namespace

std::string table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

std::string duration_words(std::int64_t seconds) {
    if (seconds < 60) return fmt::format("{}s", seconds);
    if (seconds < 3600) return fmt::format("{}m{}s", seconds / 60, seconds % 60);
    if (seconds < 86400) return fmt::format("{}h{}m", seconds / 3600, seconds / 60 % 60);
    return fmt::format("{}d{}h", seconds / 86400, seconds / 3600 % 24);
}

std::string bytes_words(std::uint64_t bytes) {
    if (bytes < 1000) return fmt::format("{}B", bytes);
    double amount = static_cast<double>(bytes) / 1000;
    for (const char* unit : {"kB", "MB", "GB"}) {
        if (amount < 999.95) return fmt::format("{:.1f}{}", amount, unit);
        amount /= 1000;
    }
    return fmt::format("{:.1f}TB", amount);
}

std::string as_text(const std::string& verb, const json& answer) {
    if (verb == "info") return info_text(answer);
    if (verb == "status") return status_text(answer);
    if (verb == "tunnels") return tunnels_text(answer);
    if (verb == "neighbours") return neighbours_text(answer);
    return routes_text(answer);
}

}  // namespace aronet::daemon
