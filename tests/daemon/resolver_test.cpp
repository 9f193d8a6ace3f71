#include "daemon/resolver.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include <map>

using namespace aronet;
using namespace std::chrono_literals;

TEST_CASE("a name of the hosts file resolves to the addresses of the family that was asked for") {
    boost::asio::io_context io;
    std::map<base::Family, std::vector<base::Address>> answers;
    daemon::Resolver resolver(
        io,
        [&](const std::string& name, base::Family family, daemon::Resolver::Found found) {
            CHECK(name == "localhost");
            answers[family] = std::move(found.addresses);
        }
    );
    boost::asio::co_spawn(io, resolver.serve(), boost::asio::detached);
    resolver.resolve("localhost", base::Family::v4);
    resolver.resolve("localhost", base::Family::v6);
    for (int i = 0; i < 100 && answers.size() < 2; ++i) io.run_for(50ms);
    REQUIRE(answers.size() == 2);
    REQUIRE_FALSE(answers[base::Family::v4].empty());
    CHECK(answers[base::Family::v4].front() == *base::Address::parse("127.0.0.1"));
    REQUIRE_FALSE(answers[base::Family::v6].empty());
    CHECK(answers[base::Family::v6].front() == *base::Address::parse("::1"));
}

TEST_CASE("a question is answered once also when it cannot be: with nothing") {
    boost::asio::io_context io;
    int answers = 0;
    daemon::Resolver resolver(
        io,
        [&](const std::string&, base::Family, const daemon::Resolver::Found& found) {
            CHECK(found.addresses.empty());
            ++answers;
        }
    );
    boost::asio::co_spawn(io, resolver.serve(), boost::asio::detached);
    resolver.resolve("not a name at all", base::Family::v4);
    for (int i = 0; i < 400 && answers == 0; ++i) io.run_for(50ms);
    CHECK(answers == 1);
}
