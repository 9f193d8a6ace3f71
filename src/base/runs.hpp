#pragma once

// A sorted set of small values that lie side by side in runs: one costs hardly more than its own bytes. A run
// is found by halving, what is added or erased moves at most the rest of it.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace aronet::base {

template <class T, class Less = std::less<T>>
class Runs {
public:
    bool empty() const { return runs_.empty(); }

    // What is there of this order, and whether it was added now. It may be changed where its order does not.
    std::pair<T*, bool> insert(const T& value) {
        Place place = look_up(value);
        if (T* const there = at(place); there && !less_(value, *there)) return {there, false};
        place = make_room(place);
        std::vector<T>& run = runs_[place.run];
        return {&*run.insert(run.begin() + offset(place.index), value), true};
    }

    bool erase(const T& value) {
        const Place place = look_up(value);
        if (T* const there = at(place); !there || less_(value, *there)) return false;
        std::vector<T>& run = runs_[place.run];
        run.erase(run.begin() + offset(place.index));
        if (run.empty()) runs_.erase(runs_.begin() + offset(place.run));
        return true;
    }

    template <class Condition>
    void erase_if(const Condition& condition) {
        for (std::vector<T>& run : runs_) std::erase_if(run, condition);
        std::erase_if(runs_, [](const auto& run) { return run.empty(); });
    }

    // In order, from the first that is not before this one, while `visit` returns true.
    template <class Visit>
    void visit_from(const T& first, const Visit& visit) const {
        Place place = look_up(first);
        for (; place.run < runs_.size(); place = {place.run + 1, 0}) {
            for (; place.index < runs_[place.run].size(); ++place.index) {
                if (!visit(runs_[place.run][place.index])) return;
            }
        }
    }
    template <class Visit>
    void visit_all(const Visit& visit) const {
        for (const std::vector<T>& run : runs_) {
            for (const T& value : run) visit(value);
        }
    }

private:
    static constexpr std::size_t kRun = 256;

    struct Place {
        std::size_t run = 0, index = 0;
    };
    static std::ptrdiff_t offset(std::size_t index) { return static_cast<std::ptrdiff_t>(index); }

    T* at(Place place) { return place.run < runs_.size() ? &runs_[place.run][place.index] : nullptr; }

    Place look_up(const T& value) const {  // the first that is not before it
        const auto ends_before = [this](const auto& run, const T& v) { return less_(run.back(), v); };
        const auto run = std::lower_bound(runs_.begin(), runs_.end(), value, ends_before);
        if (run == runs_.end()) return {runs_.size(), 0};
        const auto there = std::lower_bound(run->begin(), run->end(), value, less_);
        return {
            static_cast<std::size_t>(run - runs_.begin()), static_cast<std::size_t>(there - run->begin())};
    }

    // A full run is divided; at the end another one begins, so that what comes in order leaves them full.
    Place make_room(Place place) {
        if (place.index == 0 && place.run > 0 && runs_[place.run - 1].size() < kRun)
            return {place.run - 1, runs_[place.run - 1].size()};
        if (place.run == runs_.size()) {
            const bool first = runs_.empty();  // of a set that may stay small
            runs_.emplace_back();
            if (!first) runs_.back().reserve(kRun);
            return place;
        }
        if (runs_[place.run].size() < kRun) return place;
        std::vector<T> rest;
        rest.reserve(kRun);
        rest.assign(runs_[place.run].begin() + kRun / 2, runs_[place.run].end());
        runs_[place.run].resize(kRun / 2);
        runs_.insert(runs_.begin() + offset(place.run) + 1, std::move(rest));
        return place.index <= kRun / 2 ? place : Place{place.run + 1, place.index - kRun / 2};
    }

    std::vector<std::vector<T>> runs_;  // none is empty
    [[no_unique_address]] Less less_;
};

}  // namespace aronet::base
