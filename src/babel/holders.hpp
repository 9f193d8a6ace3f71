#pragma once

// Who has been given which prefixes. The longest that holds a destination tells whose that is; a prefix may
// have been given to several.

#include "babel/types.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace aronet::babel {

struct Holder {
    std::string organization, common_name;
    auto operator<=>(const Holder&) const = default;
};

class Holders {
public:
    void add(const Prefix& prefix, Holder holder);

    bool has(const Prefix& prefix) const { return by_prefix_.contains(prefix); }  // this very one
    bool contain(const Prefix& prefix) const { return longest(prefix) != by_prefix_.end(); }
    std::size_t size() const { return by_prefix_.size(); }
    // Of the longest prefix that holds it; empty: nobody.
    const std::vector<Holder>& of(const Prefix& prefix) const;
    bool operator==(const Holders&) const = default;

private:
    using ByPrefix = std::map<Prefix, std::vector<Holder>>;
    ByPrefix::const_iterator longest(const Prefix& prefix) const;

    ByPrefix by_prefix_;
    std::set<std::pair<base::Family, unsigned>> lengths_;
};

}  // namespace aronet::babel
