#include "documented.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

// What stands between quotes behind every `start`. Files of ours are formatted: a name is one literal, at
// times on a line of its own.
std::set<std::string> names_behind(const std::string& start, char quote, const std::string& text) {
    std::set<std::string> names;
    for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
        const std::size_t open = text.find_first_not_of(" \n", at + start.size());
        if (open == std::string::npos || text[open] != quote) continue;
        names.insert(text.substr(open + 1, text.find(quote, open + 1) - open - 1));
    }
    return names;
}

std::string trimmed(const std::string& text) {
    const std::size_t from = text.find_first_not_of(' '), to = text.find_last_not_of(' ');
    return from == std::string::npos ? "" : text.substr(from, to - from + 1);
}

}  // namespace

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(trimmed(part));
    return parts;
}

std::vector<std::vector<std::string>> rows_below(const std::string& page, const std::string& heading) {
    std::vector<std::vector<std::string>> found;
    std::istringstream text(text_of(fs::path(ARONET_SOURCE_DIR) / page));
    bool inside = false, behind_heading = false;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("## ")) inside = line == heading;
        if (!line.starts_with("|")) behind_heading = false;
        if (!inside || !line.starts_with("|")) continue;
        if (line.starts_with("|---")) {
            behind_heading = true;
        } else if (behind_heading) {
            found.push_back(split(line.substr(1), '|'));
        }
    }
    return found;
}

std::map<std::string, std::set<std::string>> tests_by_file() {
    std::map<std::string, std::set<std::string>> found;
    const fs::path folder = fs::path(ARONET_SOURCE_DIR) / "tests";
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        fs::path name = fs::relative(entry.path(), folder);
        if (name.extension() == ".cpp") {
            found[name.replace_extension().string()] = names_behind("TEST_CASE(", '"', text_of(entry.path()));
        } else if (name.extension() == ".sh") {
            const std::string text = text_of(entry.path());
            found[name.string()] = names_behind("check ", '\'', text);
            found[name.string()].merge(names_behind("check ", '"', text));
        }
    }
    return found;
}
