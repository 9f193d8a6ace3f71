// MACs as others compute them: known answers, babeld's own tests, and the recorded conversations of babeld
// and BIRD, in which every packet must be authentic to whoever holds the key.

#include "babel/key_holder.hpp"
#include "babel/pcap.hpp"
#include "test_data.hpp"

#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::babel;

namespace {

MacKey key_of(std::string_view algorithm, const base::Bytes& secret) {
    return {parse_mac_algorithm(algorithm).value(), secret};
}

base::Bytes hex(const std::string& text) { return base::from_hex(text).value(); }

const char* const kSharedKey = "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f";
const char* const kSecondKey = "112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00";

struct Recording {
    const char* name;
    std::vector<MacKey> keys;
};

std::vector<Recording> recordings() {
    const MacKey hmac = key_of("hmac-sha256", hex(kSharedKey));
    const MacKey blake = key_of("blake2s128", hex(kSharedKey));
    return {
        {"babeld114-bird2192-mac-sha256", {hmac}},
        {"babeld112-bird2012-mac-blake2s", {blake}},
        {"bird2012-bird2012-mac-two-keys", {blake}},
        {"bird2012-bird2012-mac-two-keys", {key_of("hmac-sha256", hex(kSecondKey))}},
    };
}

bool passes_mac_test(const std::vector<MacKey>& keys, const Captured& packet) {
    base::Random random = base::Random::from_number(1);
    MacLink mac({keys}, 16, random);
    const auto verdict =
        mac.judge({.bytes = packet.payload, .from = packet.from, .to = packet.to}, false, {});
    return verdict.refused == MacDrop::unproven;  // the next thing to ask for
}

}  // namespace

// From Python's hashlib and hmac, over the pseudo-header of section 4.1 written by hand.
TEST_CASE("MACs are those of an independent implementation, for IPv6 and IPv4, short and long keys") {
    const base::Bytes packet = hex("2a0200160406000000010190110c000000010102030405060708");
    base::Bytes counting(100);
    for (std::size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<base::Byte>(i);
    const base::Bytes counting_32(counting.begin(), counting.begin() + 32), k{'k'};
    const struct {
        const char *from, *to, *algorithm;
        base::Bytes key;
        const char* mac;
    } list[] = {
        {"fe80::a",
         "ff02::1:6",
         "hmac-sha256",
         k,
         "1da874916f3a564f5f1f4ee9234881c5fadc9d63c4859807651c2b117586f35c"},
        {"fe80::a",
         "ff02::1:6",
         "hmac-sha256",
         counting,
         "62de62e3abafe58a84470f8ee91dee6b73af065c692206ccecdaea1e1b2dc422"},
        {"fe80::a", "ff02::1:6", "blake2s128", k, "326de97b1eae712fb4daa100c6f29a57"},
        {"fe80::a", "ff02::1:6", "blake2s128", counting_32, "3ddf1779e6c0fb393e46c1c425ae7c0f"},
        {"fe80::a",
         "fe80::1",
         "hmac-sha256",
         k,
         "7e76a4dead397e6e3dbe166d95d9eb91a16d6b87510e301f5665606acee6355b"},
        {"fe80::a", "fe80::1", "blake2s128", k, "e9c13102c5bbf7cc64f6152024585dc5"},
        {"192.0.2.1",
         "224.0.0.111",
         "hmac-sha256",
         k,
         "d21b2fcf19e3348ee8b364c746fcabd81a75a91db3d5793aaab7fafbfa072c99"},
        {"192.0.2.1", "224.0.0.111", "blake2s128", counting_32, "0eec170a45f96a257e77e4aacc6f13d8"},
    };
    for (const auto& row : list) {
        const KeyedMac mac(key_of(row.algorithm, row.key));
        CHECK(base::to_hex(mac.of(packet, ip(row.from), ip(row.to))) == row.mac);
        CHECK(base::to_hex(mac.of(packet, ip(row.from), ip(row.to))) == row.mac);  // and again
    }
}

TEST_CASE("babeld's own test vectors for MACs") {
    const auto path = test_data("babel/mac_vectors.json");
    if (!path) return;
    std::size_t count = 0;
    for (const auto& row : nlohmann::json::parse(slurp(*path))) {
        const MacKey key = key_of(row["alg"].get<std::string>(), hex(row["key"]));
        const Address from = ip(row["src"].get<std::string>().c_str());
        const Address to = ip(row["dst"].get<std::string>().c_str());
        base::Bytes packet = hex(row["packet"]);
        if (row["kind"] == "compute") {
            CHECK(base::to_hex(KeyedMac(key).of(packet, from, to)) == row["mac"]);
        } else {
            const base::Bytes trailer = hex(row["trailer"]);
            packet.insert(packet.end(), trailer.begin(), trailer.end());
            CHECK(passes_mac_test({key}, {{}, from, to, packet}) == (row["expect"] == 1));
        }
        ++count;
    }
    CHECK(count == 4);
}

TEST_CASE("every packet of babeld and BIRD is authentic to whoever holds a key of theirs, and to nobody else"
) {
    for (const Recording& recording : recordings()) {
        CAPTURE(recording.name);
        const auto packets = read_pcap(kVectors + recording.name + ".pcap");
        CHECK(packets.size() > 20);
        for (Captured packet : packets) {
            CHECK(passes_mac_test(recording.keys, packet));
            CHECK(passes_mac_test({hmac_key(), blake_key(), recording.keys[0]}, packet));
            CHECK_FALSE(passes_mac_test({hmac_key(), blake_key()}, packet));
            packet.payload[packet.payload.size() / 3] ^= 0x10;
            CHECK_FALSE(passes_mac_test(recording.keys, packet));
        }
    }
}

TEST_CASE("babeld and BIRD sign as we do: one of their packets signed by us is the same") {
    for (const Recording& recording : recordings()) {
        for (const Captured& packet : read_pcap(kVectors + recording.name + ".pcap")) {
            const auto tlvs = tlvs_of(packet.payload);
            const std::size_t body = kHeaderSize + std::size_t(packet.payload[2] << 8 | packet.payload[3]);
            const auto macs = all_of<MacTlv>(tlvs);
            const auto ours = KeyedMac(recording.keys[0])
                                  .of(base::ByteView(packet.payload).first(body), packet.from, packet.to);
            CHECK(std::count(macs.begin(), macs.end(), MacTlv{ours}) == 1);
            CHECK(all_of<PacketCounter>(tlvs).size() == 1);
        }
    }
}

TEST_CASE("what was recorded cannot be replayed: every packet is challenged, none is believed") {
    for (const Recording& recording : recordings()) {
        InterfaceConfig link = Desk::link("fe80::1");
        link.mac.keys = recording.keys;
        Desk desk;
        desk.plug(1, link);
        std::size_t heard = 0;
        for (const Captured& packet : read_pcap(kVectors + recording.name + ".pcap")) {
            if (!packet.to.is_multicast()) continue;
            desk.pass(500ms);
            desk.deliver(
                {.bytes = packet.payload,
                 .from = packet.from,
                 .to = packet.to,
                 .in = 1,
                 .received_at = desk.now}
            );
            ++heard;
        }
        CHECK(desk.speaker.neighbours().empty());
        CHECK(desk.speaker.routes().empty());
        CHECK(desk.dropped(std::string(to_string(MacDrop::unproven))) == heard);
    }
}
