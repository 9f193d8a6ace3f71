#include "overlay/relax.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// The position behind the string that starts at `at`.
std::size_t behind_string(const std::string& text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at) {
        if (text[at] == '\\') ++at;
    }
    return std::min(at + 1, text.size());
}

void blank(std::string& text, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
        if (text[i] != '\n') text[i] = ' ';
    }
}

// Blanks the comment at `at` and returns where it ends; `at` itself when there is none.
std::size_t blank_comment(std::string& text, std::size_t at) {
    const std::string_view rest = std::string_view(text).substr(at);
    std::size_t end = at;
    if (rest.starts_with('#') || rest.starts_with("//")) {
        end = std::min(text.find('\n', at), text.size());
    } else if (rest.starts_with("/*")) {
        const std::size_t close = text.find("*/", at + 2);
        if (close == std::string::npos) return at;
        end = close + 2;
    }
    blank(text, at, end);
    return end;
}

}  // namespace

std::string relax(std::string_view given) {
    std::string text(given);
    if (text.starts_with(kByteOrderMark)) blank(text, 0, kByteOrderMark.size());
    std::size_t comma = std::string::npos;  // the last one with nothing but space behind it so far
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (c == '"') {
            comma = std::string::npos;
            at = behind_string(text, at);
            continue;
        }
        if (c == '#' || c == '/') {
            const std::size_t end = blank_comment(text, at);
            if (end > at) {
                at = end;
                continue;
            }
        }
        if ((c == '}' || c == ']') && comma != std::string::npos) text[comma] = ' ';
        if (kSpace.find(c) == std::string_view::npos) comma = c == ',' ? at : std::string::npos;
        ++at;
    }
    return text;
}

}  // namespace aronet::overlay
