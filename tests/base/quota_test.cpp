#include "base/quota.hpp"

#include <catch2/catch.hpp>

#include <functional>

using namespace aronet::base;

namespace {

Instant at(int seconds) { return Instant(std::chrono::seconds(seconds)); }

unsigned admitted(Quota& quota, int lines, Instant now, const std::function<Note(int)>& note) {
    unsigned count = 0;
    for (int i = 0; i < lines; ++i) count += quota.admit(note(i), now) ? 1 : 0;
    return count;
}

Note refused_by(int number) {
    return {
        Level::warning,
        "aronet-" + std::to_string(number) + "af: 192.0.2." + std::to_string(number) +
            ":500 refuses: no proposal"};
}

}  // namespace

TEST_CASE(
    "of lines that differ in numbers only so many are written a minute, and the next says how many were not"
) {
    Quota quota;
    CHECK(admitted(quota, 500, at(0), refused_by) == Quota::kProblems);
    CHECK(admitted(quota, 500, at(59), refused_by) == 0);
    CHECK(quota.admit({Level::warning, "another reason"}, at(59)) == "another reason");
    CHECK(*quota.admit(refused_by(7), at(60)) == refused_by(7).text + " (and 970 more like it before)");
    CHECK(quota.admit(refused_by(8), at(61)) == refused_by(8).text);
    CHECK(*quota.admit(refused_by(9), at(121)) == refused_by(9).text);
}

TEST_CASE("news may be more, and whoever wants to debug sees everything") {
    Quota quota;
    CHECK(admitted(quota, 5000, at(0), [](int i) {
              return Note{Level::info, "n" + std::to_string(i)};
          }) == Quota::kNews);
    CHECK(admitted(quota, 5000, at(0), [](int i) {
              return Note{Level::debug, "n" + std::to_string(i)};
          }) == 5000);
}

TEST_CASE("lines of ever another kind are bounded, too, and old kinds make room") {
    Quota quota;
    const auto ever_new = [](int i) {
        std::string text;
        for (; i > 0; i /= 26) text += static_cast<char>('a' + i % 26);
        return Note{Level::error, "who is " + text + "?"};
    };
    const unsigned first = admitted(quota, 100'000, at(0), ever_new);
    CHECK(first >= Quota::kKinds);
    CHECK(first <= Quota::kKinds + Quota::kProblems);
    CHECK(quota.admit({Level::error, "something else"}, at(1)) == std::nullopt);
    CHECK(quota.admit({Level::error, "something else"}, at(60)) == "something else");
}
