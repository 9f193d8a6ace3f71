#pragma once

// Rules that decide about a route by where it goes, whose that is, who said so and where it comes from; the
// first one that matches decides. The same for what is imported, exported, redistributed and installed: only
// the verdicts differ. Knows no speaker and no kernel.

#include "babel/holders.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aronet::babel {

// What a rule is asked about. What does not apply is left out.
struct Subject {
    const Destination& about;
    std::string_view interface;            // it goes or came by
    std::string_view peer;                 // the node at the other end of that, or empty
    const Address* neighbour = nullptr;    // who announced it
    const Holders* holders = nullptr;      // tell whose it is
    std::uint32_t metric = 0;              // as announced; of a route of the kernel its priority
    bool unregistered = false;             // nobody has been given it, and none but such may be learned
    std::optional<std::uint32_t> table;    // of a route of the kernel
    std::optional<std::uint8_t> protocol;  // the same (RTPROT_*)
    bool local = false;                    // an address of this host
};

struct Lengths {
    unsigned min = 0, max = 128;

    bool contain(unsigned length) const { return min <= length && length <= max; }
    bool operator==(const Lengths&) const = default;
};

struct Metrics {
    std::uint32_t min = 0, max = UINT32_MAX;

    bool contain(std::uint32_t metric) const { return min <= metric && metric <= max; }
    bool operator==(const Metrics&) const = default;
};

struct Match {                             // all of what is given
    std::string interface, peer;           // patterns, or empty
    std::optional<Prefix> prefix, source;  // that it lies within
    Lengths lengths, source_lengths;
    std::string organization;  // a pattern: somebody of it has been given the prefix; or empty
    std::optional<Address> neighbour;
    Metrics metrics;
    bool unregistered = false;  // what nobody has been given, and nothing else
    std::optional<std::uint32_t> table;
    std::optional<std::uint8_t> protocol;  // absent: any but "boot", whose routes somebody tried out by hand
    bool local = false;                    // addresses of this host, and nothing else

    bool accepts(const Subject& subject) const;
    bool operator==(const Match&) const = default;
};

template <class Verdict>
struct Rule {
    Match match;
    Verdict verdict;
    bool operator==(const Rule&) const = default;
};
template <class Verdict>
using Rules = std::vector<Rule<Verdict>>;

// Metrics: what is added on the way in or out, or what a redistributed route starts with; infinity refuses.
using MetricRules = Rules<Metric>;

// nullptr: no rule has anything to say.
template <class Verdict>
const Verdict* first_match(const Rules<Verdict>& rules, const Subject& subject) {
    for (const Rule<Verdict>& rule : rules) {
        if (rule.match.accepts(subject)) return &rule.verdict;
    }
    return nullptr;
}

// Those that concern the interface and its peer at all, which need not be asked about these again.
template <class Verdict>
Rules<Verdict> rules_for(const Rules<Verdict>& rules, std::string_view interface, std::string_view peer = {});

bool martian(const Prefix& prefix);  // never belongs into a routing table (RFC 8966 appendix C)

// Shell patterns: `*` stands for any characters, `?` for one.
bool fits(std::string_view pattern, std::string_view name);

// Who is nobody fits no pattern.
inline bool fits_peer(std::string_view pattern, std::string_view peer) {
    return pattern.empty() || (!peer.empty() && fits(pattern, peer));
}

template <class Verdict>
Rules<Verdict> rules_for(const Rules<Verdict>& rules, std::string_view interface, std::string_view peer) {
    Rules<Verdict> out;
    for (const Rule<Verdict>& rule : rules) {
        if (!rule.match.interface.empty() && !fits(rule.match.interface, interface)) continue;
        if (!fits_peer(rule.match.peer, peer)) continue;
        out.push_back(rule);
        out.back().match.interface.clear();
        out.back().match.peer.clear();
    }
    return out;
}

}  // namespace aronet::babel
