// Any bytes as authenticated packets, beside a key holder that can sign them, count and answer challenges:
// nothing crashes, what is not authentic does nothing, no packet is accepted twice, and all that is sent is
// signed.

#include "babel/constants.hpp"
#include "babel/mac.hpp"
#include "babel/packet.hpp"

#include <cstdlib>
#include <set>

using namespace aronet;
using namespace aronet::babel;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

const Address kOurs = *Address::parse("fe80::1");
const Address kPeers[] = {*Address::parse("fe80::a"), *Address::parse("fe80::b")};
const char kSecret[] = "0123456789abcdef0123456789abcdef";
const MacKey kKeys[] = {
    {MacAlgorithm::hmac_sha256, base::as_bytes(kSecret).first(32)},
    {MacAlgorithm::blake2s_128, base::as_bytes(kSecret).first(32)}};

// How one packet of the input is made and sent: one octet of it.
struct Manner {
    std::uint8_t bits;
    const Address& from() const { return kPeers[bits & 1]; }
    const Address& to() const { return (bits & 2) != 0 ? multicast_group() : kOurs; }
    bool is_signed() const { return (bits & 4) != 0; }
    const MacKey& key() const { return kKeys[bits >> 3 & 1]; }
    bool counted() const { return (bits & 16) != 0; }
    bool replies() const { return (bits & 32) != 0; }
    bool framed() const { return (bits & 64) != 0; }
    bool again() const { return (bits & 128) != 0; }  // the packet before once more
};

struct Stage {
    base::Random random = base::Random::from_number(7);
    Speaker speaker{{.router_id = 1, .seqno = 3}, random};
    MacLink gate{{{kKeys[0], kKeys[1]}}, 4, random};
    std::set<std::tuple<Address, bool, base::Bytes>> accepted;
    std::map<Address, base::Bytes> asked_by_speaker, asked_by_gate;
    Instant now{1000s};
    Actions out;

    Stage() {
        InterfaceConfig config;
        config.link_local = kOurs;
        config.hello_interval = 4s;
        config.mac.keys = {kKeys[0], kKeys[1]};
        speaker.add_interface(1, config, now, out);
        speaker.announce(Destination::of(*Prefix::parse("fd05::/64")), 0, now, out);
        look_at_what_was_sent();
    }

    void hear(const base::Bytes& bytes, const Manner& manner) {
        const Packet packet{
            .bytes = bytes, .from = manner.from(), .to = manner.to(), .in = 1, .received_at = now};
        speaker.tick(now, out);
        look_at_what_was_sent();
        const std::size_t neighbours = speaker.neighbours().size(), routes = speaker.routes().size();
        speaker.handle(packet, now, out);
        const bool sent = look_at_what_was_sent();
        if (!authentic(packet))
            require(!sent && speaker.neighbours().size() == neighbours && speaker.routes().size() == routes);
        judge(packet);
    }

    // Also of octets that were not signed here: the fuzzer repeats what it has seen.
    static bool authentic(const Packet& packet) {
        TlvWalker trailer(packet.bytes, TlvWalker::Part::trailer);
        while (const auto item = trailer.next()) {
            const Decoded tlv = decode(item->type, item->body);
            const auto* mac = tlv.tlv ? std::get_if<MacTlv>(&*tlv.tlv) : nullptr;
            if (mac == nullptr) continue;
            const std::size_t end = kHeaderSize + std::size_t(packet.bytes[2] << 8 | packet.bytes[3]);
            for (const MacKey& key : kKeys) {
                if (mac->mac == KeyedMac(key).of(packet.bytes.first(end), packet.from, packet.to))
                    return true;
            }
        }
        return false;
    }

    void judge(const Packet& packet) {
        const MacLink::Verdict verdict = gate.judge(packet, true, now);
        for (const Tlv& tlv : verdict.answers) {
            if (const auto* c = std::get_if<ChallengeRequest>(&tlv)) asked_by_gate[packet.from] = c->nonce;
        }
        if (verdict.proven)
            std::erase_if(accepted, [&](const auto& a) { return std::get<0>(a) == packet.from; });
        if (!verdict.accepted) return;
        const base::Bytes bytes(packet.bytes.begin(), packet.bytes.end());
        require(accepted.emplace(packet.from, packet.to.is_multicast(), bytes).second);
    }

    bool look_at_what_was_sent() {
        bool sent = false;
        for (const Action& action : out) {
            const auto* send = std::get_if<Send>(&action);
            if (send == nullptr) continue;
            sent = true;
            TlvWalker body(send->bytes), trailer(send->bytes, TlvWalker::Part::trailer);
            std::size_t counters = 0, macs = 0;
            while (const auto item = body.next()) {
                const Decoded tlv = decode(item->type, item->body);
                require(tlv.tlv && !tlv.ignore);
                if (std::holds_alternative<PacketCounter>(*tlv.tlv)) ++counters;
                if (const auto* c = std::get_if<ChallengeRequest>(&*tlv.tlv))
                    asked_by_speaker[send->to] = c->nonce;
            }
            while (trailer.next()) ++macs;
            require(counters == 1 && macs == 2 && send->bytes.size() + kIpAndUdpSize <= 1400);
        }
        out.clear();
        return sent;
    }

    void pass(unsigned ticks) {
        for (unsigned i = 0; i < ticks; ++i) {
            now = std::max(now, speaker.deadline()->at);
            speaker.tick(now, out);
            require(speaker.deadline()->at > now);
            while (gate.due(now)) {}
            require(!gate.deadline() || *gate.deadline() > now);
        }
        look_at_what_was_sent();
    }

    // What stands in the input, made more of a packet as its manner says.
    base::Bytes packet(base::ByteView input, const Manner& manner) const {
        base::Bytes bytes(input.begin(), input.end());
        if (manner.framed() || manner.counted() || manner.replies())
            bytes.insert(bytes.begin(), {kMagic, kVersion, 0, 0});
        base::Writer writer(bytes);
        if (manner.replies()) {
            for (const auto* asked : {&asked_by_speaker, &asked_by_gate}) {
                if (const auto it = asked->find(manner.from()); it != asked->end())
                    encode(ChallengeReply{it->second}, writer);
            }
        }
        const base::Byte n = input.empty() ? 0 : input.back();
        if (manner.counted()) encode(PacketCounter{n & 0x3fu, {static_cast<base::Byte>(n >> 6)}}, writer);
        if (bytes.size() < kHeaderSize || bytes.size() > 0xffff) return bytes;
        const std::size_t length = bytes.size() - kHeaderSize;
        if (manner.framed() || manner.counted() || manner.replies())
            bytes[2] = static_cast<base::Byte>(length >> 8), bytes[3] = static_cast<base::Byte>(length);
        if (!manner.is_signed() || bytes[0] != kMagic || std::size_t(bytes[2] << 8 | bytes[3]) != length)
            return bytes;
        const base::Bytes mac = KeyedMac(manner.key()).of(bytes, manner.from(), manner.to());
        base::Writer trailer(bytes);
        encode(MacTlv{mac}, trailer);
        return bytes;
    }
};

}  // namespace

// Packets as {manner, pause, size, octets}.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Stage stage;
    base::Reader in{base::ByteView(data, size)};
    base::Bytes bytes;
    Manner last{0};
    while (in.left() > 0) {
        Manner manner{in.u8()};
        const unsigned pause = in.u8() % 8;
        const std::size_t length = in.u8();
        const base::ByteView part = in.take(std::min(length, in.left()));
        if (!manner.again()) {
            bytes = stage.packet(part, manner);
            last = manner;
        }
        stage.hear(bytes, manner.again() ? Manner{static_cast<std::uint8_t>(last.bits | 128)} : manner);
        stage.pass(pause);
    }
    stage.pass(10);
    return 0;
}
