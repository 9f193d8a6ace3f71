#include "daemon/table.hpp"

#include <catch2/catch.hpp>

using namespace aronet::daemon;

TEST_CASE("columns are aligned and lines end where their text ends") {
    CHECK(table({{"A", "LONG"}, {"bbb", "c"}}) == "A    LONG\nbbb  c\n");
    CHECK(table({}).empty());
}

TEST_CASE("durations are said in the two largest units") {
    CHECK(duration_words(59) == "59s");
    CHECK(duration_words(61) == "1m1s");
    CHECK(duration_words(3 * 3600 + 12 * 60) == "3h12m");
    CHECK(duration_words(5 * 86400 + 3600) == "5d1h");
}

TEST_CASE("amounts are said in the unit that fits") {
    CHECK(bytes_words(0) == "0B");
    CHECK(bytes_words(999) == "999B");
    CHECK(bytes_words(1000) == "1.0kB");
    CHECK(bytes_words(999'949) == "999.9kB");
    CHECK(bytes_words(999'950) == "1.0MB");
    CHECK(bytes_words(104'857'600) == "104.9MB");
    CHECK(bytes_words(7'000'000'000'000) == "7.0TB");
}

TEST_CASE("what strangers named cannot move the cursor") {
    const nlohmann::json answer{
        {"tunnels",
         {{{"interface", "a-1"}, {"peer", "evil\x1b[2J"}, {"state", "routed"}, {"rtt_ms", nullptr}}}}};
    const std::string text = as_text("tunnels", answer);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("evil\\x1b[2J") != std::string::npos);
}
