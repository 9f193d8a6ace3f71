#include "base/log.hpp"

namespace aronet::base {

bool Drops::count(std::string_view reason, Instant now, std::uint64_t* suppressed) {
    const auto total = totals_.find(reason);
    if (total == totals_.end()) {
        totals_.emplace(reason, 1);
    } else {
        ++total->second;
    }
    const auto gate = gates_.try_emplace(std::string(reason), Gate{now, 0}).first;
    if (now < gate->second.open_at) {
        ++gate->second.suppressed;
        return false;
    }
    if (suppressed != nullptr) *suppressed = gate->second.suppressed;
    gate->second = {now + 60s, 0};
    return true;
}

}  // namespace aronet::base
