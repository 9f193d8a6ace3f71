#include "story.hpp"

#include <atomic>
#include <thread>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kHoleMax = 60s;
constexpr std::size_t kUnreachedShown = 10;

// A ring stays, every other pair is cut with the chance the shape gives it.
void cut_to_shape(World& world, base::Random& random, Shape shape) {
    const std::uint64_t percent = shape == Shape::ring ? 100 : shape == Shape::full ? 0 : random.below(100);
    for (std::size_t a = 0; a < world.size(); ++a) {
        for (std::size_t b = a + 1; b < world.size(); ++b) {
            const bool in_ring = b == a + 1 || (a == 0 && b + 1 == world.size());
            if (!in_ring && random.below(100) < percent) world.cut(a, b);
        }
    }
}

std::vector<HostPlan> cast(const Plot& plot, bool tells_keys) {
    auto hosts = plans(plot.nodes);
    for (std::size_t i = 0; i < plot.nodes; ++i) {
        hosts[i].behind_nat = has_nat(plot.seed, i, plot.nodes);
        hosts[i].changes_keys = i % 5 == 0;
        hosts[i].tells_keys = tells_keys;
        hosts[i].tells_connect = false;
        const bool shares = (plot.seed + i) % 2 == 0;
        hosts[i].configure = [shares](overlay::Config& config) {  // as usual
            if (shares) config.links = overlay::Links::shared;
            config.babel.hello_interval = overlay::Config{}.babel.hello_interval;
            config.babel.update_interval = overlay::Config{}.babel.update_interval;
        };
    }
    return hosts;
}

void leave_behind(World& world, std::size_t host) {
    netlink::Rule forgotten;
    forgotten.priority = 7;
    world.kernel(host).perform({1, netlink::AddRule{forgotten}});
}

// Everything that is to happen, the ends of what has begun included, also of what ends after the story's.
void let_happen(World& world, const Plot& plot) {
    std::multimap<Duration, std::function<void()>> timeline;
    for (const Fault& fault : plot.faults) {
        timeline.emplace(fault.at, [&] {
            if (std::max(fault.host, fault.other) >= world.size()) return;
            auto end = begin(world, fault);
            if (plot.broken == fault.kind) leave_behind(world, fault.host);
            if (end) timeline.emplace(fault.at + fault.lasts, std::move(end));
        });
    }
    const auto run_until = [&](Duration at) {
        while (world.now().time_since_epoch() < at && world.violations().empty())
            world.run_for(std::min<Duration>(5s, at - world.now().time_since_epoch()));
    };
    while (!timeline.empty() && world.violations().empty()) {
        auto next = timeline.extract(timeline.begin());
        run_until(next.key());
        if (world.violations().empty()) next.mapped()();
    }
    run_until(plot.length);
}

// What is wrong after the story's end and some quiet, and when all have stopped.
std::string after_quiet(World& world, std::string& detail) {
    world.weather = {};
    const bool converged = world.converge(60s);
    if (!world.violations().empty()) return world.violations().front().what;
    if (!converged) return "not everything is reached after quiet";
    world.run_for(20s);
    for (const std::string& wrong : world.inexact_for(20s)) detail += wrong + "\n";
    if (!world.violations().empty()) return world.violations().front().what;
    if (!detail.empty()) return "a kernel has not what its node thinks";
    for (std::size_t i = 0; i < world.size(); ++i) world.stop(i);
    world.run_for(10s);
    if (!world.violations().empty()) return world.violations().front().what;
    for (std::size_t i = 0; i < world.size(); ++i) {
        if (!world.is_stopped(i)) return "a node does not stop";
    }
    return "";
}

// The parts of a plot that may be too much.
std::vector<Plot> simpler(const Plot& plot) {
    std::vector<Plot> all;
    for (std::size_t part = plot.faults.size(); part > 0; part /= 2) {
        for (std::size_t from = 0; from < plot.faults.size(); from += part) {
            Plot fewer = plot;
            const auto first = fewer.faults.begin() + std::ptrdiff_t(from);
            const auto last =
                fewer.faults.begin() + std::ptrdiff_t(std::min(from + part, plot.faults.size()));
            fewer.faults.erase(first, last);
            all.push_back(std::move(fewer));
        }
    }
    if (plot.nodes > 3) {
        Plot half = plot;
        half.nodes = std::max<std::size_t>(3, plot.nodes / 2);
        std::erase_if(half.faults, [&](const Fault& fault) {
            return std::max(fault.host, fault.other) >= half.nodes;
        });
        all.push_back(std::move(half));
    }
    const Duration busy = plot.faults.empty() ? 0s : plot.faults.back().at + plot.faults.back().lasts;
    if (plot.length > busy + 90s) {
        Plot shorter = plot;
        shorter.length = busy + 90s;
        all.push_back(std::move(shorter));
    }
    if (plot.weather != Weather{}) {
        Plot calm = plot;
        calm.weather = {};
        all.push_back(std::move(calm));
    }
    if (plot.shape != Shape::full) {
        Plot full = plot;
        full.shape = Shape::full;
        all.push_back(std::move(full));
    }
    return all;
}

}  // namespace

std::vector<HostPlan> plans(std::size_t count) {
    std::vector<HostPlan> list;
    for (std::size_t i = 0; i < count; ++i) {
        HostPlan plan;
        plan.name = "node" + std::to_string(i + 1);
        plan.mode = i % 2 == 0 ? overlay::Mode::vrf : overlay::Mode::netns;
        list.push_back(plan);
    }
    return list;
}

std::string report(const World& world) {
    std::string text;
    for (const Violation& violation : world.violations()) text += violation.text + "\n";
    std::size_t shown = 0;
    for (const std::string& pair : world.unreached()) text += shown++ < kUnreachedShown ? pair + "\n" : "";
    for (const std::string& message : world.last_messages()) text += "  " + message + "\n";
    return text;
}

Outcome tell(const Plot& plot, const Audience& audience) {
    base::Random random = base::Random::from_number(plot.seed);
    World world(plot.seed, cast(plot, audience.recorder != nullptr));
    world.recorder = audience.recorder;
    world.log = audience.log;
    world.weather = plot.weather;
    world.hole_max = kHoleMax;
    cut_to_shape(world, random, plot.shape);
    world.start_all();
    let_happen(world, plot);
    std::string detail;
    const std::string what = after_quiet(world, detail);
    if (what.empty()) return {plot.seed, "", ""};
    return {
        plot.seed, what, what + "\n" + detail + report(world) + "again: " + plot.command + " [--shrink]\n"};
}

std::vector<Outcome> tell_all(const std::vector<Plot>& plots) {
    std::vector<Outcome> outcomes(plots.size());
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> tellers(std::max(1u, std::thread::hardware_concurrency()));
    for (std::thread& teller : tellers) {
        teller = std::thread([&] {
            for (std::size_t i = next++; i < plots.size(); i = next++) outcomes[i] = tell(plots[i]);
        });
    }
    for (std::thread& teller : tellers) teller.join();
    return outcomes;
}

Plot shrink(Plot plot, const std::string& what, const std::function<Outcome(const Plot&)>& told) {
    for (bool smaller = true; smaller;) {
        smaller = false;
        for (Plot& candidate : simpler(plot)) {
            if (told(candidate).what != what) continue;
            plot = std::move(candidate);
            smaller = true;
            break;
        }
    }
    return plot;
}

}  // namespace aronet::sim
