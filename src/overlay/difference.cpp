// What a keeper would ask for, without a kernel.

#include "overlay/keeper.hpp"

namespace aronet::overlay {
namespace {

// All that it asks for, where nothing is refused.
std::vector<netlink::Wish> obey(Keeper& keeper) {
    std::vector<netlink::Wish> out;
    std::vector<netlink::ChangeId> unanswered;
    std::vector<base::Note> notes;
    netlink::ChangeId last = 0;
    const auto ask = [&](netlink::Wish wish) {
        out.push_back(std::move(wish));
        unanswered.push_back(++last);
        return last;
    };
    do {  // what hangs on a link behind the answer to that
        for (const netlink::ChangeId id : std::exchange(unanswered, {}))
            keeper.answered({id, 0, {}}, base::Instant(), notes);
        keeper.ask_due(base::Instant(), ask, notes);
    } while (!unanswered.empty());
    return out;
}

}  // namespace

std::vector<netlink::Wish> difference(const Objects& actual, const Objects& wanted) {
    Keeper keeper;
    keeper.want(wanted, base::Instant());
    keeper.found(actual, 0, base::Instant(), true);
    return obey(keeper);
}

std::vector<netlink::Wish> transition(const Objects& before, const Objects& after) {
    Keeper keeper;
    keeper.want(before, base::Instant());
    obey(keeper);
    keeper.want(after, base::Instant());
    return obey(keeper);
}

}  // namespace aronet::overlay
