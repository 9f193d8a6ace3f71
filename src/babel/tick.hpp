#pragma once

// An instant in four bytes, for tables of a million rows: hundredths of a second modulo 2^32. It is read
// relative to the present, which must be less than eight months away.

#include "babel/types.hpp"

namespace aronet::babel {

class Tick {
public:
    Tick() = default;
    explicit Tick(Instant at)  // never earlier than `at`
        : count_(static_cast<std::uint32_t>((at.time_since_epoch() + kUnit - Duration(1)) / kUnit)) {}

    Instant near(Instant present) const {
        const std::int64_t now = present.time_since_epoch() / kUnit;
        const auto ahead = static_cast<std::int32_t>(count_ - static_cast<std::uint32_t>(now));
        return Instant((now + ahead) * kUnit);
    }

    bool before(Tick other) const { return static_cast<std::int32_t>(count_ - other.count_) < 0; }
    bool operator==(const Tick&) const = default;

private:
    static constexpr Duration kUnit = std::chrono::milliseconds(10);
    std::uint32_t count_ = 0;
};

}  // namespace aronet::babel
