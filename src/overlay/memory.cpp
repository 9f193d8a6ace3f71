#include "overlay/memory.hpp"

#include <charconv>
#include <sstream>

namespace aronet::overlay {
namespace {

constexpr const char* kRouterId = "router-id";
constexpr const char* kSeqno = "seqno";
constexpr const char* kHello = "hello";
constexpr const char* kDistance = "distance";
constexpr const char* kTunnel = "tunnel";
constexpr const char *kSysctl = "sysctl", *kUnderlay = "underlay", *kOverlay = "overlay";

template <class T>
std::optional<T> number(const std::string& text, int base = 10) {
    T value{};
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value, base);
    return read.ec == std::errc() && read.ptr == end ? std::optional(value) : std::nullopt;
}

std::string hex(babel::RouterId id) {
    std::ostringstream out;
    out << std::hex << id;
    return out.str();
}

std::vector<std::string> words(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> all;
    for (std::string word; in >> word;) all.push_back(word);
    return all;
}

std::string key_of(const babel::Destination& about, babel::RouterId router_id) {
    return std::string(kDistance) + " " + about.prefix.to_string() + " " + about.source.to_string() + " " +
           hex(router_id);
}

std::string key_of(netlink::Space space, const std::string& sysctl) {
    const char* where = space == netlink::Space::overlay ? kOverlay : kUnderlay;
    return std::string(kSysctl) + " " + where + " " + sysctl;
}

std::optional<babel::Distance> distance(const std::vector<std::string>& key, const std::string& value) {
    const auto said = words(value);
    if (key.size() != 4 || said.size() != 2) return std::nullopt;
    const auto prefix = base::Prefix::parse(key[1]), source = base::Prefix::parse(key[2]);
    const auto router_id = number<babel::RouterId>(key[3], 16);
    const auto seqno = number<babel::SeqNo>(said[0]);
    const auto metric = number<babel::Metric>(said[1]);
    if (!prefix || !source || prefix->family() != source->family() || !router_id || !seqno || !metric)
        return std::nullopt;
    if (*metric == babel::kInfinity) return std::nullopt;
    return babel::Distance{{*prefix, *source}, *router_id, *seqno, *metric};
}

}  // namespace

Memory recall(const std::map<std::string, std::string>& remembered) {
    Memory memory;
    for (const auto& [key, value] : remembered) {
        const auto named = words(key);
        if (key == kRouterId) {
            memory.router_id = number<babel::RouterId>(value, 16);
            if (memory.router_id == 0 || memory.router_id == UINT64_MAX) memory.router_id.reset();
        } else if (key == kSeqno) {
            memory.seqno = number<babel::SeqNo>(value).value_or(0);
        } else if (named.size() == 2 && named[0] == kHello) {
            if (const auto next = number<babel::SeqNo>(value)) memory.hellos[named[1]] = *next;
        } else if (named.size() == 2 && named[0] == kTunnel) {
            if (const auto if_id = number<std::uint32_t>(named[1])) memory.tunnels[*if_id] = value;
        } else if (named.size() == 3 && named[0] == kSysctl) {
            const auto space = named[1] == kOverlay ? netlink::Space::overlay : netlink::Space::underlay;
            memory.sysctls[{space, named[2]}] = value;
        } else if (!named.empty() && named[0] == kDistance) {
            if (auto found = distance(named, value)) memory.distances.push_back(std::move(*found));
        }
    }
    if (memory.router_id) return memory;
    Memory of_nobody;  // who said goodbye, but may not have put everything back
    of_nobody.sysctls = std::move(memory.sysctls);
    return of_nobody;
}

Remember remember_router_id(babel::RouterId router_id) { return {kRouterId, hex(router_id)}; }
Remember forget_router_id() { return {kRouterId, {}}; }
Remember remember_seqno(babel::SeqNo seqno) { return {kSeqno, std::to_string(seqno)}; }
Remember remember_hello(const std::string& link, babel::SeqNo next) {
    return {std::string(kHello) + " " + link, std::to_string(next)};
}
Remember forget_hello(const std::string& link) { return {std::string(kHello) + " " + link, {}}; }
Remember remember(const babel::Distance& distance) {
    return {
        key_of(distance.destination, distance.router_id),
        std::to_string(distance.seqno) + " " + std::to_string(distance.metric)};
}
Remember remember_tunnel(std::uint32_t if_id, const std::string& whose) {
    return {std::string(kTunnel) + " " + std::to_string(if_id), whose};
}
Remember forget_tunnel(std::uint32_t if_id) { return remember_tunnel(if_id, {}); }
Remember remember_sysctl(netlink::Space space, const std::string& key, const std::string& value) {
    return {key_of(space, key), value};
}
Remember forget_sysctl(netlink::Space space, const std::string& key) { return {key_of(space, key), {}}; }
Remember forget_distance(const babel::Destination& about, babel::RouterId router_id) {
    return {key_of(about, router_id), {}};
}

}  // namespace aronet::overlay
