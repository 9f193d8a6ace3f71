#include "babel/holders.hpp"

#include <algorithm>

namespace aronet::babel {

void Holders::add(const Prefix& prefix, Holder holder) {
    auto& list = by_prefix_[prefix];
    if (std::find(list.begin(), list.end(), holder) == list.end()) list.push_back(std::move(holder));
    lengths_.insert({prefix.family(), prefix.length()});
}

Holders::ByPrefix::const_iterator Holders::longest(const Prefix& prefix) const {
    for (auto length = lengths_.rbegin(); length != lengths_.rend(); ++length) {
        if (length->first != prefix.family() || length->second > prefix.length()) continue;
        const auto found = by_prefix_.find(Prefix(prefix.address(), length->second));
        if (found != by_prefix_.end()) return found;
    }
    return by_prefix_.end();
}

const std::vector<Holder>& Holders::of(const Prefix& prefix) const {
    static const std::vector<Holder> nobody;
    const auto found = longest(prefix);
    return found == by_prefix_.end() ? nobody : found->second;
}

}  // namespace aronet::babel
