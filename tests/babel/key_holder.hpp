#pragma once

// Peers that hold keys: packets with exactly the counters, challenges and MACs that a test wants.

#include "babel/desk.hpp"
#include "babel/mac.hpp"

namespace aronet::babel {

inline MacKey hmac_key(const char* secret = "0123456789abcdef0123456789abcdef") {
    return {MacAlgorithm::hmac_sha256, base::as_bytes(secret)};
}
inline MacKey blake_key(const char* secret = "an ancient key of thirty-two oct") {
    return {MacAlgorithm::blake2s_128, base::as_bytes(secret)};
}

inline base::Bytes with_macs(
    base::Bytes packet, const Address& from, const Address& to, const std::vector<MacKey>& keys
) {
    base::Bytes trailer;
    base::Writer out(trailer);
    for (const MacKey& key : keys) encode(MacTlv{KeyedMac(key).of(packet, from, to)}, out);
    packet.insert(packet.end(), trailer.begin(), trailer.end());
    return packet;
}

inline base::Bytes authentic_packet(
    const std::vector<Tlv>& body, const Address& from, const Address& to, const std::vector<MacKey>& keys
) {
    PacketWriter writer(60000);
    for (const Tlv& tlv : body) REQUIRE(writer.add(tlv));
    return with_macs(writer.finish(), from, to, keys);
}

template <class T>
std::vector<T> all_of(const std::vector<Tlv>& tlvs) {
    std::vector<T> found;
    for (const Tlv& tlv : tlvs) {
        if (const auto* t = std::get_if<T>(&tlv)) found.push_back(*t);
    }
    return found;
}

// What stands in a packet, trailer included.
inline std::vector<Tlv> tlvs_of(base::ByteView packet) {
    std::vector<Tlv> tlvs;
    for (const auto part : {TlvWalker::Part::body, TlvWalker::Part::trailer}) {
        TlvWalker walker(packet, part);
        while (const auto item = walker.next()) tlvs.push_back(decode(item->type, item->body).tlv.value());
        REQUIRE_FALSE(walker.malformed());
    }
    return tlvs;
}

const Address kUsLocal = ip("fe80::1");
const Address kPeer = ip("fe80::a");
const Address kOther = ip("fe80::b");
const base::Bytes kIndex{1, 2, 3, 4, 5, 6, 7, 8};
const base::Bytes kIndex2{8, 7, 6, 5, 4, 3, 2, 1};
const Hello kHello{.seqno = 1, .interval = {400}};

inline MacConfig mac_keys(std::vector<MacKey> list, bool permissive = false) {
    return {std::move(list), permissive};
}

inline PacketCounter counter(std::uint32_t pc, const base::Bytes& index = kIndex) { return {pc, index}; }

// Our side of a link, and what peers send to it.
struct Gate {
    explicit Gate(MacConfig config = mac_keys({hmac_key()}), std::size_t peers_max = 16)
        : mac(config, peers_max, random) {}

    MacLink::Verdict take_bytes(
        const base::Bytes& packet, const Address& to = kUsLocal, const Address& from = kPeer
    ) {
        return mac.judge({.bytes = packet, .from = from, .to = to}, neighbour, now);
    }
    MacLink::Verdict take(
        const std::vector<Tlv>& body, const Address& to = kUsLocal, const Address& from = kPeer
    ) {
        return take_bytes(authentic_packet(body, from, to, {key}), to, from);
    }
    // Some packet provokes a challenge, and this one answers it.
    void prove(const PacketCounter& with = counter(10), const Address& from = kPeer) {
        const auto asked = all_of<ChallengeRequest>(take({counter(1, with.index)}, kUsLocal, from).answers);
        REQUIRE(asked.size() == 1);
        REQUIRE(take({ChallengeReply{asked[0].nonce}, with}, kUsLocal, from).proven);
    }
    bool accepts(std::uint32_t pc, const Address& to = kUsLocal, const base::Bytes& index = kIndex) {
        return take({kHello, counter(pc, index)}, to).accepted;
    }
    std::vector<ChallengeRequest> challenges_until(Duration later) {
        std::vector<ChallengeRequest> found;
        const Instant end = now + later;
        while (mac.deadline() && *mac.deadline() <= end) {
            now = std::max(now, *mac.deadline());
            while (const auto due = mac.due(now)) {
                for (const auto& c : all_of<ChallengeRequest>(due->tlvs)) found.push_back(c);
            }
        }
        now = end;
        return found;
    }

    base::Random random = base::Random::from_number(5);
    MacLink mac;
    MacKey key = hmac_key();
    Instant now{1000s};
    bool neighbour = false;
};

// What a link sends.
inline base::Bytes signed_by(MacLink& mac, const Address& to = multicast_group()) {
    PacketWriter writer(1000);
    REQUIRE(writer.add(Tlv(kHello)));
    base::Bytes packet = writer.finish();
    mac.sign(packet, kUsLocal, to);
    return packet;
}

inline PacketCounter counter_of(const base::Bytes& packet) {
    const auto counters = all_of<PacketCounter>(tlvs_of(packet));
    REQUIRE(counters.size() == 1);
    return counters[0];
}

}  // namespace aronet::babel
