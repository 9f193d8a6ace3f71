#include "daemon/updown.hpp"

#include "daemon/clock.hpp"

#include <catch2/catch.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

using namespace aronet;
using namespace std::chrono_literals;

namespace {

class Scripts {
public:
    Scripts()
        : file_(std::filesystem::temp_directory_path() / ("aronet-updown-" + std::to_string(getpid()))) {
        std::filesystem::remove(file_);
    }
    ~Scripts() { std::filesystem::remove(file_); }

    void run(const std::string& interface, const std::string& script) {
        updown.run({interface, script, {{"PLUTO_VERB", "up-client"}, {"OUT", file_}}}, daemon::now());
    }
    // Until nothing is left to run; true if that took less than the time.
    bool end(base::Duration patience) {
        const auto until = daemon::now() + patience;
        for (; !updown.idle() && daemon::now() < until; updown.reap(daemon::now())) poll(nullptr, 0, 10);
        for (const base::Note& note : updown.take_notes()) notes.push_back(note.text);
        return updown.idle();
    }
    void wait_for_words() const {
        for (const auto until = daemon::now() + 5s; written().empty() && daemon::now() < until;)
            poll(nullptr, 0, 10);
    }
    std::string written() const {
        std::ifstream in(file_);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    daemon::Updown updown;
    std::vector<std::string> notes;

private:
    std::string file_;
};

}  // namespace

TEST_CASE("scripts of one tunnel run in their order, those of others beside them") {
    Scripts scripts;
    scripts.run("a", "sleep 0.5; echo a1 >>$OUT");
    scripts.run("a", "echo a2 >>$OUT");
    scripts.run("b", "echo b >>$OUT");
    CHECK(scripts.end(5s));
    CHECK(scripts.written() == "b\na1\na2\n");
    CHECK(scripts.notes.empty());
}

TEST_CASE("a script that fails is told of, and the next one runs") {
    Scripts scripts;
    scripts.run("a", "exit 3");
    scripts.run("a", "echo next >>$OUT");
    CHECK(scripts.end(5s));
    CHECK(scripts.written() == "next\n");
    CHECK(
        scripts.notes == std::vector<std::string>{"a: the updown script (up-client) ended with exit status 3"}
    );
}

TEST_CASE("a script that hangs is killed with all it started, and the next one runs") {
    Scripts scripts;
    scripts.run("a", "sleep 1000 | sleep 1000");
    scripts.run("a", "echo next >>$OUT");
    REQUIRE(scripts.updown.deadline());
    scripts.updown.tick(daemon::now());
    CHECK_FALSE(scripts.end(100ms));
    scripts.updown.tick(daemon::now() + daemon::Updown::kPatience);
    CHECK(scripts.end(5s));
    CHECK(scripts.written() == "next\n");
    CHECK(
        scripts.notes == std::vector<std::string>{"a: the updown script (up-client) was ended by signal 9"}
    );
    CHECK_FALSE(scripts.updown.deadline());
}

TEST_CASE("behind a script that hangs only so many wait, the newest of them") {
    Scripts scripts;
    scripts.run("a", "sleep 1000");
    for (int i = 1; i <= 20; ++i) scripts.run("a", "echo " + std::to_string(i) + " >>$OUT");
    scripts.updown.tick(daemon::now() + daemon::Updown::kPatience);
    CHECK(scripts.end(5s));
    const std::string written = scripts.written();
    CHECK(written.starts_with("5\n6\n"));
    CHECK(written.ends_with("19\n20\n"));
    CHECK(scripts.notes.size() == 4 + 1);
}

TEST_CASE("on a stop nothing runs on after the time given") {
    Scripts scripts;
    scripts.run("a", "sleep 1000");
    scripts.run("a", "echo never >>$OUT");
    scripts.run("b", "echo last >>$OUT");
    scripts.wait_for_words();
    scripts.updown.hurry(daemon::now() + 200ms);
    CHECK(scripts.updown.deadline()->at <= daemon::now() + 200ms);
    scripts.updown.tick(daemon::now() + 200ms);
    CHECK(scripts.end(5s));
    CHECK(scripts.written() == "last\n");
}

TEST_CASE("a script has no input, and a broken pipe ends it as anywhere else") {
    Scripts scripts;
    signal(SIGPIPE, SIG_IGN);
    scripts.run("a", "cat >>$OUT; sh -c 'kill -PIPE $$'; echo $? >>$OUT");
    CHECK(scripts.end(5s));
    CHECK(scripts.written() == "141\n");
    CHECK(scripts.notes.empty());
}

TEST_CASE("a script inherits no descriptor of the daemon's beyond the three it needs") {
    Scripts scripts;
    const int open_to_all = dup(STDERR_FILENO);  // without FD_CLOEXEC, as Asio opens its listeners
    REQUIRE(open_to_all > STDERR_FILENO);
    const std::string number = std::to_string(open_to_all);
    scripts.run("a", "[ -e /proc/$$/fd/" + number + " ] && echo inherited >>$OUT; echo ran >>$OUT");
    CHECK(scripts.end(5s));
    close(open_to_all);
    CHECK(scripts.written() == "ran\n");
}
