#pragma once

// A full mesh of engines in virtual time: wires with delay, loss, doubling and cuts, NATs that map anew, a
// host that moves from network to network, hosts that die and come back, data planes that refuse and that
// miss answers. What happens is told by the seed alone.

#include "ike/engine.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace aronet::ike::test {

class Mesh {
public:
    // Of `count` hosts, at least 3, the last is behind a NAT: no other knows an address of it.
    Mesh(std::uint64_t seed, std::size_t count);
    ~Mesh();

    void advance(Duration time);
    void disturb();  // something happens, by chance, and lasts a while
    void calm();     // nothing is lost from now on, everybody runs and installs what it is told to
    void stop();     // all say goodbye

    // Pairs that do not both send on one child, with equal keys, from where each is to where the other is
    // now, trusting each other, or that hold more than this one; and whatever no engine may do, at any
    // moment.
    enum class Held : std::uint8_t { some, one };
    std::vector<std::string> complaints(Held held) const;
    std::size_t children() const;  // held by all

private:
    struct Carried {  // by the data plane of one host
        std::size_t peer;
        std::uint32_t spi_in, spi_out;
        base::Bytes key_in, key_out;
        Endpoint from, to;
    };
    struct Place {  // of one interface; what others see of it is outside
        Endpoint inside, outside;
    };
    struct Host {
        std::size_t index = 0;
        std::vector<Place> places;          // the route leads from the first; none: in no network
        std::optional<Endpoint> published;  // where others look for it
        std::unique_ptr<base::Random> random;
        std::unique_ptr<Engine> engine;  // none: dead
        Actions actions;
        std::map<ChildId, Carried> children;
        std::map<std::size_t, ChildId> sending;  // by peer
        std::map<std::size_t, Instant> heard;    // ESP of a peer
        std::map<std::size_t, Trust> doubts;     // peers that are not trusted
        std::uint64_t refuses_percent = 0;
    };
    struct Flight {
        Endpoint from, to;
        base::Bytes bytes;      // IKE
        std::uint32_t spi = 0;  // or ESP
    };

    void start(Host& host);
    void kill(Host& host);
    void connect(Host& host, std::size_t other);
    void change_wires();
    void change_keys(Host& host);
    void move();  // the one that does
    void gain(Host& host);
    void lose(Host& host);
    void publish();
    void suspect_some(Host& host);
    void pass_traffic();
    void watch(Host& host);
    void send(const Host& host, const Endpoint& from, Flight flight);
    void pass(const Host& from, Flight flight);
    void arrive(const Flight& flight);
    void arrive(Host& host, const Place& place, const Flight& flight);
    void perform(Host& host);
    void obey(Host& host, const Send& send);
    void obey(Host& host, const ChildUp& up);
    void obey(Host& host, const Switch& chosen);
    void obey(Host& host, const ChildDown& down);
    void obey(Host& host, const ChildMoved& moved);
    void obey(Host& host, const Silence& silence);
    void obey(Host& host, const Doubted& doubted);
    void obey(Host&, const KeysMade&) {}
    void obey(Host&, const Unreached&) {}
    void obey(Host& host, const base::Note& note);
    void complain(const Host& host, const std::string& what);
    static const Place* place(const Host& host, const Endpoint& inside);
    static std::string complaint(const Host& a, const Host& b);
    static std::string surplus(const Host& a, const Host& b);
    Host& any() { return hosts_[random_.below(hosts_.size())]; }

    Instant now_{};
    base::Random random_;
    std::vector<Host> hosts_;
    std::multimap<Instant, Flight> flights_;
    std::set<std::pair<std::size_t, std::size_t>> cuts_;
    std::uint64_t loss_percent_ = 0, doubled_percent_ = 0, starts_ = 0, places_ = 0;
    std::size_t mover_ = 0;  // two that moved while they were cut off would not find each other
    bool watches_ = false;   // data planes suspect who is not heard
    Duration jitter_{};
    Instant next_traffic_{};
    std::vector<std::string> complaints_;
};

}  // namespace aronet::ike::test
