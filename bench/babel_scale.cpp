// How the Babel speaker grows with the network. Figures, printed; see bench/babel-scale.

#include "babel/desk.hpp"
#include "babel/mesh.hpp"
#include "emulated.hpp"

#include <cstdio>

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

double seconds(Duration d) { return double(base::milliseconds(d)) / 1000; }

struct Figures {
    double converged = 0, cpu = 0, megabytes = 0, steady_cpu = 0, steady_bytes = 0;
};

Figures mesh_of(std::size_t count) {
    const double memory = megabytes();
    Mesh mesh(1);
    mesh.config.hello_interval.reset();
    mesh.config.update_interval.reset();
    const double start = cpu_seconds();
    for (std::size_t i = 0; i < count; ++i) mesh.add_node();
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < i; ++j) mesh.connect(i, j, 32, 5ms);
    }
    Figures f;
    f.converged = seconds(mesh.run_until_whole(60s));
    mesh.run(5s);
    f.cpu = (cpu_seconds() - start) / double(count);
    f.megabytes = (megabytes() - memory) / double(count);
    const double steady = cpu_seconds();
    const std::size_t bytes = mesh.bytes();
    mesh.run(60s);
    f.steady_cpu = (cpu_seconds() - steady) / 60 / double(count);
    f.steady_bytes = double(mesh.bytes() - bytes) / 60 / double(count);
    std::printf(
        "mesh of %4zu: whole after %.2f s; per node: CPU to there %.3f s (simulator and checks included), "
        "%.2f MB, then %.3f %% CPU, %.0f B/s sent\n",
        count,
        f.converged,
        f.cpu,
        f.megabytes,
        f.steady_cpu * 100,
        f.steady_bytes
    );
    return f;
}

Figures hub_of(std::size_t peers, std::optional<Duration> hello, std::optional<Duration> update) {
    const double memory = megabytes();
    EmulatedConfig config;
    config.peers = peers;
    config.hello = hello.value_or(20s);
    config.update = update.value_or(80s);
    config.our_hello = hello;
    config.our_update = update;
    Emulated hub(config);
    Figures f;
    f.converged = seconds(hub.converge(60s));
    f.cpu = hub.cpu();
    hub.run(30s);
    const double steady = hub.cpu();
    const std::size_t bytes = hub.bytes();
    hub.run(120s);
    f.steady_cpu = (hub.cpu() - steady) / 120;
    f.steady_bytes = double(hub.bytes() - bytes) / 120;
    f.megabytes = megabytes() - memory;
    std::printf(
        "hub with %4zu peers, %s: %s after %.2f s, CPU to there %.2f s, then %.2f %% CPU, %.1f kB/s sent, "
        "%.1f MB with the emulated peers\n",
        peers,
        hello ? "Hello 4 s, updates 16 s" : "intervals of its choice",
        hub.everybody_told() ? "all told" : "NOT all told",
        f.converged,
        f.cpu,
        f.steady_cpu * 100,
        f.steady_bytes / 1000,
        f.megabytes
    );
    CHECK(hub.everybody_told());
    return f;
}

}  // namespace

TEST_CASE("whole meshes in virtual time", "[mesh]") {
    const Figures small = mesh_of(100), large = mesh_of(300);
    std::printf(
        "growth from 100 to 300 nodes: time to converge n^%.2f; per node: memory n^%.2f, CPU to converge "
        "n^%.2f, steady CPU n^%.2f, bytes n^%.2f\n",
        exponent(small.converged, large.converged, 100, 300),
        exponent(small.megabytes, large.megabytes, 100, 300),
        exponent(small.cpu, large.cpu, 100, 300),
        exponent(small.steady_cpu, large.steady_cpu, 100, 300),
        exponent(small.steady_bytes, large.steady_bytes, 100, 300)
    );
}

TEST_CASE("hubs with emulated peers of one prefix each", "[hub]") {
    for (const bool fixed : {true, false}) {
        const std::optional<Duration> hello = fixed ? std::optional<Duration>(4s) : std::nullopt;
        const std::optional<Duration> update = fixed ? std::optional<Duration>(16s) : std::nullopt;
        std::map<std::size_t, Figures> figures;
        for (const std::size_t peers : {100u, 500u, 1000u, 2000u})
            figures[peers] = hub_of(peers, hello, update);
        std::printf(
            "growth from 500 to 2000 peers: time to converge k^%.2f, CPU to converge k^%.2f, steady CPU "
            "k^%.2f, bytes k^%.2f, memory k^%.2f\n",
            exponent(figures[500].converged, figures[2000].converged, 500, 2000),
            exponent(figures[500].cpu, figures[2000].cpu, 500, 2000),
            exponent(figures[500].steady_cpu, figures[2000].steady_cpu, 500, 2000),
            exponent(figures[500].steady_bytes, figures[2000].steady_bytes, 500, 2000),
            exponent(figures[500].megabytes, figures[2000].megabytes, 500, 2000)
        );
    }
}

TEST_CASE("one speaker with 999 neighbours that each advertise 1,000 prefixes", "[table]") {
    std::map<std::size_t, Figures> figures;
    for (const std::size_t peers : {99u, 333u, 999u}) {
        const double memory = megabytes();
        EmulatedConfig config;
        config.peers = peers;
        config.prefixes = 1000;
        config.shared = true;
        config.update = 300s;
        Emulated node(config);
        const double empty = megabytes();
        const Duration took = node.converge(60s);
        node.run(5s);
        Figures& f = figures[peers];
        f.converged = seconds(took);
        f.cpu = node.cpu();
        node.run(600s);
        f.steady_cpu = (node.cpu() - f.cpu) / 600;
        const std::size_t bytes = node.bytes();
        node.run(300s);
        f.steady_bytes = double(node.bytes() - bytes) / 300;
        f.megabytes = megabytes() - empty;
        std::printf(
            "%3zu neighbours x 1,000 prefixes: %zu routes in %.1f MB (and %.1f MB of emulated peers), all "
            "destinations after %.2f s, CPU %.2f s (%.2f us per route), then %.2f %% CPU, %.1f kB/s sent\n",
            peers,
            node.routes(),
            f.megabytes,
            empty - memory,
            f.converged,
            f.cpu,
            f.cpu / double(node.routes()) * 1e6,
            f.steady_cpu * 100,
            f.steady_bytes / 1000
        );
        CHECK(node.routes() == peers * 1000);
    }
    const Figures &few = figures[99], &many = figures[999];
    std::printf(
        "growth from 99 to 999 neighbours with their routes: time to converge n^%.2f, memory n^%.2f, "
        "cost of an update n^%.2f, steady CPU n^%.2f, bytes n^%.2f\n",
        exponent(few.converged, many.converged, 99, 999),
        exponent(few.megabytes, many.megabytes, 99, 999),
        exponent(few.cpu / 99, many.cpu / 999, 99, 999),
        exponent(few.steady_cpu, many.steady_cpu, 99, 999),
        exponent(few.steady_bytes, many.steady_bytes, 99, 999)
    );
}

TEST_CASE("one speaker with one neighbour that advertises 10,000 prefixes", "[routes]") {
    EmulatedConfig config;
    config.peers = 1;
    config.prefixes = 10000;
    config.update = 10s;
    config.first_dump = 5s;
    Emulated node(config);
    node.run(4s);
    const double memory = megabytes(), start = node.cpu();
    node.run(2s);
    const double grown = megabytes() - memory, learned = node.cpu() - start;
    CHECK(node.routes() == config.prefixes);
    node.run(6s);
    const double again = node.cpu();
    node.run(4s);
    const double repeated = node.cpu() - again;
    std::printf(
        "1 neighbour x 10,000 prefixes: %.0f bytes a route, CPU %.2f us a route, %.2f us when it is "
        "repeated\n",
        grown * 1e6 / double(config.prefixes),
        learned * 1e6 / double(config.prefixes),
        repeated * 1e6 / double(config.prefixes)
    );
}

namespace {

// Twenty destinations by `peers` neighbours, each with another metric that changes with every update. The
// selected routes stay, and a better one waits until it can be trusted.
class Restless {
public:
    explicit Restless(unsigned peers) : speaker_({.router_id = kUs, .seqno = 1}, random_) {
        for (unsigned i = 0; i < peers; ++i) {
            InterfaceConfig c = Desk::link();
            c.link_local = ip("fe80::1");
            speaker_.add_interface(i, c, now_, actions_);
            PacketWriter writer(1400);
            writer.add(Tlv(Hello{.seqno = 1, .interval = {400}}));
            writer.add(Tlv(Ihu{.address = c.link_local, .rxcost = 96, .interval = {1200}}));
            hear(i, writer.finish());
            hear(i, updates(i, i == 0 ? 500 : 900));
        }
        hear(1, updates(1, 400));
    }
    // The CPU that one takes, in seconds.
    double update(unsigned peers) {
        double took = 0;
        for (unsigned i = 2; i < peers; ++i) {
            const base::Bytes packet = updates(i, static_cast<Metric>(1000 + random_.below(1000)));
            const double start = cpu_seconds();
            hear(i, packet);
            took += cpu_seconds() - start;
        }
        return took / ((peers - 2) * kDestinations);
    }
    bool waits() const {
        for (const RouteView& r : speaker_.routes()) {
            if (r.selected && r.received_metric != 500) return false;
        }
        return true;
    }

private:
    static constexpr unsigned kDestinations = 20;

    static base::Bytes updates(unsigned peer, Metric metric) {
        PacketWriter writer(1400);
        for (unsigned i = 0; i < kDestinations; ++i) {
            const Destination about = Destination::of(Prefix::host(ip("fd09::").plus(i)));
            writer.add(
                Announcement{
                    .about = about,
                    .router_id = 0x100u + peer,
                    .seqno = 1,
                    .interval = {6000},
                    .metric = metric},
                Encoding::v4_via_v6
            );
        }
        return writer.finish();
    }
    void hear(unsigned peer, const base::Bytes& packet) {
        speaker_.handle(
            {.bytes = packet,
             .from = ip("fe80::2"),
             .to = multicast_group(),
             .in = peer,
             .received_at = now_},
            now_,
            actions_
        );
        actions_.clear();
    }

    base::Random random_ = base::Random::from_number(1);
    Speaker speaker_;
    Actions actions_;
    Instant now_{std::chrono::seconds(1000)};
};

}  // namespace

TEST_CASE("updates that change metrics while a better route waits to be trusted", "[updates]") {
    Restless few(99), many(999);
    double with_few = 1, with_many = 1;
    for (int i = 0; i < 100; ++i) {
        with_few = std::min(with_few, few.update(99));
        if (i % 5 == 0) with_many = std::min(with_many, many.update(999));
    }
    CHECK(few.waits());
    CHECK(many.waits());
    std::printf(
        "an update with another metric: %.2f us with 99 neighbours, %.2f us with 999, n^%.2f\n",
        with_few * 1e6,
        with_many * 1e6,
        exponent(with_few, with_many, 99, 999)
    );
}
