#pragma once

// Rules that decide about a route by where it goes, who said so and where it comes from; the first one that
// matches decides. The same for what is imported, exported, redistributed and installed: only the verdicts
// differ. Knows no speaker and no kernel.

#include "babel/types.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aronet::babel {

// What a rule is asked about. What does not apply is left out.
struct Subject {
    const Destination& about;
    std::string_view interface;            // it goes or came by
    const Address* neighbour = nullptr;    // who announced it
    std::optional<std::uint8_t> protocol;  // of a route of the kernel (RTPROT_*)
    bool local = false;                    // an address of this host
};

struct Lengths {
    unsigned min = 0, max = 128;

    bool contain(unsigned length) const { return min <= length && length <= max; }
    bool operator==(const Lengths&) const = default;
};

struct Match {                             // all of what is given
    std::string interface;                 // a pattern, or empty
    std::optional<Prefix> prefix, source;  // that it lies within
    Lengths lengths, source_lengths;
    std::optional<Address> neighbour;
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

// Those that concern the interface at all, which need not be asked about it again.
template <class Verdict>
Rules<Verdict> rules_for(const Rules<Verdict>& rules, std::string_view interface);

bool martian(const Prefix& prefix);  // never belongs into a routing table (RFC 8966 appendix C)

// Shell patterns: `*` stands for any characters, `?` for one.
bool fits(std::string_view pattern, std::string_view name);

template <class Verdict>
Rules<Verdict> rules_for(const Rules<Verdict>& rules, std::string_view interface) {
    Rules<Verdict> out;
    for (const Rule<Verdict>& rule : rules) {
        if (!rule.match.interface.empty() && !fits(rule.match.interface, interface)) continue;
        out.push_back(rule);
        out.back().match.interface.clear();
    }
    return out;
}

}  // namespace aronet::babel
