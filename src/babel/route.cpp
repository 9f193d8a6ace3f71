#include "babel/route.hpp"

#include <memory>

namespace aronet::babel {

void Smoothed::follow(Metric metric, Duration half_life, Instant now) {
    if (value == kInfinity || metric == kInfinity) {  // a route that appears starts at its own metric
        value = metric;
        at = Tick(now);
        return;
    }
    std::int64_t difference = std::int64_t(value) - metric;
    const Duration passed = std::max(Duration::zero(), now - at.near(now));
    const std::int64_t halvings = std::min<std::int64_t>(20, passed / half_life);
    difference /= std::int64_t(1) << halvings;
    difference -= difference * ((passed % half_life).count() / 1024) / (2 * (half_life.count() / 1024 + 1));
    value = static_cast<Metric>(metric + difference);
    at = Tick(now);
}

std::size_t Routes::not_before(NeighbourId neighbour) const {
    const auto less = [](const Route& r, NeighbourId wanted) { return r.neighbour < wanted; };
    return static_cast<std::size_t>(std::lower_bound(begin(), end(), neighbour, less) - begin());
}

Route* Routes::by(NeighbourId neighbour) {
    Route* route = begin() + not_before(neighbour);
    return route == end() || route->neighbour != neighbour ? nullptr : route;
}

// With room for an eighth more: tables with a million routes must not be half empty.
Route& Routes::add(NeighbourId neighbour) {
    const std::size_t at = not_before(neighbour);
    const std::uint32_t capacity = on_heap() ? place_.several.capacity : 1;
    if (size_ < capacity) {
        std::copy_backward(begin() + at, end(), end() + 1);
        ++size_;
    } else {
        const Several grown{new Route[capacity + capacity / 8 + 1], capacity + capacity / 8 + 1};
        std::copy(begin(), begin() + at, grown.first);
        std::copy(begin() + at, end(), grown.first + at + 1);
        release();
        place_.several = grown;
        ++size_;
    }
    Route& route = begin()[at];
    route = Route{};
    route.neighbour = neighbour;
    return route;
}

void Routes::remove(const Route& route) {
    Route* const present = begin();
    std::copy(present + (&route - present) + 1, end(), present + (&route - present));
    const bool was_on_heap = on_heap();
    --size_;
    if (!was_on_heap || on_heap()) return;
    std::construct_at(&place_.one, *present);
    delete[] present;
}

}  // namespace aronet::babel
