#pragma once

// Answers of the daemon as a person reads them: aligned columns, one header line, no borders.

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace aronet::daemon {

std::string table(const std::vector<std::vector<std::string>>& rows);
std::string duration_words(std::int64_t seconds);  // 42s, 7m, 3h12m, 5d1h
std::string bytes_words(std::uint64_t bytes);      // 812B, 4.7kB, 1.2MB
std::string as_text(const std::string& verb, const nlohmann::json& answer);

}  // namespace aronet::daemon
