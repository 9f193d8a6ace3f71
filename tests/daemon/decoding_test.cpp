// All that our engines say, read by tshark with their keys: every message to its last inner payload, and
// nothing malformed. The conversations are played in virtual time and written as a capture with the tables of
// keys.

#include "esp/fixtures.hpp"
#include "ike/constants.hpp"
#include "ike/rekeying.hpp"
#include "overlay/key_table.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

using namespace aronet;
using base::Writer;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// A capture of raw IPv4 (link type 101), and what decrypts it.
class Recording {
public:
    explicit Recording(const std::string& name)
        : folder_(
              std::filesystem::temp_directory_path() / ("aronet-" + name + "-" + std::to_string(getpid()))
          ) {
        std::filesystem::create_directories(folder_);
        Writer out(capture_);
        for (const std::uint32_t word : {0xa1b2c3d4u, 0x00020004u, 0u, 0u, 65535u, 101u}) out.u32(word);
    }
    ~Recording() { std::filesystem::remove_all(folder_); }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    void add(const Endpoint& from, const Endpoint& to, ByteView payload) {
        const auto size = static_cast<std::uint32_t>(28 + payload.size());
        Writer out(capture_);
        for (const std::uint32_t word : {frames_++, 0u, size, size}) out.u32(word);
        out.u32(0x45000000 | size);
        out.u32(0);
        out.u32(0x40110000);  // UDP
        out.put(from.address.bytes());
        out.put(to.address.bytes());
        out.u16(from.port);
        out.u16(to.port);
        out.u16(static_cast<std::uint16_t>(8 + payload.size()));
        out.u16(0);
        out.put(payload);
    }
    void add(const Dialogue& d) {
        for (const Passing& message : d.sent) add(message.from, message.to, message.bytes);
        for (const Side* side : {&d.a, &d.b}) {
            for (const KeysMade& keys : side->keys) ike_.insert(overlay::ike_row(keys));
        }
    }
    void add(const base::Sa& sa) { esp_.insert(overlay::esp_row(sa)); }
    std::size_t frames() const { return frames_; }

    // A line for each frame that the filter holds for, with these fields.
    std::vector<std::string> read(const std::string& filter, const std::string& fields) const {
        write();
        const std::string command =
            "WIRESHARK_CONFIG_DIR=" + folder_.string() + " tshark -r " + (folder_ / "all.pcap").string() +
            " -d udp.port==12025,udpencap" +
            " -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE" + " -Y '" +
            filter + "' " + fields + " 2>" + (folder_ / "said").string();
        FILE* pipe = popen(command.c_str(), "r");
        REQUIRE(pipe != nullptr);
        std::string text;
        char buffer[4096];
        while (const std::size_t size = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
        const int status = pclose(pipe);
        INFO(std::ifstream(folder_ / "said").rdbuf());
        REQUIRE(status == 0);
        std::vector<std::string> lines;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) lines.push_back(line);
        return lines;
    }

private:
    void write() const {
        std::ofstream(folder_ / "all.pcap", std::ios::binary)
            .write(
                reinterpret_cast<const char*>(capture_.data()), static_cast<std::streamsize>(capture_.size())
            );
        std::ofstream ike(folder_ / "ikev2_decryption_table"), esp(folder_ / "esp_sa");
        for (const std::string& row : ike_) ike << row << "\n";
        for (const std::string& row : esp_) esp << row << "\n";
    }

    std::filesystem::path folder_;
    Bytes capture_;
    std::uint32_t frames_ = 0;
    std::set<std::string> ike_, esp_;
};

bool has_tshark() {
    if (std::system("tshark --version >/dev/null 2>&1") == 0) return true;
    std::cout << "left out: there is no tshark\n";
    return false;
}

EngineConfig telling(std::size_t fragment_size = 1280) {
    EngineConfig config;
    config.tells_keys = true;
    config.fragment_size = fragment_size;
    return config;
}

std::unique_ptr<Dialogue> between(std::uint64_t seed, const EngineConfig& config) {
    return std::make_unique<Dialogue>(seed, copy(config), copy(config));
}

// Everything that the life of a tunnel has: rekeyings of both kinds by both sides and at once, a silence, the
// end.
std::unique_ptr<Dialogue> whole_life(std::uint64_t seed, const EngineConfig& config) {
    auto made = between(seed, config);
    Dialogue& d = *made;
    d.both_connect().advance(1s).expect_tunnel();
    for (Side* side : {&d.a, &d.b}) {
        rekey(d, *side);
        d.advance(7s);
        renew(d, *side);
        d.advance(1s);
    }
    for (Side* side : {&d.a, &d.b}) rekey(d, *side);
    d.advance(7s);
    for (Side* side : {&d.a, &d.b}) renew(d, *side);
    d.advance(30s).expect_tunnel();  // nobody says anything but to ask after the other
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
    d.advance(1s);
    return made;
}

std::unique_ptr<Dialogue> with_secrets(std::uint64_t seed, bool psk, bool ppk) {
    auto d = between(seed, telling());
    const auto change = [&](Peer& peer) {
        if (psk) {
            peer.psk = SharedSecret(base::as_bytes("what both of them know"));
            peer.remote_keys.clear();
        }
        if (ppk)
            peer.ppk = Ppk{"one", SharedSecret(base::as_bytes("what nobody can compute, ever, of 32")), true};
    };
    d->connect(change, change).advance(2s).expect_tunnel();
    return d;
}

std::unique_ptr<Dialogue> with_cookie(std::uint64_t seed) {
    auto strict = telling();
    strict.cookie_threshold = 0;
    auto d = between(seed, strict);
    d->both_connect().advance(2s).expect_tunnel();
    return d;
}

std::unique_ptr<Dialogue> refused(
    std::uint64_t seed, const std::function<void(Dialogue&, Peer& of_b)>& change
) {
    auto d = between(seed, telling());
    d->connect([](Peer&) {}, [&](Peer& peer) { change(*d, peer); }).advance(5s);
    return d;
}

// b and a stranger whose messages call for answers that no engine of ours would.
std::unique_ptr<Dialogue> odd_questions(std::uint64_t seed) {
    auto made = std::make_unique<Dialogue>(seed, EngineConfig(), telling());
    Dialogue& d = *made;
    Peer peer = d.peer_of_b();
    peer.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    Stranger s(d, seed);
    auto payloads = s.init_payloads();
    payloads[1] = KePayload{14, Bytes(256, 3)};
    s.deliver(encode(s.init_header(), payloads));  // INVALID_KE_PAYLOAD
    Header newer = s.init_header();
    newer.version = 0x30;
    s.deliver(encode(newer, s.init_payloads()));  // INVALID_MAJOR_VERSION
    REQUIRE(s.init());
    auto auth = s.auth_payloads();
    auth.resize(3);
    REQUIRE(s.request(ExchangeType::ike_auth, auth));  // childless
    s.request(
        ExchangeType::informational, {OpaquePayload{200, true, {1, 2, 3}}}
    );  // UNSUPPORTED_CRITICAL_PAYLOAD
    s.request(
        ExchangeType::create_child_sa,
        {NotifyPayload{notify::rekey_sa, Protocol::esp, Bytes(4, 9), {}},
         offer_esp(77),
         NoncePayload{Bytes(32, 1)},
         any_selectors(false),
         any_selectors(true)}
    );
    SaPayload offer = offer_esp(0x1078);
    offer.proposals.front().transforms.push_back({TransformType::ke, group::curve25519, {}});
    const auto child = [&](std::uint16_t number, const Bytes& value) {
        s.request(
            ExchangeType::create_child_sa,
            {offer,
             NoncePayload{Bytes(32, 1)},
             KePayload{number, value},
             any_selectors(false),
             any_selectors(true)}
        );
    };
    child(group::ecp256, Bytes(64, 4));      // INVALID_KE_PAYLOAD on the SA
    renew(d, d.b);                           // to which the stranger says nothing
    child(group::curve25519, Bytes(32, 9));  // TEMPORARY_FAILURE
    s.request(ExchangeType::create_child_sa, {NoncePayload{Bytes(32, 1)}});  // INVALID_SYNTAX
    d.advance(5s);
    return made;
}

void add_everything(Recording& all) {
    all.add(*whole_life(1, telling()));
    all.add(*whole_life(2, telling(300)));
    all.add(*with_secrets(3, true, false));
    all.add(*with_secrets(4, false, true));
    all.add(*with_secrets(5, true, true));
    all.add(*with_cookie(6));
    all.add(*refused(7, [](Dialogue&, Peer& peer) { peer.remote_keys = {PublicKey{1}}; }));
    all.add(*refused(8, [](Dialogue& d, Peer&) { d.b.refuses = true; }));
    all.add(*refused(9, [](Dialogue&, Peer& peer) { peer.child.mode = base::SaMode::transport; }));
    all.add(*odd_questions(10));
    auto again = between(11, telling());  // INVALID_IKE_SPI, and an attempt beside
    again->a_unknown = true;
    again->both_connect().advance(4s).expect_tunnel();
    again->restart(again->b, 77);
    again->advance(10s);
    all.add(*again);
    auto terms = between(12, telling());  // transport mode, extended sequence numbers
    const auto odd = [](Peer& peer) {
        peer.child.mode = base::SaMode::transport;
        peer.child.esn = Esn::preferred;
    };
    terms->connect(odd, odd).advance(2s).expect_tunnel();
    all.add(*terms);
    auto disjoint = between(13, telling());  // TS_UNACCEPTABLE
    const auto only = [](std::uint8_t protocol) {
        return [protocol](Peer& peer) {
            peer.child.local = {TrafficSelector::any(base::Family::v4)};
            peer.child.local[0].ip_protocol = protocol;
        };
    };
    disjoint
        ->connect(
            only(6),
            [&](Peer& peer) {
                only(89)(peer);
                peer.child.remote = peer.child.local;
            }
        )
        .advance(5s);
    all.add(*disjoint);
}

}  // namespace

TEST_CASE("tshark reads all that we say to its end, and finds nothing malformed") {
    if (!has_tshark()) return;
    Recording all("decoding");
    add_everything(all);
    CHECK(all.frames() > 150);
    for (const std::string& line : all.read("_ws.malformed || _ws.expert.severity == error", "-V"))
        UNSCOPED_INFO(line);
    CHECK(all.read("_ws.malformed || _ws.expert.severity == error", "").empty());
    const std::string number = "-T fields -e frame.number";
    CHECK(all.read("isakmp", number).size() == all.frames());
    // An encrypted payload (46) with nothing of its inside, or fragments (53) that never became whole.
    CHECK(
        all.read("isakmp.typepayload == 46 && !isakmp.enc.decrypted", number) == std::vector<std::string>()
    );
    for (const std::uint16_t error :
         {notify::unsupported_critical_payload,
          notify::invalid_ike_spi,
          notify::invalid_major_version,
          notify::invalid_syntax,
          notify::no_proposal_chosen,
          notify::invalid_ke_payload,
          notify::authentication_failed,
          notify::ts_unacceptable,
          notify::temporary_failure,
          notify::child_sa_not_found}) {
        INFO(error);
        CHECK(!all.read("isakmp.notify.msgtype == " + std::to_string(error), number).empty());
    }
    // On an SA, too, where a child of its own group is asked for.
    CHECK(!all.read("isakmp.exchangetype == 36 && isakmp.notify.msgtype == 17", number).empty());
}

TEST_CASE("tshark reads what our own ESP seals") {
    if (!has_tshark()) return;
    Recording all("esp");
    auto random = base::Random::from_number(1);
    std::uint32_t spi = 0x1000;
    for (const auto suite : esp::test::kSuites) {
        const base::Sa sa = esp::test::sa(base::Direction::out, suite, ++spi);
        if (overlay::esp_row(sa).empty()) continue;  // ChaCha20-Poly1305
        const auto out = esp::OutboundSa::make(sa, random);
        REQUIRE(out);
        Bytes room(2048);
        const Bytes inner = esp::test::ipv4(100);
        std::ranges::copy(inner, room.begin() + esp::kHeadroom);
        esp::Packet packet;
        packet.room = room;
        packet.at = esp::kHeadroom;
        packet.size = inner.size();
        out->seal(packet, esp::test::kNow);
        REQUIRE(packet.drop == esp::Drop::none);
        all.add(sa.source, sa.destination, packet.bytes());
        all.add(sa);
    }
    CHECK(all.frames() == esp::test::kSuites.size() - 1);
    CHECK(all.read("udp.port == 23130", "").size() == all.frames());  // 5a5a, as all of the inner packet
    // Of ESP itself: what is inside is no UDP that anybody would send.
    const std::vector<std::string> good(all.frames(), "1");
    CHECK(all.read("esp", "-T fields -e esp.icv_good") == good);
}
