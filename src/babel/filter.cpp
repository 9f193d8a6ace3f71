#include "babel/filter.hpp"

#include <algorithm>

namespace aronet::babel {
namespace {

constexpr std::uint8_t kBoot = 3;  // RTPROT_BOOT

bool lies_within(const std::optional<Prefix>& outer, const Prefix& inner) {
    return !outer || outer->contains(inner);
}

bool fits_origin(const Match& match, const Subject& subject) {
    if (match.local || subject.local) return match.local == subject.local;
    return match.protocol ? match.protocol == subject.protocol : subject.protocol != kBoot;
}

bool is_held_by(const std::string& organization, const Subject& subject) {
    if (organization.empty()) return true;
    if (subject.holders == nullptr) return false;
    const auto& holders = subject.holders->of(subject.about.prefix);
    return std::any_of(holders.begin(), holders.end(), [&](const Holder& holder) {
        return fits(organization, holder.organization);
    });
}

}  // namespace

bool Match::accepts(const Subject& subject) const {
    const Destination& about = subject.about;
    return unregistered == subject.unregistered && lies_within(prefix, about.prefix) &&
           lengths.contain(about.prefix.length()) && lies_within(source, about.source) &&
           source_lengths.contain(about.source.length()) &&
           (!neighbour || (subject.neighbour != nullptr && *subject.neighbour == *neighbour)) &&
           metrics.contain(subject.metric) && (!table || table == subject.table) &&
           (interface.empty() || fits(interface, subject.interface)) && fits_peer(peer, subject.peer) &&
           fits_origin(*this, subject) && is_held_by(organization, subject);
}

// A star that took too little is asked to take one more; only the last star has to be asked.
bool fits(std::string_view pattern, std::string_view name) {
    std::size_t p = 0, n = 0, star = std::string_view::npos, taken = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
            ++p;
            ++n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

// Nearly all prefixes are told from these by their first octet.
bool martian(const Prefix& prefix) {
    const base::Byte first = prefix.address().bytes()[0];
    const base::Byte high = prefix.family() == base::Family::v4 ? 224 : 0xfe;
    if (first != 0 && first != 127 && first != 169 && first < high) return false;
    static const auto forbidden = [] {
        std::vector<Prefix> list;
        for (const char* text :
             {"127.0.0.0/8",
              "224.0.0.0/4",
              "0.0.0.0/8",
              "255.255.255.255/32",
              "169.254.0.0/16",
              "fe80::/10",
              "ff00::/8",
              "::/128",
              "::1/128",
              "::ffff:0.0.0.0/96"}) {
            if (const auto p = Prefix::parse(text)) list.push_back(*p);
        }
        return list;
    }();
    return std::any_of(forbidden.begin(), forbidden.end(), [&](const Prefix& p) {
        return p.contains(prefix);
    });
}

}  // namespace aronet::babel
