#pragma once

// Numbers that a caller may give by an environment variable: how many seeds, which one alone.

#include <cstdint>
#include <cstdlib>

namespace aronet {

inline std::uint64_t number(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace aronet
