// The catalogue of docs/ike.md: every identifier has its row, every row the tests that show it, by name.

#include "documented.hpp"

#include <catch2/catch.hpp>

namespace {

// "A3" and "A11" of "A3, A11, row N: what happens" (the row is of docs/faults.md); nothing of other names.
std::set<std::string> identifiers_of(const std::string& name) {
    const auto is_identifier = [](const std::string& text) {
        const bool letter = !text.empty() && text[0] >= 'A' && text[0] <= 'C';
        return letter && text.size() > 1 && text.find_first_not_of("0123456789", 1) == std::string::npos;
    };
    std::set<std::string> found;
    if (name.find(':') == std::string::npos) return found;
    for (const std::string& part : split(name.substr(0, name.find(':')), ',')) {
        if (part.starts_with("row ")) break;
        if (!is_identifier(part)) return {};
        found.insert(part);
    }
    return found;
}

std::set<std::string> all_identifiers() {
    std::set<std::string> all;
    for (const auto& [letter, last] : {std::pair('A', 20), std::pair('B', 8), std::pair('C', 19)}) {
        for (int i = 1; i <= last; ++i) all.insert(letter + std::to_string(i));
    }
    return all;
}

}  // namespace

TEST_CASE("every attack of the catalogue has its tests, where its row says and nowhere else") {
    std::map<std::string, std::set<std::string>> files_of;  // by identifier
    for (const auto& [file, names] : tests_by_file()) {
        for (const std::string& name : names) {
            for (const std::string& identifier : identifiers_of(name)) files_of[identifier].insert(file);
        }
    }
    std::set<std::string> listed;
    for (const auto& row : rows_below("docs/ike.md", "## Catalogue of attacks")) {
        REQUIRE(row.size() >= 3);
        CAPTURE(row[0], row[2]);
        CHECK(listed.insert(row[0]).second);
        CHECK_FALSE(row[1].empty());
        std::set<std::string> named;
        for (const std::string& file : split(row[2], ',')) {
            const bool has_folder = file.find('/') != std::string::npos;
            named.insert(has_folder ? file : "ike/" + file);
        }
        CHECK(named == files_of[row[0]]);
    }
    CHECK(listed == all_identifiers());
    for (const auto& [identifier, files] : files_of) CHECK(listed.contains(identifier));
}
