#include "babel/forwarding.hpp"

namespace aronet::babel {

void Forwarding::obey(const Action& action) {
    if (const auto* route = std::get_if<InstallRoute>(&action)) {
        if (route->before != kind(route->destination))
            throw Broken("what a route replaces is something else");
        ways[route->destination] = {route->on, route->next_hop, false};
        changed.push_back(route->destination);
    } else if (const auto* hole = std::get_if<InstallUnreachable>(&action)) {
        if (hole->before != kind(hole->destination))
            throw Broken("what is made unreachable was something else");
        ways[hole->destination] = {0, Address(), true};
        changed.push_back(hole->destination);
    } else if (const auto* gone = std::get_if<RemoveRoute>(&action)) {
        if (gone->before != kind(gone->destination)) throw Broken("what is removed was something else");
        if (ways.erase(gone->destination) != 1) throw Broken("something is removed that is not there");
        changed.push_back(gone->destination);
    } else {
        return;
    }
    ++changes;
}

}  // namespace aronet::babel
