// Any bytes as a packet to a Speaker with two interfaces, a neighbour and a route: nothing crashes, time
// stays sound, no unfeasible route is selected, and every TLV that is read is written as it was and read the
// same again.

#include "babel/constants.hpp"
#include "babel/packet.hpp"
#include "babel/speaker.hpp"

#include <cstdlib>

using namespace aronet;
using namespace aronet::babel;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void check_round_trip(base::ByteView bytes) {
    TlvWalker walker(bytes);
    while (const auto item = walker.next()) {
        const Decoded first = decode(item->type, item->body);
        if (!first.tlv || first.ignore) continue;
        base::Bytes written;
        base::Writer out(written);
        encode(*first.tlv, out);
        require(!out.failed() && written.size() >= 2 && written[1] == written.size() - 2);
        const Decoded second = decode(written[0], base::ByteView(written).subspan(2));
        require(second.tlv && !second.ignore && *second.tlv == *first.tlv);
    }
}

struct Stage {
    base::Random random = base::Random::from_number(7);
    Speaker speaker{{.router_id = 1, .seqno = 3}, random};
    Instant now{1000s};
    Actions out;
    Address peer = *Address::parse("fe80::a");

    Stage() {
        for (const InterfaceId id : {1u, 2u}) {
            InterfaceConfig config;
            config.link_local = *Address::parse(id == 1 ? "fe80::1" : "fe80::2");
            config.type = id == 1 ? LinkType::tunnel : LinkType::lossy;
            config.hello_interval = 4s;
            speaker.add_interface(id, config, now, out);
            for (SeqNo i = 0; i < 2; ++i) {
                PacketWriter writer(1000);
                writer.add(Tlv(Hello{.seqno = i, .interval = {400}, .timestamp = 5}));
                writer.add(Tlv(Ihu{.rxcost = 96, .interval = {1200}}));
                const Destination about = Destination::of(*Prefix::parse("fd00::/64"));
                writer.add(
                    Announcement{about, 0xaa, peer, 1, {400}, static_cast<Metric>(100 * id)}, Encoding::v4
                );
                hear(id, writer.finish());
            }
        }
        speaker.announce(Destination::of(*Prefix::parse("fd05::/64")), 0, now, out);
    }

    void hear(InterfaceId on, const base::Bytes& bytes) {
        speaker.handle(
            {.bytes = bytes, .from = peer, .to = multicast_group(), .in = on, .received_at = now}, now, out
        );
    }

    void check() {
        for (const RouteView& r : speaker.routes())
            require(!r.selected || (r.feasible && r.metric < kInfinity));
        for (const Action& action : out) {
            const auto* send = std::get_if<Send>(&action);
            if (send == nullptr) continue;
            PacketReader reader(send->bytes, peer);
            while (const auto event = reader.next()) require(!std::holds_alternative<Malformed>(*event));
        }
        out.clear();
    }

    void pass(int ticks) {
        for (int i = 0; i < ticks; ++i) {
            const auto due = speaker.deadline();
            if (!due) return;
            require(i == 0 || due->at > now);
            now = std::max(now, due->at);
            speaker.tick(now, out);
        }
    }
};

}  // namespace

// The first octet says how the rest is cut into packets and how much time passes between them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const base::ByteView input(data + 1, size - 1);
    check_round_trip(input);
    Stage stage;
    const std::size_t packets = 1 + data[0] % 4;
    for (std::size_t i = 0; i < packets; ++i) {
        const base::ByteView part = input.subspan(
            input.size() * i / packets, input.size() * (i + 1) / packets - input.size() * i / packets
        );
        base::Bytes bytes(part.begin(), part.end());
        if ((data[0] & 0x80) != 0 && bytes.size() >= kHeaderSize) {  // a header that fits, to get past it
            const std::size_t length = bytes.size() - kHeaderSize;
            bytes[0] = kMagic, bytes[1] = kVersion;
            bytes[2] = static_cast<base::Byte>(length >> 8), bytes[3] = static_cast<base::Byte>(length);
            check_round_trip(bytes);
        }
        stage.hear(1 + static_cast<InterfaceId>(i % 2), bytes);
        stage.pass((data[0] >> 2) % 8);
        stage.check();
    }
    stage.pass(20);
    stage.check();
    stage.speaker.remove_interface(1, stage.now, stage.out);
    stage.pass(5);
    stage.check();
    return 0;
}
