#pragma once

// What a machine has to say. Log lines are output like any other: the core puts Notes among its actions,
// the shell writes them, a simulation fails on an error.

#include "base/time.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace aronet::base {

enum class Level { debug, info, warning, error };

struct Note {
    Level level = Level::info;
    std::string text;  // one line, already fit to print (base::printable for what strangers sent)
    bool operator==(const Note&) const = default;
};

// Counts every event by its reason and lets one line per reason and minute through.
class Drops {
public:
    // True when this occurrence should also be logged; `suppressed` then tells how many were not since the
    // last.
    bool count(std::string_view reason, Instant now, std::uint64_t* suppressed = nullptr);
    const std::map<std::string, std::uint64_t, std::less<>>& totals() const { return totals_; }

private:
    struct Gate {
        Instant open_at;
        std::uint64_t suppressed = 0;
    };
    std::map<std::string, std::uint64_t, std::less<>> totals_;
    std::map<std::string, Gate, std::less<>> gates_;
};

}  // namespace aronet::base
