#include "overlay/origins.hpp"

#include "base/bytes.hpp"

namespace aronet::overlay {
namespace {

constexpr std::size_t kToldMax = 20;

std::string name_of(const babel::Holder& holder) { return holder.organization + "/" + holder.common_name; }

std::string joined(const std::set<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : " and ") + word;
    return text;
}

}  // namespace

std::string router_id_text(babel::RouterId id) {
    base::Bytes bytes;
    base::Writer(bytes).u64(id);
    std::string text;
    for (std::size_t i = 0; i < 8; ++i)
        text += (i == 0 ? "" : ":") + base::to_hex(base::ByteView(bytes).subspan(i, 1));
    return text;
}

void Origins::see(const babel::Claim& claim, const std::string& peer) {
    const babel::Prefix& prefix = claim.about.prefix;
    if (!about_ || *about_ != claim.about) {
        about_ = claim.about;
        seen_.clear();
        const auto& holders = holders_.of(prefix);
        holder_ = holders.size() == 1 ? name_of(holders.front()) : "";
    }
    if (holder_.empty()) return;
    const bool begins_there = claim.received == 0;
    const std::string& node = claim.on ? peer : self_;
    if (begins_there && !node.empty()) routers_[claim.router_id].nodes.insert(node);
    if (!seen_.insert(claim.router_id).second) return;
    Foreign& held = routers_[claim.router_id].holds[holder_];
    if (held.count++ == 0) held.first = prefix;
    if (holders_.has(prefix) && seen_.size() > 1) several_[prefix] = seen_;
}

std::set<std::string> Origins::disputes() const {
    std::set<std::string> told;
    std::set<babel::RouterId> found_out;
    const auto tell = [&](std::string text) {
        if (told.size() < kToldMax) told.insert(std::move(text));
    };
    for (const auto& [id, router] : routers_) {
        const std::string self = router.nodes.size() == 1 ? *router.nodes.begin() : "";
        const bool only_its_own =
            self.empty() ? router.holds.size() <= 1
                         : router.holds.empty() || (router.holds.size() == 1 && router.holds.contains(self));
        if (only_its_own) continue;
        found_out.insert(id);
        std::set<std::string> nodes;
        for (const auto& [node, held] : router.holds) {
            nodes.insert(node);
            if (self.empty() || node == self) continue;
            const std::string more = held.count > 1 ? " and " + std::to_string(held.count - 1) + " more" : "";
            tell(self + " announces " + held.first.to_string() + more + " of " + node);
        }
        if (self.empty())
            tell("the router " + router_id_text(id) + " announces prefixes of " + joined(nodes));
    }
    for (const auto& [prefix, ids] : several_) {
        std::set<std::string> words;
        bool known = false;
        for (const babel::RouterId id : ids) {
            words.insert(router_id_text(id));
            known = known || found_out.contains(id);
        }
        if (!known) tell(prefix.to_string() + " is announced by the routers " + joined(words));
    }
    return told;
}

}  // namespace aronet::overlay
