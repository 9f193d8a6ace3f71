// The conformance tables of docs/babel.md: every row names the tests that show it, and these exist.

#include "documented.hpp"

#include <catch2/catch.hpp>

TEST_CASE("every row of the conformance tables has a test, and the test exists") {
    std::set<std::string> known;
    for (const auto& [file, names] : tests_by_file()) known.insert(names.begin(), names.end());
    const auto table = rows_below("docs/babel.md", "## Conformance");
    CHECK(table.size() > 40);
    for (const auto& row : table) {
        REQUIRE(row.size() >= 3);
        CAPTURE(row[0], row[1]);
        CHECK_FALSE(row[0].empty());
        CHECK_FALSE(row[1].empty());
        const auto tests = split(row[2], ';');
        CHECK_FALSE(tests.empty());
        for (const std::string& name : tests) {
            CAPTURE(name);
            CHECK(known.contains(name));
        }
    }
}
