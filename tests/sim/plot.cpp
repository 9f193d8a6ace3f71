#include "plot.hpp"

#include <algorithm>
#include <cerrno>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;
using Kind = Fault::Kind;
using End = std::function<void()>;

constexpr std::size_t kKinds = 18;
constexpr std::array<std::string_view, kKinds> kNames{
    "storm",
    "partition",
    "cut",
    "cut one way",
    "rebind",
    "roam",
    "restart",
    "kill",
    "keep",
    "reload",
    "suspend",
    "meddle",
    "alter",
    "stranger",
    "overflow",
    "flap",
    "refuse",
    "registry"};

std::string seconds(Duration d) { return std::to_string(base::milliseconds(d) / 1000) + " s"; }

bool carries_tunnels(const netlink::Link& link) {
    return std::holds_alternative<netlink::Tunnel>(link.kind) ||
           std::holds_alternative<netlink::External>(link.kind);
}

// Everything of it that somebody may remove.
std::vector<netlink::Wish> removals(const Kernel& kernel) {
    std::vector<netlink::Wish> all;
    for (const auto& [key, route] : kernel.routes()) all.emplace_back(netlink::RemoveRoute{key});
    for (const auto& address : kernel.addresses()) all.emplace_back(netlink::RemoveAddress{address});
    for (const netlink::Rule& rule : kernel.rules()) all.emplace_back(netlink::RemoveRule{rule});
    for (const auto& [if_id, policies] : kernel.policies()) all.emplace_back(netlink::RemovePolicies{if_id});
    for (const auto& [id, sa] : kernel.sas()) all.emplace_back(netlink::RemoveSa{id, sa.source.address});
    for (const netlink::Link& link : kernel.links()) {
        if (carries_tunnels(link)) all.emplace_back(netlink::RemoveLink{link.space, link.name});
    }
    return all;
}

// What somebody may make of it that a look at everything finds: a route that leads nowhere, a link that takes
// packets of another size, policies for another SA.
std::vector<netlink::Wish> alterations(const Kernel& kernel) {
    std::vector<netlink::Wish> all;
    for (const auto& [key, route] : kernel.routes()) {
        netlink::Route nowhere;
        nowhere.key = key;
        nowhere.kind = netlink::RouteKind::blackhole;
        all.emplace_back(netlink::AddRoute{nowhere});
    }
    for (auto [if_id, policies] : kernel.policies()) {
        ++policies.spi_out;
        all.emplace_back(netlink::SetPolicies{policies});
    }
    for (netlink::Link& link : kernel.links()) {
        if (!carries_tunnels(link)) continue;
        link.mtu = 9000;
        all.emplace_back(netlink::AddLink{link});
    }
    return all;
}

// Nor is an SA seen to lead elsewhere than it did: of that somebody has to tell.
std::vector<netlink::Wish> all_alterations(const Kernel& kernel) {
    std::vector<netlink::Wish> all = alterations(kernel);
    for (const auto& [id, sa] : kernel.sas()) {
        netlink::MoveSa elsewhere{id, sa.direction, sa.source, sa.destination};
        ++(sa.direction == base::Direction::out ? elsewhere.destination : elsewhere.source).port;
        all.emplace_back(elsewhere);
    }
    return all;
}

std::vector<netlink::Wish> some_of(std::vector<netlink::Wish> all, base::Random& random, std::size_t most) {
    std::vector<netlink::Wish> some;
    while (some.size() < most && !all.empty()) {
        std::swap(all[random.below(all.size())], all.back());
        some.push_back(std::move(all.back()));
        all.pop_back();
    }
    return some;
}

// First what is altered: what is gone nobody alters.
std::vector<netlink::Wish> much_of(const Kernel& kernel, base::Random& random) {
    std::vector<netlink::Wish> much = some_of(alterations(kernel), random, 10);
    for (netlink::Wish& wish : some_of(removals(kernel), random, 20)) much.push_back(std::move(wish));
    return much;
}

End storm(World& world, const Fault& fault) {
    base::Random random = base::Random::from_number(fault.detail);
    const Weather before = world.weather;
    world.weather = {
        random.between(1ms, 90ms),
        random.between(0ms, 60ms),
        unsigned(random.below(100) < 20 ? 90 : random.below(40)),
        unsigned(random.below(15))};
    return [&world, before] { world.weather = before; };
}

End partition(World& world, const Fault& fault) {
    base::Random random = base::Random::from_number(fault.detail);
    std::vector<bool> side(world.size());
    for (std::size_t i = 0; i < side.size(); ++i) side[i] = random.below(2) == 0;
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (std::size_t a = 0; a < side.size(); ++a) {
        for (std::size_t b = a + 1; b < side.size(); ++b) {
            if (side[a] != side[b]) pairs.emplace_back(a, b);
        }
    }
    for (const auto& [a, b] : pairs) world.cut(a, b);
    return [&world, pairs] {
        for (const auto& [a, b] : pairs) world.mend(a, b);
    };
}

End one_less(World& world, const Fault& fault) {
    std::set<std::size_t> all;
    for (std::size_t i = 0; i < world.size(); ++i) all.insert(i);
    std::set<std::size_t> others = all;
    others.erase(fault.host);
    base::Random random = base::Random::from_number(fault.detail);
    const std::size_t first = random.below(world.size());
    const auto tell_all = [&world, first](const std::set<std::size_t>& members, std::size_t left_out) {
        for (std::size_t i = 0; i < world.size(); ++i) {
            const std::size_t host = (first + i) % world.size();
            if (host != left_out) world.load_registry(host, members);
            world.run_for(50ms);
        }
    };
    tell_all(others, fault.host);
    return [tell_all, all] { tell_all(all, all.size()); };
}

End flap(World& world, const Fault& fault) {
    for (int i = 0; i < 50; ++i) {
        for (const netlink::Link& link : world.kernel(fault.host).links()) {
            if (!carries_tunnels(link)) continue;
            netlink::Link down = link;
            down.up = false;
            world.suffer(fault.host, netlink::AddLink{down});
        }
        world.run_for(100ms);
        if (!world.is_awake(fault.host)) break;
    }
    return {};
}

void refuse(World& world, const Fault& fault) {
    constexpr std::array kErrors{ENOMEM, EBUSY, EPERM, EEXIST, ENOBUFS};
    base::Random random = base::Random::from_number(fault.detail);
    Kernel& kernel = world.kernel(fault.host);
    const int error = kErrors[random.below(kErrors.size())];
    kernel.fail_at(kernel.changes() + 1 + random.below(40), error, 1 + random.below(5));
}

// What may be another while it runs, by chance; who it is stays.
void alter(overlay::Config& config, const Fault& fault) {
    base::Random random = base::Random::from_number(fault.detail);
    const auto chance = [&random] { return random.below(2) == 0; };
    if (chance()) config.mtu = 1280 + std::uint32_t(random.below(120));
    if (chance()) config.extra_ip = {{base::Address::v4({10, 99, 0, base::Byte(fault.host)}), 32}};
    if (chance()) config.babel.hello_interval = random.between(1s, 20s);
    if (chance()) config.babel.update_interval = random.between(2s, 60s);
    if (chance()) config.babel.rxcost = std::uint16_t(32 + random.below(500));
    if (chance()) config.ike.dpd_interval = random.between(2s, 30s);
    if (chance()) config.ike.child_lifetime = random.between(15s, 60s);
    if (chance()) config.ike.ike_lifetime = random.between(15s, 90s);
}

End reload(World& world, const Fault& fault) {
    const auto usual = world.plan(fault.host).configure;
    world.reconfigure(fault.host, [usual, fault](overlay::Config& config) {
        if (usual) usual(config);
        alter(config, fault);
    });
    return [&world, fault, usual] { world.reconfigure(fault.host, usual); };
}

End take_name(World& world, const Fault& fault) {
    std::vector<netlink::Link> links = world.kernel(fault.host).links();
    std::erase_if(links, [](const netlink::Link& link) { return !carries_tunnels(link); });
    if (links.empty()) return {};
    const netlink::Link link = links[fault.detail % links.size()];
    world.occupy(fault.host, link);
    return [&world, host = fault.host, link] { world.vacate(host, link); };
}

End start_again(World& world, std::size_t host) {
    return [&world, host] {
        world.run_for(world.is_stopped(host) ? 0s : 6s);
        world.start(host);
    };
}

End sleep(World& world, std::size_t host) {
    world.suspend(host);
    return [&world, host] { world.resume(host); };
}

End cut(World& world, const Fault& fault) {
    world.cut(fault.host, fault.other);
    return [&world, fault] { world.mend(fault.host, fault.other); };
}

End cut_one_way(World& world, const Fault& fault) {
    world.cut_one_way(fault.host, fault.other);
    return [&world, fault] { world.mend_one_way(fault.host, fault.other); };
}

}  // namespace

const char* to_string(Shape shape) {
    switch (shape) {
        case Shape::ring:
            return "ring";
        case Shape::full:
            return "full";
        case Shape::random:
            return "random";
    }
    return "";
}

std::string Fault::to_string() const {
    return "at " + seconds(at) + " " + std::string(kNames[std::size_t(kind)]) + " " +
           std::to_string(host + 1) +
           (kind == Kind::cut || kind == Kind::one_way ? "-" + std::to_string(other + 1) : "") + " for " +
           seconds(lasts);
}

std::string Plot::to_string() const {
    std::string text = "seed " + std::to_string(seed) + ", " + std::to_string(nodes) + " nodes, " +
                       sim::to_string(shape) + ", " + seconds(length) + ", " +
                       std::to_string(weather.loss_percent) + " % loss\n";
    for (const Fault& fault : faults) text += "  " + fault.to_string() + "\n";
    return text;
}

std::optional<Kind> kind_of(const std::string& name) {
    const auto found = std::ranges::find(kNames, name);
    return found == kNames.end() ? std::nullopt : std::optional(Kind(found - kNames.begin()));
}

bool has_nat(std::uint64_t seed, std::size_t host, std::size_t nodes) {
    const std::uint64_t first = seed / 2 % std::min<std::uint64_t>(4, nodes);
    const auto drawn = [first](std::size_t i) { return i % 4 == first; };
    const bool closes_ring = host + 1 == nodes && drawn(0);
    return drawn(host) && !closes_ring;
}

Plot draw(std::uint64_t seed, std::size_t nodes, Duration length, std::optional<Kind> broken) {
    base::Random random = base::Random::from_number(seed);
    Plot plot{seed, nodes, Shape(random.below(3)), length, {}, {}, broken, {}};
    plot.command = "aronet-sim " + std::to_string(seed) + " --nodes " + std::to_string(nodes) +
                   " --minutes " + std::to_string(length / 1min);
    if (broken) plot.command += " --break '" + std::string(kNames[std::size_t(*broken)]) + "'";
    plot.weather = {
        random.between(1ms, 30ms),
        random.between(0ms, 20ms),
        unsigned(random.below(4)),
        unsigned(random.below(4))};
    std::map<std::size_t, Duration> busy;  // one trouble of its own at a time, and one storm
    for (Duration at = 20s; at < length - 60s; at += random.between(2s, 30s)) {
        Fault fault;
        fault.kind = Kind(random.below(kKinds));
        fault.at = at;
        fault.lasts = random.between(1s, 40s);
        fault.host = random.below(nodes);
        fault.other = (fault.host + 1 + random.below(nodes - 1)) % nodes;
        fault.detail = random.u64();
        while (fault.kind == Kind::rebind && !has_nat(seed, fault.host, nodes))
            fault.host = (fault.host + 1) % nodes;
        Duration& until = busy[fault.kind == Kind::storm ? nodes : fault.host];
        if (until >= at) continue;
        until = at + fault.lasts + 5s;
        plot.faults.push_back(fault);
    }
    return plot;
}

std::function<void()> begin(World& world, const Fault& fault) {
    const std::size_t host = fault.host;
    base::Random random = base::Random::from_number(fault.detail);
    if (!world.is_awake(host)) return {};
    switch (fault.kind) {
        case Kind::storm:
            return storm(world, fault);
        case Kind::partition:
            return partition(world, fault);
        case Kind::cut:
            return cut(world, fault);
        case Kind::one_way:
            return cut_one_way(world, fault);
        case Kind::rebind:
            if (world.is_behind_nat(host)) world.rebind(host);
            return {};
        case Kind::roam:
            world.roam(host);
            return [&world] { world.load_registries(); };
        case Kind::restart:
            world.stop(host);
            return start_again(world, host);
        case Kind::keep:
            world.stop(host, true);
            return start_again(world, host);
        case Kind::reload:
            return reload(world, fault);
        case Kind::kill:
            world.kill(host);
            return [&world, host] { world.start(host); };
        case Kind::suspend:
            return sleep(world, host);
        case Kind::meddle:
            for (netlink::Wish& wish : some_of(removals(world.kernel(host)), random, 1))
                world.suffer(host, std::move(wish));
            return {};
        case Kind::alter:
            for (netlink::Wish& wish : some_of(all_alterations(world.kernel(host)), random, 1))
                world.suffer(host, std::move(wish));
            return {};
        case Kind::stranger:
            return take_name(world, fault);
        case Kind::overflow:
            world.suffer_untold(host, much_of(world.kernel(host), random));
            return {};
        case Kind::flap:
            return flap(world, fault);
        case Kind::refuse:
            refuse(world, fault);
            return {};
        case Kind::registry:
            return one_less(world, fault);
    }
    return {};
}

}  // namespace aronet::sim
