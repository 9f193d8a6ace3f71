#include "base/result.hpp"

#include "base/overloaded.hpp"

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <sstream>
#include <stdexcept>
#include <variant>

using namespace aronet::base;

TEST_CASE("a result is a value or the reason why there is none") {
    const Result<int> fine = 7, wrong = Error{"no such number"};
    REQUIRE(fine.has_value());
    CHECK(*fine == 7);
    REQUIRE(wrong.has_error());
    CHECK(wrong.error() == Error{"no such number"});
    std::ostringstream words;
    words << wrong.error();
    CHECK(words.str() == "no such number");
}

TEST_CASE("a result of text is not mistaken for an error") {
    const Result<std::string> text{boost::system::in_place_value, "words"};
    REQUIRE(text.has_value());
    CHECK(*text == "words");
}

TEST_CASE("who takes a value that is not there is told why") {
    const Result<int> wrong = Error{"no such number"};
    CHECK_THROWS_WITH(wrong.value(), "no such number");
}

TEST_CASE("a broken invariant ends the process, an invariant that holds does nothing") {
    ensure(true, "holds");
    const pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        std::signal(SIGABRT, SIG_DFL);
        ensure(false, "does not hold");
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
}

TEST_CASE("several lambdas visit as one") {
    using Either = std::variant<int, std::string>;
    const auto name = [](const Either& either) {
        return std::visit(
            Overloaded{
                [](int) { return std::string("number"); },
                [](const std::string&) { return std::string("text"); },
            },
            either
        );
    };
    CHECK(name(Either(1)) == "number");
    CHECK(name(Either(std::string())) == "text");
}
