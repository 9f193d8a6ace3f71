// The conformance tables of docs/babel.md: every row names the tests that show it, and these exist.

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// Of a file of ours: formatted, so that a name is one literal, at times on a line of its own.
void collect_names(const std::string& text, std::set<std::string>& names) {
    static const std::string start = "TEST_CASE(";
    for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
        const std::size_t open = text.find_first_not_of(" \n", at + start.size());
        if (open == std::string::npos || text[open] != '"') continue;
        names.insert(text.substr(open + 1, text.find('"', open + 1) - open - 1));
    }
}

std::set<std::string> names_of_tests() {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ARONET_SOURCE_DIR) / "tests")) {
        if (entry.path().extension() == ".cpp") collect_names(text_of(entry.path()), names);
    }
    return names;
}

struct Row {
    std::string section, rule, tests;
};

std::string trimmed(const std::string& text) {
    const std::size_t from = text.find_first_not_of(' '), to = text.find_last_not_of(' ');
    return from == std::string::npos ? "" : text.substr(from, to - from + 1);
}

std::vector<Row> rows() {
    std::vector<Row> found;
    std::istringstream text(text_of(fs::path(ARONET_SOURCE_DIR) / "docs/babel.md"));
    bool inside = false;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("## ")) inside = line == "## Conformance";
        if (!inside || !line.starts_with("| ") || line.starts_with("| section")) continue;
        std::istringstream cells(line.substr(1));
        Row row;
        std::getline(cells, row.section, '|');
        std::getline(cells, row.rule, '|');
        std::getline(cells, row.tests, '|');
        found.push_back({trimmed(row.section), trimmed(row.rule), trimmed(row.tests)});
    }
    return found;
}

}  // namespace

TEST_CASE("every row of the conformance tables has a test, and the test exists") {
    const auto known = names_of_tests();
    const auto table = rows();
    CHECK(table.size() > 40);
    for (const Row& row : table) {
        CAPTURE(row.section, row.rule);
        CHECK_FALSE(row.section.empty());
        CHECK_FALSE(row.rule.empty());
        std::istringstream names(row.tests);
        std::size_t count = 0;
        for (std::string name; std::getline(names, name, ';'); ++count) {
            CAPTURE(name);
            CHECK(known.count(trimmed(name)) == 1);
        }
        CHECK(count > 0);
    }
}
