// Random networks in trouble: loss that differs by direction, cuts, partitions, restarts with and without the
// state of before, seqnos about to wrap, router-ids that collide. No loop at any moment is checked by the
// Mesh; after quiet everybody reaches everybody, and nobody believes in what was taken back. ARONET_SEEDS
// tells how many networks, ARONET_SEED which one alone.

#include "babel/desk.hpp"
#include "babel/mesh.hpp"
#include "environment.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

// A prefix that its node announces and takes back.
Destination fickle(Mesh::NodeId node) {
    return Destination::of(Prefix::host(Mesh::own(node).prefix.address().plus(std::uint64_t(1) << 32)));
}

class Storm {
public:
    explicit Storm(std::uint64_t seed) : random_(base::Random::from_number(seed * 104729)), mesh_(seed) {
        mesh_.config.hello_interval = 4s;
        mesh_.config.update_interval = 16s;
        mesh_.orderly = seed % 4 < 2;
        mesh_.config.type = seed % 2 == 0 ? LinkType::tunnel : LinkType::wired;
        const std::size_t count = 4 + random_.below(57);
        for (std::size_t i = 0; i < count; ++i) mesh_.add_node();
        if (seed % 3 == 0) wrap_soon();
        for (std::size_t i = 1; i < count; ++i) connect(i, random_.below(i));
        for (std::size_t i = 0; i < count / 2; ++i) {
            const std::size_t a = random_.below(count), b = random_.below(count);
            if (a != b) connect(a, b);
        }
    }

    void rage(int events) {
        if (random_.below(2) == 0) mesh_.lose(static_cast<unsigned>(random_.below(30)));
        mesh_.run(3s);
        for (int i = 0; i < events; ++i) {
            strike();
            mesh_.run(random_.between(1ms, 10s));
        }
    }

    // Nodes whose seqno passed from its last to its first value.
    std::size_t wrapped() {
        std::size_t count = 0;
        for (const Mesh::NodeId node : about_to_wrap_) count += mesh_.speaker(node).seqno() < 0x8000 ? 1 : 0;
        return count;
    }

    bool whole_after_quiet() {
        mesh_.lose(0);
        for (std::size_t link = 0; link < mesh_.links(); ++link) {
            const auto [a, b] = mesh_.ends(link);
            mesh_.lose(a, b, 0);
            mesh_.lose(b, a, 0);
            mesh_.restore(link);
        }
        for (const Mesh::NodeId twin : twins_) give_new_name(twin);
        return mesh_.run_until_whole(120s) < 120s;
    }

    // Who knows what is announced no more, or not what is. An update that arrives behind the retraction that
    // followed it is believed until it expires.
    std::size_t misled() {
        mesh_.run(mesh_.orderly ? 20s : 60s);
        std::size_t count = 0;
        for (Mesh::NodeId of = 0; of < mesh_.size(); ++of) {
            for (Mesh::NodeId at = 0; at < mesh_.size(); ++at)
                count += at != of && mesh_.knows(at, fickle(of)) != mesh_.announces(of, fickle(of)) ? 1 : 0;
        }
        return count;
    }

private:
    void connect(std::size_t a, std::size_t b) {
        mesh_.connect(a, b, static_cast<std::uint16_t>(16 + random_.below(400)));
    }
    Mesh::NodeId any_node() { return random_.below(mesh_.size()); }
    std::size_t any_link() { return random_.below(mesh_.links()); }

    void strike() {
        switch (random_.below(11)) {
            case 0:
                return mesh_.cut(any_link());
            case 1:
                return mesh_.restore(any_link());
            case 2:
                return mesh_.silence(any_link(), true);
            case 3:
                return mesh_.silence(any_link(), false);
            case 4:
                return restart(any_node());
            case 5:
                return give_new_name(any_node());
            case 6:
                return lose_one_way();
            case 7:
                return partition();
            case 8:
            case 9:
                return change_mind(any_node());
            default:
                return collide();
        }
    }
    // Half of them under the router-id of before, with the seqno after the last.
    void restart(Mesh::NodeId node) {
        if (random_.below(2) == 0) return give_new_name(node);
        mesh_.restart(node, true);
    }
    // As our daemon with each start: with another router-id and any seqno.
    void give_new_name(Mesh::NodeId node) {
        about_to_wrap_.erase(node);
        mesh_.name(node, 0x9000'0000 + ++names_, static_cast<SeqNo>(random_.u32()));
        mesh_.restart(node, true);
    }
    void lose_one_way() {
        const auto [a, b] = mesh_.ends(any_link());
        mesh_.lose(a, b, static_cast<unsigned>(random_.below(101)));
    }
    void change_mind(Mesh::NodeId node) {
        const Destination d = fickle(node);
        mesh_.announces(node, d) ? mesh_.withdraw(node, d) : mesh_.announce(node, d);
    }
    void partition() {
        const std::size_t half = random_.below(mesh_.size());
        for (std::size_t link = 0; link < mesh_.links(); ++link) {
            const auto [a, b] = mesh_.ends(link);
            if ((a < half) != (b < half)) mesh_.cut(link);
        }
    }
    // Two take the same router-id, until the quiet.
    void collide() {
        const Mesh::NodeId a = any_node(), b = any_node();
        if (a == b || !twins_.empty()) return;
        for (const Mesh::NodeId node : {a, b}) {
            about_to_wrap_.erase(node);
            mesh_.name(node, 0x8000'0000, static_cast<SeqNo>(random_.u32()));
            mesh_.restart(node, true);
            twins_.insert(node);
        }
    }
    void wrap_soon() {
        for (std::size_t i = 0; i < mesh_.size(); ++i) {
            mesh_.name(i, 0x1000 + i, static_cast<SeqNo>(0xfffd + random_.below(3)));
            mesh_.restart(i, true);
            about_to_wrap_.insert(i);
        }
    }

    base::Random random_;
    Mesh mesh_;
    std::set<Mesh::NodeId> twins_, about_to_wrap_;
    RouterId names_ = 0;
};

}  // namespace

TEST_CASE("random networks in any trouble never loop, and are whole after quiet") {
    const std::uint64_t only = number("ARONET_SEED", 0);
    const std::uint64_t first = only != 0 ? only : 1, last = only != 0 ? only : number("ARONET_SEEDS", 10);
    std::size_t wrapped = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        CAPTURE(seed);
        Storm storm(seed);
        storm.rage(15);
        CHECK(storm.whole_after_quiet());
        CHECK(storm.misled() == 0);
        wrapped += storm.wrapped();
    }
    if (last - first >= 5) CHECK(wrapped > 0);
}
