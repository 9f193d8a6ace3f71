// Conversations of babeld and BIRD, recorded by us (tests/vectors/babel), and the samples of tcpdump: what
// tcpdump reads in each packet is what we read.

#include "babel/constants.hpp"
#include "babel/pcap.hpp"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>

using namespace aronet;
using namespace aronet::babel;

namespace {

template <class... Args>
std::string print(const char* format, Args... args) {
    char text[200];
    std::snprintf(text, sizeof text, format, args...);
    return text;
}

std::string seconds_of(Interval i) {
    return i.centiseconds == 0xffff ? "infinity" : print("%.2fs", i.centiseconds / 100.0);
}
std::string stamp(std::uint32_t t) { return print("%.6fs", t / 1000000.0); }

std::string id_of(RouterId id) {
    std::string text;
    for (int shift = 56; shift >= 0; shift -= 8)
        text += print(shift == 56 ? "%02x" : ":%02x", unsigned(id >> shift & 0xff));
    return text;
}

const char* const kUnknownToTcpdump = "Update (invalid)";  // what tcpdump 4.99 calls IPv4 via IPv6

// Our reading, in the words of tcpdump.
class Words {
public:
    std::string of(std::uint8_t type, base::ByteView body) {
        const Decoded decoded = decode(type, body);
        if (!decoded.tlv) return "";
        return std::visit([this](const auto& tlv) { return words(tlv); }, *decoded.tlv);
    }

private:
    std::string words(const PadN&) { return ""; }
    std::string words(const AckRequest& t) {
        return print("Acknowledgment Request %04x interval ", t.opaque) + seconds_of(t.interval);
    }
    std::string words(const Ack& t) { return print("Acknowledgment %04x", t.opaque); }
    std::string words(const Hello& t) {
        return print("Hello seqno %u ", t.seqno) +
               (t.interval.centiseconds == 0 ? "unscheduled" : "interval " + seconds_of(t.interval)) +
               (t.timestamp ? " sub-timestamp " + stamp(*t.timestamp) : "");
    }
    std::string words(const Ihu& t) {
        return "IHU " + (t.address ? t.address->to_string() : "any") +
               print(" rxcost %u interval ", t.rxcost) + seconds_of(t.interval) +
               (t.echo ? " sub-timestamp " + stamp(t.echo->origin) + "|" + stamp(t.echo->received) : "");
    }
    std::string words(const RouterIdTlv& t) { return "Router Id " + id_of(t.id); }
    std::string words(const NextHop& t) { return "Next Hop " + t.address.to_string(); }
    std::string words(const RouteRequest& t) {
        return "Route Request for " + (t.about ? t.about->prefix.to_string() : "any");
    }
    std::string words(const SeqnoRequest& t) {
        return print("Seqno Request (%u hops) for ", t.hop_count) + t.about.prefix.to_string() +
               print(" seqno %u id ", t.seqno) + id_of(t.router_id);
    }
    std::string words(const MacTlv& t) { return print("MAC len %zu", t.mac.size()); }
    std::string words(const PacketCounter& t) {
        return print("PC value %u index len %zu", t.pc, t.index.size());
    }
    std::string words(const ChallengeRequest& t) {
        return print("Challenge Request len %zu", t.nonce.size());
    }
    std::string words(const ChallengeReply& t) { return print("Challenge Reply len %zu", t.nonce.size()); }
    std::string words(const Update& t) {
        if (t.encoding == Encoding::v4_via_v6) return kUnknownToTcpdump;
        std::string prefix = "any";
        if (t.encoding != Encoding::wildcard) {
            const bool v4 = t.encoding == Encoding::v4;
            std::array<base::Byte, 16> octets{};
            auto& base = v4 ? default_v4_ : default_v6_;
            std::copy_n(base.begin(), t.omitted, octets.begin());
            std::copy_n(t.octets.begin(), t.octet_count(), octets.begin() + t.omitted);
            if (t.sets_default_prefix) base = octets;
            prefix =
                Prefix(*Address::from_bytes(base::ByteView(octets).first(v4 ? 4 : 16)), t.length).to_string();
        }
        return std::string("Update") + (t.sets_default_prefix ? "/prefix" : "") +
               (t.sets_router_id ? "/id" : "") + " " + prefix +
               print(" metric %u seqno %u interval ", t.metric, t.seqno) + seconds_of(t.interval);
    }

    std::array<base::Byte, 16> default_v4_{}, default_v6_{};
};

std::vector<std::string> our_reading(const std::string& pcap) {
    std::vector<std::string> lines;
    for (const Captured& packet : read_pcap(pcap)) {
        Words words;
        std::string line;
        for (const auto part : {TlvWalker::Part::body, TlvWalker::Part::trailer}) {
            TlvWalker walker(packet.payload, part);
            for (auto item = walker.next(); item && line != kUnknownToTcpdump; item = walker.next()) {
                line = words.of(item->type, item->body);
                if (!line.empty()) lines.push_back(line);  // it gives up the packet where it knows no further
            }
        }
    }
    return lines;
}

// The lines about TLVs, without the diversity sub-TLV, which we do not read.
std::vector<std::string> tcpdumps_reading(const std::string& path) {
    std::vector<std::string> lines;
    std::istringstream text(slurp(path));
    for (std::string line; std::getline(text, line);) {
        while (!line.empty() && line[0] == '\t') line.erase(0, 1);
        line = line.substr(0, line.find(" sub-diversity"));
        static const char* const ours[] = {
            "Hello ",
            "IHU ",
            "Router Id ",
            "Next Hop ",
            "Update",
            "Route Request ",
            "Seqno Request ",
            "Acknowledgment",
            "PC ",
            "Challenge ",
            "MAC "};
        for (const char* start : ours) {
            if (line.rfind(start, 0) == 0) lines.push_back(line);
        }
    }
    return lines;
}

const char* const kOurs[] = {
    "babeld114-babeld114-tunnel-rtt",
    "babeld114-bird2192-mac-sha256",
    "babeld114-bird2192-tunnel-rtt",
    "babeld114-bird2192-wired",
    "babeld112-bird2012-mac-blake2s",
    "bird2012-bird2012-mac-two-keys"};

}  // namespace

TEST_CASE("recorded conversations of babeld and BIRD are read as tcpdump reads them") {
    for (const std::string name : kOurs) {
        CAPTURE(name);
        const auto expected = tcpdumps_reading(kVectors + name + ".txt");
        CHECK(expected.size() > 90);
        CHECK(our_reading(kVectors + name + ".pcap") == expected);
    }
}

TEST_CASE("nothing that babeld and BIRD say is malformed to us") {
    for (const std::string name : kOurs) {
        for (const Captured& packet : read_pcap(kVectors + name + ".pcap")) {
            PacketReader reader(packet.payload, packet.from);
            while (const auto event = reader.next()) CHECK_FALSE(std::holds_alternative<Malformed>(*event));
        }
    }
}

TEST_CASE("what BIRD said to babeld teaches us its routes, its withdrawals and its leaving") {
    for (const std::string name : {"babeld114-bird2192-wired", "babeld114-bird2192-tunnel-rtt"}) {
        CAPTURE(name);
        const auto packets = read_pcap(kVectors + name + ".pcap");
        const Address babeld = packets.front().from;
        const auto is_bird = [&](const Captured& c) { return c.from != babeld; };
        const Address bird = std::find_if(packets.begin(), packets.end(), is_bird)->from;

        Desk desk;
        desk.plug(1, Desk::link(babeld.to_string().c_str()));
        desk.pass(10s);  // else stamps of babeld's clock would be those of a life before
        const Instant zero = desk.now - packets.front().at;
        bool had_v6 = false, had_v4 = false, lost_v6_while_v4 = false;
        for (const Captured& packet : packets) {
            desk.pass(std::max(Duration(0), zero + packet.at - desk.now));
            if (packet.from != bird) continue;
            desk.deliver(
                {.bytes = packet.payload, .from = bird, .to = packet.to, .in = 1, .received_at = desk.now}
            );
            const bool v6 = desk.forwarding.reaches(to("fd00::2/128"), bird);
            const bool v4 = desk.forwarding.ways.count(to("192.0.2.2/32")) > 0 &&
                            !desk.forwarding.unreachable(to("192.0.2.2/32"));
            had_v6 = had_v6 || v6;
            had_v4 = had_v4 || v4;
            lost_v6_while_v4 = lost_v6_while_v4 || (had_v6 && !v6 && v4);
        }
        CHECK(had_v6);
        CHECK(had_v4);
        CHECK(lost_v6_while_v4);
        desk.pass(300s);
        CHECK(desk.forwarding.ways.empty());
        CHECK(desk.speaker.neighbours().empty());
    }
}

TEST_CASE("tcpdump's own samples are read as it reads them, and crash nobody") {
    const char* data = std::getenv("ARONET_TEST_DATA");
    if (data == nullptr) {
        std::cout << "left out: tcpdump's samples (ARONET_TEST_DATA is not set)\n";
        return;
    }
    const std::string folder = std::string(data) + "/babel/tcpdump/";
    for (const std::string name : {"babel_rfc6126bis", "babel_rtt"}) {
        CAPTURE(name);
        CHECK(our_reading(folder + name + ".pcap") == tcpdumps_reading(folder + name + ".out"));
    }
    CHECK(our_reading(folder + "babel.pcap") == tcpdumps_reading(folder + "babel1v.out"));
    for (const std::string name :
         {"babel", "babel_auth", "babel_pad1", "babel_rfc6126bis", "babel_rtt", "babel_update_oobr"}) {
        Desk desk;
        desk.plug(1, Desk::link());
        for (const Captured& packet : read_pcap(folder + name + ".pcap")) {
            desk.pass(100ms);
            desk.deliver(
                {.bytes = packet.payload,
                 .from = packet.from,
                 .to = multicast_group(),
                 .in = 1,
                 .received_at = desk.now}
            );
        }
        desk.pass(60s);
    }
}
