#include "base/quota.hpp"

#include <algorithm>

namespace aronet::base {
namespace {

constexpr Duration kMinute = 60s;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Of a number, an address, or a name made of them.
bool is_inside_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':' || c == '.';
}

// Every word with a digit in it is the same.
std::string without_numbers(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto end = std::ranges::find_if_not(text, is_inside_word);
        const std::string_view word = text.substr(0, static_cast<std::size_t>(end - text.begin()));
        out += std::ranges::any_of(word, is_digit) ? "#" : word;
        text.remove_prefix(word.size());
        if (text.empty()) break;
        out += text.front();
        text.remove_prefix(1);
    }
    return out;
}

}  // namespace

// Strangers can have a say in what a line says: there are only so many kinds.
Quota::Kind& Quota::kind_of(std::string_view text, Instant now) {
    std::string key = without_numbers(text);
    if (kinds_.size() >= kKinds && !kinds_.contains(key)) {
        std::erase_if(kinds_, [&](const auto& entry) { return entry.second.since + kMinute <= now; });
        if (kinds_.size() >= kKinds) return others_;
    }
    return kinds_[std::move(key)];
}

std::optional<std::string> Quota::admit(const Note& note, Instant now) {
    if (note.level == Level::debug) return note.text;  // somebody wants to see all of it
    Kind& kind = kind_of(note.text, now);
    if (kind.admitted == 0 || kind.since + kMinute <= now) {
        const std::uint64_t held_back = kind.held_back;
        kind = {now, 1, 0};
        if (held_back == 0) return note.text;
        return note.text + " (and " + std::to_string(held_back) + " more like it before)";
    }
    if (kind.admitted < (note.level == Level::info ? kNews : kProblems)) {
        ++kind.admitted;
        return note.text;
    }
    ++kind.held_back;
    return std::nullopt;
}

}  // namespace aronet::base
