#pragma once

// Routes: what one neighbour says of one destination, and all that is said of one. There may be a million, so
// nothing here is larger than it must be.

#include "babel/constants.hpp"
#include "babel/neighbour.hpp"
#include "babel/tick.hpp"

namespace aronet::babel {

// A metric that follows the true one with delay (appendix A.3), so that routes do not flap with it.
struct Smoothed {
    Tick at;
    Metric value = kInfinity;

    void follow(Metric metric, Duration half_life, Instant now);
};

struct Route {  // by one neighbour
    RouterId router_id = 0;
    Smoothed smoothed;
    Tick expires;
    std::uint32_t since = 0;  // seconds
    NeighbourId neighbour = 0;
    std::uint32_t position = 0;   // in Neighbour::entries
    Metric received = kInfinity;  // the metric the neighbour announced
    Interval interval;
    SeqNo seqno = 0;
    std::uint8_t next_hop = 0;  // in Neighbour::next_hops
    bool refresh_asked = false;

    // An interval of 0xffff means "not repeated"; it counts as the longest there is.
    Duration hold() const { return interval.duration() * 7 / 2; }
    Instant refresh_at(Instant now) const { return expires.near(now) - interval.duration(); }
};
static_assert(sizeof(Route) <= 40);

// In the order of their neighbours' ids. Most destinations have one route: that lies here, several on the
// heap.
class Routes {
public:
    Routes() = default;
    Routes(const Routes&) = delete;
    Routes& operator=(const Routes&) = delete;
    ~Routes() { release(); }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    Route* begin() { return on_heap() ? place_.several.first : &place_.one; }
    Route* end() { return begin() + size_; }
    const Route* begin() const { return const_cast<Routes*>(this)->begin(); }
    const Route* end() const { return begin() + size_; }
    Route& operator[](std::size_t index) { return begin()[index]; }

    Route* by(NeighbourId neighbour);
    const Route* by(NeighbourId neighbour) const { return const_cast<Routes*>(this)->by(neighbour); }
    Route& add(NeighbourId neighbour);  // that has none yet
    void remove(const Route& route);

private:
    bool on_heap() const { return size_ > 1; }
    std::size_t not_before(NeighbourId neighbour) const;
    void release() {
        if (on_heap()) delete[] place_.several.first;
    }

    struct Several {
        Route* first;
        std::uint32_t capacity;
    };
    union Place {
        Place() : one() {}
        Route one;
        Several several;
    };
    Place place_;
    std::uint32_t size_ = 0;
};

}  // namespace aronet::babel
