#include "daemon/log.hpp"

#include "base/quota.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

using namespace aronet;

namespace {

// What is written to standard error meanwhile.
template <class Work>
std::string captured(const Work& work) {
    std::FILE* file = std::tmpfile();
    std::fflush(stderr);
    const int before = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    work();
    std::fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    std::rewind(file);
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

}  // namespace

TEST_CASE("a line of the log is text or one JSON object, and lower levels are left out") {
    const std::string json = captured([] {
        daemon::start_log("warning", overlay::LogFormat::json);
        daemon::write_log({base::Level::info, "not this"});
        daemon::write_log({base::Level::warning, "a \"quoted\" \\ line"});
    });
    const auto line = nlohmann::json::parse(json);
    CHECK(line.at("text") == "a \"quoted\" \\ line");
    CHECK(line.at("level") == "warning");
    CHECK(line.contains("time"));
    const std::string text = captured([] {
        daemon::start_log("info", overlay::LogFormat::text);
        daemon::write_log({base::Level::info, "plain"});
    });
    CHECK(text.find("info    plain\n") != std::string::npos);
}

TEST_CASE("a reason that comes round and round is a few lines of the log") {
    const std::string text = captured([] {
        daemon::start_log("info", overlay::LogFormat::text);
        for (int i = 0; i < 1000; ++i)
            daemon::write_log({base::Level::warning, "no way to " + std::to_string(i)});
    });
    CHECK(std::ranges::count(text, '\n') == base::Quota::kProblems);
}
