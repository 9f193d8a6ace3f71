#pragma once

// What a story is told by: who is in it, how they are connected, and what happens to whom and when. Drawn by
// chance from a seed, or taken from a longer one.

#include "world.hpp"

namespace aronet::sim {

enum class Shape : std::uint8_t { ring, full, random };  // who can talk to whom in the underlay
const char* to_string(Shape shape);

struct Fault {
    enum class Kind : std::uint8_t {
        storm,      // loss, lateness, reordering and duplicates for all
        partition,  // of the underlay into two halves
        cut,        // between two
        one_way,    // likewise, of one direction
        rebind,     // the NAT forgets
        roam,       // another address, which the registry has later
        restart,    // with a stop
        kill,       // and another start: over what it left
        keep,       // a stop that leaves the kernel as it is, and another start
        reload,     // another configuration for a while
        suspend,    // its clock jumps
        meddle,     // somebody removes one object of the kernel's
        alter,      // somebody makes another of it, under its name
        stranger,   // somebody's link has a tunnel's name for a while
        overflow,   // somebody removes and alters many, of which nothing is told
        flap,       // its tunnels' interfaces go down, ten times a second
        refuse,     // the kernel refuses the n-th change from now on, and some more
        registry,   // has one member less for a while, and each hears of it at another time
    };
    Kind kind = Kind::cut;
    Duration at{}, lasts{};
    std::size_t host = 0, other = 0;
    std::uint64_t detail = 0;  // its chance
    std::string to_string() const;
};

struct Plot {
    std::uint64_t seed = 0;  // of all that is left to chance while it is told
    std::size_t nodes = 0;
    Shape shape = Shape::full;
    Duration length{};
    Weather weather;
    std::vector<Fault> faults;  // in the order of time
    // Where each fault of this kind leaves a rule behind in the kernel, to see that stories can fail.
    std::optional<Fault::Kind> broken;
    std::string command;  // that tells the whole of it again: what is left of a longer one has no seed
    std::string to_string() const;
};

// A quarter of all, and no two that are neighbours in a ring: they would not find each other.
bool has_nat(std::uint64_t seed, std::size_t host, std::size_t nodes);
Plot draw(std::uint64_t seed, std::size_t nodes, Duration length, std::optional<Fault::Kind> broken = {});
std::optional<Fault::Kind> kind_of(const std::string& name);

// Begins a fault; how it ends, or nothing where it does not apply now or is over at once.
std::function<void()> begin(World& world, const Fault& fault);

}  // namespace aronet::sim
