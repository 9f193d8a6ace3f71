#include "base/runs.hpp"

#include "base/random.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace aronet::base;

namespace {

std::vector<int> all(const Runs<int>& runs) {
    std::vector<int> values;
    runs.visit_all([&](int value) { values.push_back(value); });
    return values;
}

}  // namespace

TEST_CASE("a set in runs is what a set is, in whatever order its values come and go") {
    Random random = Random::from_number(4);
    Runs<int> runs;
    std::set<int> set;
    for (int i = 0; i < 20000; ++i) {
        const int value = static_cast<int>(random.below(3000));
        if (random.below(3) == 0) {
            CHECK(runs.erase(value) == (set.erase(value) == 1));
        } else {
            const auto [there, fresh] = runs.insert(value);
            CHECK(*there == value);
            CHECK(fresh == set.insert(value).second);
        }
    }
    CHECK(all(runs) == std::vector<int>(set.begin(), set.end()));
    std::vector<int> tail;
    runs.visit_from(2500, [&](int value) {
        tail.push_back(value);
        return value < 2900;
    });
    CHECK(tail == std::vector<int>(set.lower_bound(2500), std::next(set.lower_bound(2900))));
    runs.erase_if([](int value) { return value % 2 == 0; });
    std::erase_if(set, [](int value) { return value % 2 == 0; });
    CHECK(all(runs) == std::vector<int>(set.begin(), set.end()));
    for (const int value : set) CHECK(runs.erase(value));
    CHECK(runs.empty());
}

TEST_CASE("values that come in order, or in the opposite one, are all there in order") {
    for (const int step : {1, -1}) {
        Runs<int> runs;
        for (int i = 0; i < 2000; ++i) runs.insert(i * step);
        const std::vector<int> values = all(runs);
        CHECK(values.size() == 2000);
        CHECK(std::is_sorted(values.begin(), values.end()));
    }
}
