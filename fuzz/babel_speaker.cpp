// Three Speakers in a triangle, and a hostile neighbour with a link to two of them. The input is a list of
// what happens: packets that are lost, doubled or held back, anything the hostile one may say, links that go
// and come, prefixes announced and withdrawn, restarts, time. After every event nothing loops, no unfeasible
// route is selected, every deadline is moved by its tick, everything sent can be read, and tables are
// bounded. Once the hostile one is gone and the links are good, everybody is reached again.

#include "babel/constants.hpp"
#include "babel/mesh.hpp"
#include "babel/packet.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>

using namespace aronet;
using namespace aronet::babel;

namespace {

constexpr std::size_t kNodes = 3, kStrangers = 16;
constexpr int kWildSeqnos = 0x1000;  // so far from where a router's seqnos began, comparing them is in doubt
constexpr Duration kPlay = 1000s;    // an input lasts no longer
constexpr Duration kForgotten = 700s;          // by then nothing the hostile one said counts any more
constexpr std::size_t kQuietPackets = 10'000;  // three times what that time takes
constexpr std::size_t kOwnRoutes = 200;        // of the speakers among themselves, at most

void require(bool condition, const char* what) {
    if (!condition) throw Broken(what);
}

const Destination kPool[] = {
    Destination::of(*Prefix::parse("fd22::/64")),
    Destination::of(*Prefix::parse("fd22::/32")),
    Destination::of(*Prefix::parse("::/0")),
    Destination::of(*Prefix::parse("10.1.0.0/16")),
    Destination::of(*Prefix::parse("0.0.0.0/0")),
    {*Prefix::parse("fd22::/64"), *Prefix::parse("fd23::/64")},
    Mesh::own(0),
    Mesh::own(1),
};

constexpr std::size_t kSharedPool = 6;  // those behind are the speakers' own, for the hostile one to claim

class Play {
public:
    explicit Play(base::ByteView input) : in_(input), mesh_(1) {
        const unsigned kind = in_.u8();
        quiet_ = (kind & 1) != 0;
        mesh_.config.type = (kind & 2) != 0 ? LinkType::tunnel : LinkType::wired;
        if ((kind & 4) != 0) mesh_.config.type = LinkType::lossy;
        if ((kind & 8) != 0) mesh_.config.v4 = Address::parse("10.0.0.1");
        mesh_.config.split_horizon = (kind & 16) == 0;
        mesh_.config.bounded = false;
        mesh_.config.hello_interval = 4s;
        mesh_.config.update_interval = 16s;
        mesh_.wire = [this](const Send& send) { return carry(send); };
        mesh_.excuse = [this](const auto& routers) { return excused(routers); };
        for (std::size_t i = 0; i < kNodes; ++i) mesh_.add_node();
        for (std::size_t i = 0; i < kNodes; ++i) mesh_.connect(i, (i + 1) % kNodes);
        for (std::size_t i = 0; i < 2; ++i) mesh_.open_end(i);
        mesh_.run(1s);
    }

    void run() {
        while (in_.left() != 0) {
            happen();
            check();
        }
        if (!quiet_) return;
        lost_ = doubled_ = held_ = 0;
        for (std::size_t link = 0; link < mesh_.links(); ++link)
            link < kNodes ? mesh_.restore(link) : mesh_.cut(link);
        for (std::size_t i = 0; i < kNodes; ++i) suspect(i, 0);
        const std::size_t before = mesh_.packets();
        mesh_.run(kForgotten);
        require(mesh_.packets() - before < kQuietPackets, "quiet is quiet");
        check();
        require(mesh_.whole(), "once all is well everybody is reached");
    }

private:
    void happen() {
        switch (in_.u8() % 20) {
            case 0:
                return pass(std::chrono::milliseconds(1 + in_.u8() * 4));
            case 1:
                return pass(std::chrono::seconds(in_.u8()));
            case 2:
                lost_ = in_.u16();
                return;
            case 3:
                doubled_ = in_.u16();
                return;
            case 4:
                held_ = in_.u16();
                return;
            case 5:
                return mesh_.cut(in_.u8() % mesh_.links());
            case 6:
                return mesh_.restore(in_.u8() % mesh_.links());
            case 7:
                return fall_silent(in_.u8());
            case 8:
                return announce(in_.u8());
            case 9:
                return withdraw(in_.u8());
            case 10:
                return restart(in_.u8());
            case 11:
                return greet(in_.u8());
            case 12:
                return acknowledge(in_.u8());
            case 13:
                return echo(in_.u8());
            case 14:
                return mesh_.look(counters_, (in_.u8() & 1) != 0);
            case 15:
                return suspect(in_.u8() % kNodes, static_cast<std::uint16_t>(in_.u8() * 8));
            case 16:
                return change_interface(in_.u8(), in_.u8());
            case 17:
                return say_bytes(in_.u8(), in_.u8());
            default:
                return say_tlvs(in_.u8(), in_.u8() % 32);
        }
    }

    void pass(Duration d) {
        d = std::min(d, kPlay - played_);
        played_ += d;
        mesh_.run(d);
    }

    // The n-th packet of all is lost, doubled or held back where the n-th bit says so.
    std::vector<Duration> carry(const Send& send) {
        PacketReader reader(send.bytes, send.from);
        require(
            send.bytes.size() + kIpAndUdpSize <= 1500, "a packet is no larger than its interface carries"
        );
        while (const auto event = reader.next()) {
            require(!std::holds_alternative<Malformed>(*event), "what is sent can be read");
            if (const auto* request = std::get_if<AckRequest>(&*event); request && to_hostile(send))
                owed_.push_back({send.on - 1, *request});
        }
        if (to_hostile(send)) {
            last_heard_ = send.bytes;
            return {};
        }
        const unsigned bit = 1u << packets_++ % 16;
        if ((lost_ & bit) != 0) return {};
        std::vector<Duration> copies{(held_ & bit) != 0 ? 150ms : 2ms};
        if ((doubled_ & bit) != 0) copies.push_back(40ms);
        return copies;
    }
    static bool to_hostile(const Send& send) { return send.on > kNodes; }

    void fall_silent(unsigned what) { mesh_.silence(what % mesh_.links(), (what & 0x80) != 0); }

    // A prefix of several origins may be among them.
    void announce(unsigned what) { mesh_.announce(what % kNodes, kPool[what / kNodes % kSharedPool]); }
    void withdraw(unsigned what) { mesh_.withdraw(what % kNodes, kPool[what / kNodes % kSharedPool]); }

    // With what it was called before or as another, and with any seqno.
    void restart(unsigned what) {
        const std::size_t node = what % kNodes;
        if ((what & 0x80) != 0) {
            names_[node] = 0x1000 + node + 0x100 * (what / kNodes % 4);
            const auto seqno = static_cast<SeqNo>(what * 0x333);
            mesh_.name(node, names_[node], seqno);
            note_seqno(names_[node], seqno);
        }
        mesh_.restart(node, true);
    }

    void suspect(std::size_t node, std::uint16_t cost) {
        for (InterfaceId on = 1; on <= mesh_.links(); ++on)
            mesh_.speaker(node).suspect(on, cost, mesh_.now(), mesh_.actions());
        mesh_.perform(node);
    }

    void change_interface(unsigned what, unsigned size) {
        const std::size_t link = what % mesh_.links(), node = mesh_.ends(link).first;
        std::optional<Address> v4;
        if ((what & 0x80) != 0) v4 = Address::parse("10.0.0.2");
        const std::size_t mtu = std::min<std::size_t>(560 + size * 4, 1500);
        mesh_.speaker(node).change_interface(
            static_cast<InterfaceId>(link + 1), mtu, v4, mesh_.now(), mesh_.actions()
        );
        mesh_.perform(node);
    }

    // What the hostile one says: on which of its links, as whom, to all or to one.
    struct Manner {
        unsigned bits;
        std::size_t link() const { return kNodes + (bits & 1); }
        bool multicast() const { return (bits & 2) != 0; }
        Address from() const {
            std::array<base::Byte, 16> octets{0xfe, 0x80};
            octets[15] = static_cast<base::Byte>(0x40 + (bits >> 2) % kStrangers);
            return Address::v6(octets);
        }
    };

    void say(const Manner& manner, base::Bytes bytes) {
        PacketReader reader(bytes, manner.from());
        while (const auto event = reader.next()) {
            const auto* update = std::get_if<Announcement>(&*event);
            if (update == nullptr || update->metric == kInfinity) continue;
            ++told_;
            note_seqno(update->router_id, update->seqno);
        }
        mesh_.hear(manner.link(), manner.from(), manner.multicast(), std::move(bytes));
    }

    // As a neighbour that can be reached.
    void greet(unsigned how) {
        PacketWriter writer(1000);
        for (int i = 0; i < 2; ++i) {
            writer.add(Tlv(Hello{.seqno = hello_++, .interval = {400}, .timestamp = 5}));
            writer.add(Tlv(Ihu{.rxcost = 96, .interval = {1200}}));
            say(Manner{how}, writer.finish());
        }
    }

    void acknowledge(unsigned how) {
        for (const auto& [link, request] : std::exchange(owed_, {})) {
            if (Manner{how}.link() != link) continue;
            PacketWriter writer(100);
            writer.add(Tlv(Ack{request.opaque}));
            say(Manner{how & ~2u}, writer.finish());
        }
    }

    void echo(unsigned how) {
        if (!last_heard_.empty()) say(Manner{how}, last_heard_);
    }

    void say_bytes(unsigned how, std::size_t size) {
        const base::ByteView bytes = in_.take(std::min(size, in_.left()));
        base::Bytes packet{kMagic, kVersion, 0, static_cast<base::Byte>(bytes.size())};
        packet.insert(packet.end(), bytes.begin(), bytes.end());
        say(Manner{how}, std::move(packet));
    }

    void say_tlvs(unsigned how, std::size_t count) {
        PacketWriter writer(1400);
        for (std::size_t i = 0; i < count && in_.left() != 0; ++i) add_tlv(writer);
        say(Manner{how}, writer.finish());
    }

    void add_tlv(PacketWriter& writer) {
        const unsigned what = in_.u8();
        const Destination& about = kPool[what / 8 % std::size(kPool)];
        const Encoding v4 = (what & 0x80) != 0 ? Encoding::v4 : Encoding::v4_via_v6;
        switch (what % 8) {
            case 0:
                writer.add(Tlv(AckRequest{in_.u8(), interval()}));
                return;
            case 1:
                writer.add(Tlv(Hello{(what & 8) != 0, hello_ = in_.u8(), interval(), in_.u8()}));
                return;
            case 2:
                writer.add(Tlv(Ihu{.rxcost = in_.u8(), .interval = interval()}));
                return;
            case 3:
                if ((what & 0x80) != 0)
                    writer.add(Tlv(RouteRequest{}));
                else
                    writer.add(Tlv(RouteRequest{about}));
                return;
            case 4: {
                const RouterId id = router();
                writer.add(Tlv(SeqnoRequest{about, seqno(id), in_.u8(), id}));
                return;
            }
            default:
                add_update(writer, about, v4);
                return;
        }
    }

    void add_update(PacketWriter& writer, const Destination& about, Encoding v4) {
        const RouterId id = router();
        const unsigned m = in_.u8();
        writer.add(
            Announcement{
                .about = about,
                .router_id = id,
                .next_hop = about.prefix.family() == base::Family::v4 && v4 == Encoding::v4
                                ? *Address::parse("10.0.0.9")
                                : Manner{m}.from(),
                .seqno = seqno(id),
                .interval = interval(),
                .metric = m == 0xff ? kInfinity : static_cast<Metric>(m * 4)},
            v4
        );
    }

    Interval interval() {
        static constexpr std::uint16_t choices[] = {1, 10, 100, 400, 1600, 0xfffe, 0xffff, 0};
        return {choices[in_.u8() % std::size(choices)]};
    }

    RouterId router() {
        const unsigned which = in_.u8() % 6;
        return which < kNodes ? names_[which] : 0xaa + which;
    }

    // Near what a router said before, so that it may be believed.
    SeqNo seqno(RouterId id) {
        const auto offset = static_cast<std::int8_t>(in_.u8());
        return static_cast<SeqNo>((first_seqno_.contains(id) ? first_seqno_.at(id) : own_seqno(id)) + offset);
    }
    SeqNo own_seqno(RouterId id) {
        const auto node = std::find(names_.begin(), names_.end(), id) - names_.begin();
        return node == kNodes ? SeqNo(100) : mesh_.speaker(static_cast<std::size_t>(node)).seqno();
    }
    void note_seqno(RouterId id, SeqNo seqno) {
        const auto first = first_seqno_.try_emplace(id, own_seqno(id)).first;
        if (std::abs(static_cast<std::int16_t>(seqno - first->second)) > kWildSeqnos) wild_.insert(id);
    }

    // RFC 8966 2.4 and 1.1: free of loops are the routes to one router whose seqnos can be compared.
    bool excused(const std::set<RouterId>& routers) {
        return routers.size() > 1 || (!routers.empty() && wild_.contains(*routers.begin()));
    }

    void check() {
        mesh_.check_feasible();
        for (std::size_t i = 0; i < kNodes; ++i) {
            std::map<InterfaceId, std::size_t> neighbours;
            for (const NeighbourView& n : mesh_.speaker(i).neighbours())
                require(++neighbours[n.on] <= SpeakerConfig().neighbours_per_interface_max, "few neighbours");
            require(mesh_.speaker(i).routes().size() <= told_ + kOwnRoutes, "no more routes than were told");
        }
    }

    base::Reader in_;
    Mesh mesh_;
    bool quiet_ = false;
    unsigned lost_ = 0, doubled_ = 0, held_ = 0;
    std::size_t packets_ = 0, told_ = 0;
    Duration played_{};
    SeqNo hello_ = 0;
    std::vector<Traffic> counters_;
    std::vector<std::pair<std::size_t, AckRequest>> owed_;
    base::Bytes last_heard_;
    std::array<RouterId, kNodes> names_{0x1000, 0x1001, 0x1002};
    std::map<RouterId, SeqNo> first_seqno_;
    std::set<RouterId> wild_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size > 1024) return 0;
    try {
        Play(base::ByteView(bytes, size)).run();
    } catch (const Broken& broken) {
        std::cerr << broken.what() << "\n";
        std::abort();
    }
    return 0;
}
