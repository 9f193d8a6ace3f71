#pragma once

// Files of others that are not ours to commit: read from the folder that ARONET_TEST_DATA names, and left
// out, saying so, where it is unset. scripts/test counts the lines.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

inline std::optional<std::filesystem::path> test_data(const std::string& name) {
    const char* folder = std::getenv("ARONET_TEST_DATA");
    if (folder == nullptr || *folder == '\0') {
        std::cout << "left out: " << name << " (ARONET_TEST_DATA is unset)\n";
        return std::nullopt;
    }
    return std::filesystem::path(folder) / name;
}
