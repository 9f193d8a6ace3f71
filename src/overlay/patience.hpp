#pragma once

// How soon to do again what was refused, or what somebody has undone: at once at first, and ever later with
// whoever does not give up.

#include "base/time.hpp"

#include <algorithm>

namespace aronet::overlay {

// After so many refusals in a row.
inline base::Duration pause_after(unsigned refusals) {
    constexpr base::Duration kFirst = std::chrono::milliseconds(100), kLongest = std::chrono::seconds(30);
    return std::min(kFirst * (1u << std::min(refusals - 1, 10u)), kLongest);
}

class Losses {
public:
    // One more. What goes together comes back together, so it waits for a moment.
    base::Duration pause(base::Instant now) {
        constexpr base::Duration kGather = std::chrono::milliseconds(20), kQuarrel = std::chrono::seconds(10);
        constexpr unsigned kAtOnce = 3;
        in_a_row_ = in_a_row_ > 0 && now < made_good_at_ + kQuarrel ? in_a_row_ + 1 : 1;
        const base::Duration pause = in_a_row_ <= kAtOnce ? kGather : pause_after(in_a_row_ - kAtOnce);
        made_good_at_ = now + pause;
        return pause;
    }

private:
    unsigned in_a_row_ = 0;
    base::Instant made_good_at_{};
};

}  // namespace aronet::overlay
