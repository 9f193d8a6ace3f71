// A node of a full mesh of a thousand: its memory, and what it says once all is known. What it costs in time
// is printed by bench/babel-scale.

#include "emulated.hpp"

using namespace aronet;
using namespace aronet::babel;

TEST_CASE("a million routes of 999 neighbours lie in less than 150 MB, and then little is said") {
    EmulatedConfig config;
    config.peers = 999;
    config.prefixes = 1000;
    config.shared = true;
    config.update = 300s;
    Emulated node(config);
    const double before = megabytes();
    REQUIRE(node.converge(10s) < 2s);
    node.run(5s);
    CHECK(node.routes() == 999'000);
    CHECK(megabytes() - before < 150);
    const std::size_t packets = node.packets(), bytes = node.bytes();
    node.run(60s);
    CHECK((node.packets() - packets) / 60 < 150);
    CHECK((node.bytes() - bytes) / 60 < 60'000);
    CHECK(node.routes() == 999'000);
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

TEST_CASE("an update with another metric costs the same with 99 neighbours and with 999") {
    Restless few(99), many(999);
    double with_few = 1, with_many = 1;
    for (int i = 0; i < 100; ++i) {
        with_few = std::min(with_few, few.update(99));
        if (i % 5 == 0) with_many = std::min(with_many, many.update(999));
    }
    CHECK(few.waits());
    CHECK(many.waits());
    CAPTURE(with_few * 1e6, with_many * 1e6);
    CHECK(with_many < 2 * with_few);
}
