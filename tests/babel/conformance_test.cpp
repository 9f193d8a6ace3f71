// The conformance tables of docs/babel.md: every row names the tests that show it, and these exist.

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> names_of_tests() {
    static const std::regex test_case(R"re(TEST_CASE\(\s*"((?:[^"\\]|\\.)*)")re");
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ARONET_SOURCE_DIR) / "tests")) {
        if (entry.path().extension() != ".cpp") continue;
        const std::string text = text_of(entry.path());
        for (std::sregex_iterator it(text.begin(), text.end(), test_case), end; it != end; ++it)
            names.insert((*it)[1]);
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
