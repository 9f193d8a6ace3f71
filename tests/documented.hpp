#pragma once

// Tables of docs/ whose rows are shown by tests: what the page says, and which tests there are.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

// The cells of every row of the tables below a heading ("## Conformance"), without the tables' own headings.
std::vector<std::vector<std::string>> rows_below(const std::string& page, const std::string& heading);

// The names of all tests by their file below tests/: of C++ files without the ending ("ike/session_test"), of
// scripts with it ("native/flood.sh"), where a test is what `check` names.
std::map<std::string, std::set<std::string>> tests_by_file();

std::vector<std::string> split(const std::string& text, char separator);  // each part trimmed

std::string text_of(const std::filesystem::path& path);
