#pragma once

// How many lines of a log may say the same.

#include "base/log.hpp"

#include <map>
#include <optional>
#include <string>

namespace aronet::base {

// Lets so many lines of a kind through within a minute, and counts the others: what goes wrong over and over
// must not fill the disk. Lines are of one kind when they differ in numbers and addresses only.
class Quota {
public:
    static constexpr unsigned kProblems = 30, kNews = 1000;  // warnings and errors; what is less
    static constexpr std::size_t kKinds = 1000;              // that are told apart

    // The text as it is to be written, which says how many like it were not; or nothing.
    std::optional<std::string> admit(const Note& note, Instant now);

private:
    struct Kind {
        Instant since;
        unsigned admitted = 0;
        std::uint64_t held_back = 0;
    };
    Kind& kind_of(std::string_view text, Instant now);

    std::map<std::string, Kind, std::less<>> kinds_;
    Kind others_;
};

}  // namespace aronet::base
