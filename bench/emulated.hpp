#pragma once

// One real Speaker with many emulated peers, each on an interface of its own: they say their Hellos,
// acknowledge what asks for it, advertise prefixes, and count what they are told. Virtual time in steps of
// 10 ms.

#include "babel/desk.hpp"
#include "measure.hpp"

namespace aronet::babel {

struct EmulatedConfig {
    std::size_t peers = 100;
    std::size_t prefixes = 1;  // of each
    bool shared = false;       // all advertise the same ones, as in a full mesh; else each its own
    Duration hello = std::chrono::seconds(20);
    Duration update = std::chrono::seconds(80);
    Duration first_dump = std::chrono::milliseconds(100);
    std::optional<Duration> our_hello, our_update;  // absent: chosen by the speaker
};

class Emulated {
public:
    explicit Emulated(const EmulatedConfig& config);

    void run(Duration d);
    bool everybody_told() const { return untold_ == 0; }  // every peer of every other's prefixes
    Duration converge(Duration at_most);
    double cpu() const { return cpu_; }
    std::size_t bytes() const { return bytes_; }
    std::size_t packets() const { return packets_; }
    std::size_t routes() const;
    std::size_t installed() const { return installed_; }
    Instant now() const { return now_; }

private:
    static constexpr Duration kStep = std::chrono::milliseconds(10);
    struct Peer {
        Address address;
        SeqNo hello_seqno = 0;
        Instant next_hello, next_dump;
        std::vector<std::uint16_t> acks;
        std::vector<bool> told;  // of the prefixes of whom
    };
    static Address link_local(std::size_t peer, bool ours);
    static Destination owned(std::size_t number);
    void write_dumps();
    void step();
    void say(std::size_t peer);
    void obey();
    void hear(const Send& send);

    EmulatedConfig config_;
    base::Random random_ = base::Random::from_number(7);
    std::vector<Peer> peers_;
    std::vector<std::vector<base::Bytes>> dumps_;  // of each peer, or of all
    std::map<Destination, std::size_t> owner_;
    std::size_t untold_ = 0;
    struct Said {
        std::size_t peer;
        base::Bytes bytes;
    };
    std::vector<Said> said_;
    std::unique_ptr<Speaker> speaker_;
    Actions actions_;
    Instant now_{std::chrono::seconds(1000)};
    double cpu_ = 0;
    std::size_t bytes_ = 0, packets_ = 0, installed_ = 0;
};

}  // namespace aronet::babel
