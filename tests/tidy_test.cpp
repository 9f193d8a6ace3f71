// The style as a test: what a reviewer would otherwise say again and again.

#include "documented.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct File {
    std::string name;  // from the project's root
    std::vector<std::string> lines;
    bool below(const std::string& folder) const { return name.starts_with(folder + "/"); }
};

std::vector<File> files(const std::vector<std::string>& folders, const std::set<std::string>& endings) {
    std::vector<File> list;
    const fs::path root = ARONET_SOURCE_DIR;
    for (const std::string& folder : folders) {
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            if (!entry.is_regular_file() || !endings.contains(entry.path().extension().string())) continue;
            File file{fs::relative(entry.path(), root).string(), {}};
            std::ifstream in(entry.path());
            for (std::string line; std::getline(in, line);) file.lines.push_back(line);
            list.push_back(std::move(file));
        }
    }
    return list;
}

std::vector<File> code() { return files({"src", "tests", "fuzz"}, {".hpp", ".cpp"}); }
std::vector<File> source() { return files({"src"}, {".hpp", ".cpp"}); }

// A violation in the words of a compiler.
void complain(const File& file, std::size_t line, const std::string& rule) {
    FAIL_CHECK(file.name << ":" << line << ": " << rule);
}

std::size_t columns(const std::string& line) {
    return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
        return (c & 0xc0) != 0x80;
    }));
}

// The line without comments and with empty string literals.
std::string bare(const std::string& line) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line.compare(i, 2, "//") == 0) break;
        if (line[i] == '"' && (i == 0 || line[i - 1] != '\'')) {
            out += "\"\"";
            for (++i; i < line.size() && line[i] != '"'; ++i) {
                if (line[i] == '\\') ++i;
            }
            continue;
        }
        out += line[i];
    }
    return out;
}

// Length of each function by its outermost braces: a line that ends in `{` at most one level deep and is no
// namespace, type, array or enumeration opens one.
void check_functions(const File& file) {
    static const std::regex no_function(
        R"(^\s*(namespace|struct|class|enum|union|extern|template|(constexpr|const|static) .*=))"
    );
    std::size_t start = 0;
    std::string closing;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const std::string line = bare(file.lines[i]);
        const std::size_t indent = line.find_first_not_of(' ');
        if (start == 0 && line.ends_with("{") && indent != std::string::npos && indent <= 4) {
            if (std::regex_search(line, no_function)) continue;
            start = i + 1;
            closing = std::string(indent, ' ') + "}";
        } else if (start != 0 && line.starts_with(closing) && indent == closing.size() - 1) {
            if (i + 2 - start > 70)
                complain(
                    file, start, "a function of " + std::to_string(i + 2 - start) + " lines, 70 at most"
                );
            start = 0;
        }
    }
}

std::string module_of(const std::string& path) {
    const auto slash = path.find('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

TEST_CASE("no function is longer than 70 lines, no file than 500, no line than 110 columns") {
    for (const File& file : code()) {
        if (file.lines.size() > 500) complain(file, file.lines.size(), "a file of more than 500 lines");
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            if (columns(file.lines[i]) > 110) complain(file, i + 1, "a line of more than 110 columns");
            const bool blank_end =
                !file.lines[i].empty() && (file.lines[i].back() == ' ' || file.lines[i].back() == '\t');
            if (blank_end) complain(file, i + 1, "blanks at the end of a line");
        }
        check_functions(file);
    }
}

TEST_CASE("includes follow the arrows") {
    const std::map<std::string, std::set<std::string>> arrows{
        {"base", {"base"}},
        {"babel", {"base", "babel"}},
        {"ike", {"base", "ike"}},
        {"netlink", {"base", "netlink"}},
        {"esp", {"base", "esp"}},
        {"overlay", {"base", "babel", "ike", "netlink", "esp", "overlay"}},
        {"daemon", {"base", "babel", "ike", "netlink", "esp", "overlay", "daemon"}},
    };
    static const std::regex include(R"re(^#include "([a-z_/.]+)")re");
    for (const File& file : source()) {
        const auto allowed = arrows.find(module_of(file.name.substr(4)));
        if (allowed == arrows.end()) continue;  // main.cpp
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            std::smatch match;
            if (!std::regex_search(file.lines[i], match, include)) continue;
            const std::string target = module_of(match[1]);
            if (!allowed->second.contains(target))
                complain(file, i + 1, "an include against the arrows: " + target);
        }
    }
}

TEST_CASE("the core has no sockets, threads, clocks, files or chance of its own") {
    static const std::regex forbidden(
        R"(#include <(thread|mutex|fstream|iostream|filesystem|condition_variable|future)>|)"
        R"(#include <(boost/asio.*|spdlog.*|sys/socket\.h|unistd\.h)>|[a-z_]+_clock|\bnow\(\)|)"
        R"(random_device|std::rand\b|\bsleep|\bgetenv\b)"
    );
    for (const File& file : source()) {
        if (file.below("src/daemon") || file.name == "src/main.cpp") continue;
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            if (std::regex_search(bare(file.lines[i]), forbidden))
                complain(file, i + 1, "belongs into src/daemon: " + file.lines[i]);
        }
    }
}

TEST_CASE("words that stand for habits we do not have") {
    const std::set<std::string> shared_ownership{};                     // files that may; empty on purpose
    const std::set<std::string> one_of_its_kind{"src/base/vault.cpp"};  // docs/decisions/0005
    static const std::regex everywhere(R"(\bdetached\b|\b(make_)?shared(_ptr)?\b<)");
    static const std::regex kept_state(
        R"(\bstatic (?!const|constexpr|inline|_assert|[A-Za-z_:<>, ]+\()[A-Za-z_:<>]+[&*]? \w+( =|;|\{))"
    );
    static const std::regex names(
        R"(\b(struct|class|enum class) \w*(Manager|Helper|Util|Handler|Impl|Info)\b|\b(process|do)_[a-z]+\()"
    );
    static const std::regex waiting(R"(\bsleep_for\b|\bsleep\()");
    for (const File& file : source()) {
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            const std::string line = bare(file.lines[i]);
            const bool allowed = file.lines[i].find("// tidy:") != std::string::npos;
            if (!shared_ownership.contains(file.name) && std::regex_search(line, everywhere))
                complain(file, i + 1, line);
            if (!one_of_its_kind.contains(file.name) && std::regex_search(line, kept_state))
                complain(file, i + 1, "state that nobody owns: " + line);
            if (std::regex_search(line, names)) complain(file, i + 1, "a name that says nothing: " + line);
            if (!allowed && std::regex_search(line, waiting))
                complain(file, i + 1, "waits instead of being called: " + line);
        }
    }
}

TEST_CASE("headers open with a pragma and say what they are, nothing is left to be done") {
    const std::string marks[] = {
        std::string("TO") + "DO", std::string("FIX") + "ME", std::string("XX") + "X:"};
    for (const File& file : code()) {
        if (file.name.ends_with(".hpp")) {
            REQUIRE(file.lines.size() > 2);
            if (file.lines[0] != "#pragma once") complain(file, 1, "no #pragma once");
            if (file.below("src") && !file.lines[2].starts_with("//"))
                complain(file, 3, "no word about what this is");
        }
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            for (const std::string& mark : marks) {
                if (file.lines[i].find(mark) != std::string::npos) complain(file, i + 1, "left to be done");
            }
        }
    }
}

TEST_CASE("scripts pass shellcheck") {
    const std::string command =
        "cd " ARONET_SOURCE_DIR
        " && shellcheck scripts/* .ci/run tests/guest/run 2>&1"
        // What a scenario uses stands in the file it sources.
        " && shellcheck -S warning -e SC1091,SC2034,SC2154 $(find tests -name '*.sh') 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char buffer[4096];
    while (const std::size_t size = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
    INFO(text);
    CHECK(pclose(pipe) == 0);
}

namespace {

// What a statement that begins there says: its literals, as far as they say anything, and of these the
// beginning.
std::vector<std::string> said_at(const std::string& source, std::size_t start) {
    static const std::regex joint("\"\\s*\""), literal(R"re("[ :]*((?:[^"\\]|\\.)*)")re"), escape(R"(\\(.))");
    constexpr std::size_t kWords = 10, kFragment = 24;
    const std::string statement = source.substr(start, source.find(';', start) - start);
    const std::string text = std::regex_replace(statement, joint, "");
    std::vector<std::string> said;
    for (std::sregex_iterator it(text.begin(), text.end(), literal), none; it != none; ++it) {
        const std::string words = std::regex_replace(it->str(1), escape, "$1");
        const std::string bare_words = words.substr(0, words.find_last_not_of(" :") + 1);
        if (bare_words.size() >= kWords) said.push_back(bare_words.substr(0, kFragment));
    }
    return said;
}

}  // namespace

TEST_CASE("operations.md knows every line of the log that warns") {
    // Words that are made elsewhere, or are an error of the system's.
    std::map<std::string, std::vector<std::string>> elsewhere{
        {"control.cpp", {"nobody can be answered: Too many open files", "somebody was not answered"}},
        {"log.cpp", {"a file, line, column and key"}},
        {"registry_port.cpp", {": not used: not a whole copy"}},
        {"run.cpp", {"aronet.pid: No space left on device", "EVERY KEY IS WRITTEN TO"}},
        {"runtime.cpp", {"Babel: UDP port 6696: bind"}},
        {"runtime_ike.cpp", {"UDP port 12025: bind"}},
        {"keeper.cpp", {"a command of `ip`, `sysctl` or `nft` and an error"}},
        {"kept_registry.cpp", {"a file, line, column and key"}},
        {"node_config.cpp", {"a key that cannot change while the daemon runs"}},
        {"node_kernel.cpp", {"a command of `ip`, `sysctl` or `nft` and an error"}},
        {"node_registry.cpp",
         {"the registry does not have this node", "the registry has another public key"}},
        {"node_roles.cpp",
         {" announces 10.10.4.0/24 of ", "announces prefixes of", "is announced by the routers"}},
        {"node_sysctls.cpp", {"a command of `ip`, `sysctl` or `nft` and an error"}},
        {"registry_source.cpp", {": the old registry stays", ": there is no registry yet"}},
    };
    const std::string page = text_of(fs::path(ARONET_SOURCE_DIR) / "docs/operations.md");
    const auto is_known = [&](const std::string& words) { return page.find(words) != std::string::npos; };
    static const std::regex warns(R"(Level::(warning|error)\b)");
    for (const File& file : source()) {
        const std::string text = text_of(fs::path(ARONET_SOURCE_DIR) / file.name);
        for (std::sregex_iterator it(text.begin(), text.end(), warns), none; it != none; ++it) {
            const auto at = it->position();
            const auto line = static_cast<std::size_t>(std::count(text.begin(), text.begin() + at, '\n')) + 1;
            const auto said = said_at(text, static_cast<std::size_t>(at));
            const auto& others = elsewhere[fs::path(file.name).filename().string()];
            const bool known = said.empty() ? !others.empty() && std::ranges::all_of(others, is_known)
                                            : std::ranges::any_of(said, is_known);
            if (!known) complain(file, line, "docs/operations.md does not know this line of the log");
        }
    }
}
