#pragma once

// Whether a text has a part: for what a command printed or a daemon answered.

#include <string>

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}
