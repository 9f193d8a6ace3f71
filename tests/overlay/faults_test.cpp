// The rows of docs/faults.md: each has the tests that it names, and no other file has one of it.

#include "documented.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <regex>

namespace {

constexpr int kRows = 71;

std::string text_of(const std::string& file) {
    const bool is_script = file.ends_with(".sh");
    std::ifstream in(std::filesystem::path(ARONET_SOURCE_DIR) / "tests" / (is_script ? file : file + ".cpp"));
    return {std::istreambuf_iterator<char>(in), {}};
}

// By row: "row 4: what holds", "row 4, 5: what holds both times"; behind identifiers of the catalogue of
// attacks, too.
std::map<std::string, std::set<std::string>> files_by_row() {
    static const std::regex rows(R"(["' ]row ([0-9]+(, [0-9]+)*): )");
    std::map<std::string, std::set<std::string>> found;
    for (const auto& [file, names] : tests_by_file()) {
        const std::string text = file == "overlay/faults_test" ? "" : text_of(file);
        for (std::sregex_iterator each(text.begin(), text.end(), rows), end; each != end; ++each) {
            for (const std::string& row : split((*each)[1], ',')) found[row].insert(file);
        }
    }
    return found;
}

}  // namespace

TEST_CASE("every fault has the tests that its row says, and they have no others") {
    auto files = files_by_row();
    int last = 0;
    for (const auto& row : rows_below("docs/faults.md", "## Rows")) {
        REQUIRE(row.size() >= 4);
        CAPTURE(row[0], row[3]);
        CHECK(row[0] == std::to_string(++last));
        std::set<std::string> named;
        for (const std::string& test : split(row[3], ',')) named.insert(test);
        CHECK_FALSE(named.empty());
        CHECK(named == files[row[0]]);
    }
    CHECK(last == kRows);
    for (const auto& [row, of] : files) CHECK(std::stoi(row) <= kRows);
}
