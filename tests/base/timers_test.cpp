#include "base/timers.hpp"

#include "base/random.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace aronet::base;

namespace {

Instant at(int seconds) { return Instant(std::chrono::seconds(seconds)); }

std::vector<std::string> all_expired(Timers<std::string>& timers, Instant now) {
    std::vector<std::string> keys;
    while (const auto key = timers.expired(now)) keys.push_back(*key);
    return keys;
}

}  // namespace

TEST_CASE("what is due comes out in the order of time, then of the keys, and only once") {
    Timers<std::string> timers;
    timers.set("late", at(9));
    timers.set("b", at(5));
    timers.set("a", at(5));
    timers.set("first", at(1));
    CHECK(timers.next() == at(1));
    CHECK(all_expired(timers, at(5)) == std::vector<std::string>{"first", "a", "b"});
    CHECK(all_expired(timers, at(5)).empty());
    CHECK(timers.next() == at(9));
    CHECK(timers.size() == 1);
}

TEST_CASE("a deadline is due at its instant and not before") {
    Timers<std::string> timers;
    timers.set("a", at(5));
    CHECK_FALSE(timers.expired(at(5) - Duration(1)));
    CHECK(timers.expired(at(5)) == "a");
}

TEST_CASE("setting again moves a deadline, earlier as well as later") {
    Timers<std::string> timers;
    timers.set("a", at(5));
    timers.set("a", at(9));
    CHECK(timers.size() == 1);
    CHECK_FALSE(timers.expired(at(5)));
    timers.set("a", at(2));
    CHECK(timers.next() == at(2));
    CHECK(timers.at("a") == at(2));
    CHECK(all_expired(timers, at(100)) == std::vector<std::string>{"a"});
}

TEST_CASE("what is stopped is never due, and stopping what is not there changes nothing") {
    Timers<std::string> timers;
    timers.stop("a");
    timers.set("a", at(5));
    timers.set("b", at(5));
    timers.stop("a");
    timers.stop("a");
    CHECK_FALSE(timers.at("a"));
    CHECK(all_expired(timers, at(100)) == std::vector<std::string>{"b"});
    CHECK_FALSE(timers.next());
    CHECK(timers.size() == 0);
}

TEST_CASE("what expires may be set again for later without end to the loop that takes it out") {
    Timers<std::string> timers;
    timers.set("a", at(1));
    int times = 0;
    while (const auto key = timers.expired(at(10))) {
        timers.set(*key, at(1) + std::chrono::seconds(3 * ++times));
        REQUIRE(times < 100);
    }
    CHECK(times == 4);
    CHECK(timers.next() == at(13));
}

TEST_CASE("timers agree with a list that is searched from end to end, whatever is done to them") {
    Random random = Random::from_number(1);
    Timers<unsigned> timers;
    std::map<unsigned, Instant> list;
    int now = 0;
    for (int turn = 0; turn < 5000; ++turn) {
        const auto key = static_cast<unsigned>(random.below(20));
        switch (random.below(3)) {
            case 0:
                timers.stop(key);
                list.erase(key);
                break;
            case 1: {
                const Instant when = at(now + static_cast<int>(random.below(30)));
                timers.set(key, when);
                list[key] = when;
                break;
            }
            default:
                now += static_cast<int>(random.below(3));
                while (const auto due = timers.expired(at(now))) {
                    for (const auto& [other, when] : list) {
                        REQUIRE(std::pair(list.at(*due), *due) <= std::pair(when, other));
                    }
                    REQUIRE(list.at(*due) <= at(now));
                    list.erase(*due);
                }
                for (const auto& [other, when] : list) REQUIRE(when > at(now));
        }
        REQUIRE(timers.size() == list.size());
    }
}
