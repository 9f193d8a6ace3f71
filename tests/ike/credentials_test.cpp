// Authentication by a shared secret (RFC 7296 2.15) and postquantum preshared keys (RFC 8784).

#include "ike/credentials.hpp"

#include "answerer.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* kSecret = "correct horse battery staple";
constexpr const char* kPpk = "a key that no eavesdropper has ever seen";

using Change = std::function<void(Peer&)>;

SharedSecret secret(const char* text) { return SharedSecret(base::as_bytes(text)); }

Change shares(const char* text) {
    return [text](Peer& peer) {
        peer.psk = secret(text);
        peer.remote_keys.clear();
    };
}

Change as_it_is() {
    return [](Peer&) {};
}

Change has_ppk(const char* id, bool required, const char* text = kPpk) {
    return [id, required, text](Peer& peer) { peer.ppk = Ppk{id, secret(text), required}; };
}

bool failed_for(const Side& side, const char* why) {
    return side.children.empty() && side.view().reason.find(why) != std::string::npos;
}

bool uses_ppk(const Side& side) { return side.view().ike_suite.ends_with("-ppk"); }

bool is_notify(const Payload& payload, std::uint16_t type) {
    const auto* said = std::get_if<NotifyPayload>(&payload);
    return said != nullptr && said->type == type;
}

// b, changed, waits for a stranger.
struct Desk {
    explicit Desk(const Change& of_b) {
        Peer peer = d.peer_of_b();
        peer.remote_endpoint.reset();
        of_b(peer);
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    }
    AuthPayload shared_auth(const char* text) {
        const Bytes octets = signed_octets(
            s.suite.prf, s.init_request, s.nonces.responder, s.keys->pi, id_body(d.peer_of_a().local)
        );
        const base::Secret data = shared_key_auth_data(s.suite.prf, base::as_bytes(text), octets);
        return {auth_method::shared_key, Bytes(data.view().begin(), data.view().end())};
    }
    bool init(bool with_ppk = false) {
        auto payloads = s.init_payloads();
        if (with_ppk) payloads.push_back(make_notify(notify::use_ppk));
        return s.init(payloads);
    }
    // IKE_AUTH with this AUTH payload and whatever else; let in?
    bool lets_in(const AuthPayload& auth, const std::vector<Payload>& more = {}) {
        auto payloads = s.auth_payloads();
        payloads[2] = auth;
        payloads.insert(payloads.end(), more.begin(), more.end());
        answer = s.request(ExchangeType::ike_auth, payloads);
        return answer && answer->find<AuthPayload>() != nullptr && answer->find_error() == nullptr;
    }
    bool told_failure() const {
        const NotifyPayload* error = answer ? answer->find_error() : nullptr;
        const bool told = error != nullptr && (error->type == notify::authentication_failed ||
                                               error->type == notify::invalid_syntax);
        return told && d.b.ups == 0;
    }
    // As RFC 8784 has the initiator sign, with the PPK or without.
    AuthPayload signed_auth(bool with_ppk) {
        const base::Secret pi =
            with_ppk ? mix_ppk(s.suite.prf, base::as_bytes(kPpk), *s.keys).pi : s.keys->pi.copy();
        const Bytes id = id_body(d.peer_of_a().local);
        const Bytes octets = signed_octets(s.suite.prf, s.init_request, s.nonces.responder, pi, id);
        return {auth_method::digital_signature, make_auth_data(key_of(d.a), octets)};
    }

    Dialogue d;
    Stranger s{d};
    std::optional<Message> answer;
};

NotifyPayload names(const char* id) {
    Bytes data;
    base::Writer out(data);
    out.u8(2);
    out.put(base::as_bytes(id));
    return make_notify(notify::ppk_identity, data);
}

}  // namespace

// --- Shared secrets ---

TEST_CASE("the AUTH data of a shared secret is what an implementation of the RFC's formula in Python says") {
    Bytes octets(100);
    for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<base::Byte>(i);
    const auto data = [&](Prf prf) {
        return base::to_hex(shared_key_auth_data(prf, base::as_bytes(kSecret), octets).view());
    };
    CHECK(data(Prf::hmac_sha2_256) == "5c3e4a51320be5f8e562c7ef017c8e1e99a0f6d197e64c8214005f929a17d051");
    CHECK(
        data(Prf::hmac_sha2_512) ==
        "0addf9d16ca802ae0282dcc933d11b9c8d9c08116c49361233cf849265fdb9a4"
        "e3303e2a5ec3c361bb629252ddb8415a9e5560bab1946c512dbdd692ac1dd022"
    );
}

TEST_CASE("two sides with one secret and no keys make a tunnel, whatever happens to a message") {
    for_each_fault([](Dialogue& d) {
        d.connect(shares(kSecret), shares(kSecret)).advance(12s).expect_tunnel();
    });
}

TEST_CASE("another secret, or a secret on one side alone, makes no tunnel and is in no log") {
    const std::vector<std::pair<Change, Change>> pairs{
        {shares(kSecret), shares("correct horse battery stable")},
        {shares(kSecret), as_it_is()},
        {as_it_is(), shares(kSecret)}};
    for (const auto& [of_a, of_b] : pairs) {
        Dialogue d;
        d.connect(of_a, of_b).advance(30s);
        CHECK(failed_for(d.a, "AUTHENTICATION_FAILED"));
        CHECK(d.b.ups == 0);
        CHECK(d.a.ups == 0);
        for (const Side* side : {&d.a, &d.b}) {
            for (const std::string& note : side->notes) CHECK(note.find("horse") == std::string::npos);
        }
    }
}

TEST_CASE("a secret is asked of its peer alone: others go on with their keys") {
    Dialogue d;
    Peer other = d.peer_of_b();
    other.id = 2;
    other.remote.common_name = "charlie";
    other.psk = secret(kSecret);
    other.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(other, d.now, out); });
    d.both_connect().advance(1s).expect_tunnel();
}

TEST_CASE("who shares a secret needs no signatures; a stranger with it is let in and answered by it") {
    Desk desk(shares(kSecret));
    auto payloads = desk.s.init_payloads();
    std::erase_if(payloads, [](const Payload& payload) {
        return is_notify(payload, notify::signature_hash_algorithms);
    });
    REQUIRE(desk.s.init(payloads));
    REQUIRE(desk.lets_in(desk.shared_auth(kSecret)));
    const AuthPayload& auth = *desk.answer->find<AuthPayload>();
    CHECK(auth.method == 2);
    const Bytes octets = signed_octets(
        desk.s.suite.prf,
        desk.s.init_response,
        desk.s.nonces.initiator,
        desk.s.keys->pr,
        desk.answer->find_id(true)->body
    );
    const base::Secret expected = shared_key_auth_data(desk.s.suite.prf, base::as_bytes(kSecret), octets);
    CHECK(base::equal_in_constant_time(expected.view(), auth.data));
}

TEST_CASE("B1: damaged proofs of a shared secret, and a good signature in their place, fail authentication") {
    const auto refuses = [](const std::function<void(AuthPayload&, Desk&)>& change) {
        Desk desk(shares(kSecret));
        REQUIRE(desk.init());
        AuthPayload auth = desk.shared_auth(kSecret);
        change(auth, desk);
        return !desk.lets_in(auth) && desk.told_failure();
    };
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.data.back() ^= 1; }));
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.data.pop_back(); }));
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.data.push_back(0); }));
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.data.clear(); }));
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.method = auth_method::digital_signature; }));
    CHECK(refuses([](AuthPayload& auth, Desk&) { auth.method = 13; }));
    CHECK(refuses([](AuthPayload& auth, Desk& desk) { auth = desk.shared_auth(""); }));
    CHECK(refuses([](AuthPayload& auth, Desk& desk) { auth = desk.signed_auth(false); }));
}

TEST_CASE("B8: a peer of keys that announces no Ed25519 fails even where others share a secret") {
    Desk desk(as_it_is());
    Peer other = desk.d.peer_of_b();
    other.id = 2;
    other.remote.common_name = "charlie";
    other.psk = secret(kSecret);
    desk.d.call(desk.d.b, [&](Engine& engine, Actions& out) { engine.connect(other, desk.d.now, out); });
    auto payloads = desk.s.init_payloads();
    std::erase_if(payloads, [](const Payload& payload) {
        return is_notify(payload, notify::signature_hash_algorithms);
    });
    REQUIRE(desk.s.init(payloads));
    CHECK_FALSE(desk.lets_in(desk.signed_auth(false)));
    CHECK(desk.told_failure());
}

TEST_CASE("B5: another secret closes the SA that the old one made, another address does not") {
    Dialogue d;
    d.connect(shares(kSecret), shares(kSecret)).advance(1s).expect_tunnel();
    const Endpoint elsewhere{*Address::parse("192.0.2.77"), 12025};
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.resolved(1, {elsewhere}, d.now, out); });
    d.advance(5s).expect_tunnel();
    CHECK(d.a.ups == 1);
    Peer changed = d.peer_of_a();
    shares("another")(changed);
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(changed, d.now, out); }).advance(5s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
    d.connect(shares("another"), shares("another")).advance(30s).expect_tunnel();
}

// --- Postquantum preshared keys ---

TEST_CASE("a PPK goes into three keys as an implementation of the RFC's formula in Python says, into no other"
) {
    const auto mixed = [](Prf prf) {
        IkeKeys keys;
        keys.d = base::Secret(Bytes(output_size(prf), 1));
        keys.pi = base::Secret(Bytes(output_size(prf), 2));
        keys.pr = base::Secret(Bytes(output_size(prf), 3));
        const PpkKeys out = mix_ppk(prf, base::as_bytes(kPpk), keys);
        return std::array{
            base::to_hex(out.d.view()), base::to_hex(out.pi.view()), base::to_hex(out.pr.view())};
    };
    CHECK(
        mixed(Prf::hmac_sha2_256) ==
        std::array<std::string, 3>{
            "9ff7856e72d5a73fc8366cebf7ca34de262dead31d5e84ffdbce8d1c1e6d0efb",
            "ccbbcb32ad663a6b2e1b3f8b911bf34f1be1dd42efe46a6aaef2a97d3a2c02c8",
            "00b6277e8d4aa1e0bdc89924a87cbc933723bac1c7ee38e915c2a7eb43e430f7"}
    );
    CHECK(
        mixed(Prf::hmac_sha2_384)[0] ==
        "d72a034b0ddd3ac6db2b26e09532d1423f452581370b91e3"
        "7c6e64490d35e25b0605aa6d0d596032e7916b24d28eec03"
    );
    CHECK(
        mixed(Prf::hmac_sha2_512)[2] ==
        "80d987a75cb09420ad765848a4878fe1298ff82735c40ddaa6b833b778eb2bde"
        "bad349f96b27f09436c6fafa878828ccd7d227e3a36b24ccf6736cd40840ac78"
    );
}

TEST_CASE("RFC 8784: with, without or no tunnel, by what both sides have and demand") {
    enum class Comes { with, without, never };
    const Change none = as_it_is(), optional = has_ppk("one", false), required = has_ppk("one", true),
                 another = has_ppk("two", false), another_required = has_ppk("two", true),
                 wrong = has_ppk("one", false, "some other key under the same name");
    struct Row {
        const char* name;
        Change of_a, of_b;
        Comes comes;
    };
    const std::vector<Row> rows{
        {"nobody has one", none, none, Comes::without},
        {"only the responder has one", none, optional, Comes::without},
        {"the responder demands what the initiator has not", none, required, Comes::never},
        {"only the initiator has one", optional, none, Comes::without},
        {"the initiator demands what the responder has not", required, none, Comes::never},
        {"both have it", optional, optional, Comes::with},
        {"both have it, the initiator demands it", required, optional, Comes::with},
        {"both have it, the responder demands it", optional, required, Comes::with},
        {"both demand it", required, required, Comes::with},
        {"they have different ones", optional, another, Comes::without},
        {"different ones, the initiator demands its own", required, another, Comes::never},
        {"different ones, the responder demands its own", optional, another_required, Comes::never},
        {"different ones, both demanded", required, another_required, Comes::never},
        {"one name for two keys", optional, wrong, Comes::never}};
    for (const Row& row : rows) {
        for (const bool swapped : {false, true}) {
            INFO(row.name << (swapped ? ", the other way round" : ""));
            Dialogue d;
            d.connect(swapped ? row.of_b : row.of_a, swapped ? row.of_a : row.of_b).advance(40s);
            CHECK(d.tunnel() == (row.comes != Comes::never));
            for (const Side* side : {&d.a, &d.b}) {
                CHECK(side->children.size() == (row.comes == Comes::never ? 0 : 1));
                CHECK(uses_ppk(*side) == (row.comes == Comes::with));
                for (const std::string& note : side->notes) CHECK(note.find("key that") == std::string::npos);
            }
        }
    }
}

TEST_CASE(
    "a tunnel with a PPK comes up and is rekeyed, whatever happens to a message; shared secrets included"
) {
    EngineConfig config;
    config.child_lifetime = 5s;
    for_each_fault(
        [](Dialogue& d) {
            const auto both = [](Peer& peer) {
                shares(kSecret)(peer);
                has_ppk("one", true)(peer);
            };
            d.connect(both, both).advance(25s);
            CHECK(d.tunnel());
            CHECK(uses_ppk(d.a));
            CHECK(uses_ppk(d.b));
        },
        1,
        config
    );
}

TEST_CASE("USE_PPK comes with every repetition of the first request, a cookie before it") {
    EngineConfig strict;
    strict.cookie_threshold = 0;
    Dialogue d(1, {}, std::move(strict));
    d.connect(has_ppk("one", true), has_ppk("one", true)).advance(1s).expect_tunnel();
    std::size_t requests = 0;
    for (const Passing& each : d.sent) {
        if (!each.by_a || each.exchange() != kInit) continue;
        const auto message = decode(*parse(base::ByteView(each.bytes).subspan(4)));
        CHECK(message->find_notify(notify::use_ppk) != nullptr);
        CHECK((message->find_notify(notify::cookie) != nullptr) == (requests++ > 0));
    }
    CHECK(requests == 2);
}

TEST_CASE("RFC 8784, table 1, as responder: every row") {
    const Change none = as_it_is(), optional = has_ppk("one", false), required = has_ppk("one", true);
    {
        Desk desk(none);
        REQUIRE(desk.init(true));
        CHECK(decode(*parse(desk.s.init_response))->find_notify(notify::use_ppk) == nullptr);
        CHECK(desk.lets_in(desk.signed_auth(false)));
    }
    for (const bool demanded : {false, true}) {  // no USE_PPK
        Desk desk(demanded ? required : optional);
        REQUIRE(desk.init());
        CHECK(decode(*parse(desk.s.init_response))->find_notify(notify::use_ppk) == nullptr);
        CHECK(desk.lets_in(desk.signed_auth(false)) == !demanded);
        CHECK(desk.told_failure() == demanded);
    }
    for (const bool demanded : {false, true}) {
        for (const bool with_proof :
             {false, true}) {  // a name that is not known, with and without NO_PPK_AUTH
            Desk desk(demanded ? required : optional);
            REQUIRE(desk.init(true));
            CHECK(decode(*parse(desk.s.init_response))->find_notify(notify::use_ppk) != nullptr);
            std::vector<Payload> more{names("two")};
            if (with_proof) more.push_back(make_notify(notify::no_ppk_auth, desk.signed_auth(false).data));
            CHECK(desk.lets_in(desk.signed_auth(true), more) == (with_proof && !demanded));
            CHECK(desk.told_failure() == (!with_proof || demanded));
            CHECK_FALSE(uses_ppk(desk.d.b));
        }
        for (const bool with_proof : {false, true}) {
            Desk desk(demanded ? required : optional);
            REQUIRE(desk.init(true));
            std::vector<Payload> more{names("one")};
            if (with_proof) more.push_back(make_notify(notify::no_ppk_auth, desk.signed_auth(false).data));
            CHECK(desk.lets_in(desk.signed_auth(true), more));
            const NotifyPayload* used = desk.answer->find_notify(notify::ppk_identity);
            REQUIRE(used != nullptr);
            CHECK(used->data.empty());
            CHECK(uses_ppk(desk.d.b));
        }
    }
}

TEST_CASE("B7: announced PPKs without a name, of another kind, or signed without them fail authentication") {
    const auto refuses = [](bool mixed, const std::vector<Payload>& more) {
        Desk desk(has_ppk("one", false));
        REQUIRE(desk.init(true));
        return !desk.lets_in(desk.signed_auth(mixed), more) && desk.told_failure();
    };
    CHECK(refuses(true, {}));
    CHECK(refuses(false, {}));
    CHECK(refuses(false, {names("one")}));
    CHECK(refuses(true, {make_notify(notify::ppk_identity)}));
    CHECK(refuses(true, {make_notify(notify::ppk_identity, {1, 'o', 'n', 'e'})}));
    CHECK(refuses(true, {make_notify(notify::ppk_identity, {2})}));
    CHECK(refuses(true, {names("one "), make_notify(notify::no_ppk_auth)}));
    Desk desk(has_ppk("one", false));
    REQUIRE(desk.init(true));
    AuthPayload foreign = desk.signed_auth(false);
    foreign.data.back() ^= 1;
    CHECK_FALSE(
        desk.lets_in(desk.signed_auth(false), {names("two"), make_notify(notify::no_ppk_auth, foreign.data)})
    );
    CHECK(desk.told_failure());
}

TEST_CASE("an initiator that demands its PPK goes on with nobody who does not take it") {
    for (const bool demanded : {false, true}) {
        for (const bool announced : {false, true}) {
            Dialogue d;
            d.call(d.a, [&](Engine& engine, Actions& out) {
                Peer peer = d.peer_of_a();
                has_ppk("one", demanded)(peer);
                engine.connect(peer, d.now, out);
            });
            Answerer b(d);
            const NotifyPayload use = make_notify(notify::use_ppk);
            b.answer_init(announced ? std::vector<Payload>{use} : std::vector<Payload>{});
            if (demanded && !announced) {
                CHECK(d.a.drops("no USE_PPK") == 1);
                d.advance(9s);
                CHECK(failed_for(d.a, "no USE_PPK"));
                continue;
            }
            const auto asked = b.request();
            REQUIRE(asked.has_value());
            CHECK((asked->find_notify(notify::ppk_identity) != nullptr) == announced);
            CHECK((asked->find_notify(notify::no_ppk_auth) != nullptr) == (announced && !demanded));
            auto payloads = b.auth_payloads();  // made without the PPK, and without PPK_IDENTITY
            const auto child = b.child_payloads(0x1000);
            payloads.insert(payloads.end(), child.begin(), child.end());
            b.answer(payloads);
            CHECK(d.a.children.size() == (demanded ? 0 : 1));
            CHECK_FALSE(uses_ppk(d.a));
            if (!demanded) continue;
            const auto told = b.request();
            REQUIRE(told.has_value());
            CHECK(told->find_notify(notify::authentication_failed) != nullptr);
        }
    }
}

TEST_CASE("what a responder sends with PPK_IDENTITY is ignored, and it counts only where a PPK was offered") {
    for (const bool offered : {false, true}) {
        Dialogue d;
        d.call(d.a, [&](Engine& engine, Actions& out) {
            Peer peer = d.peer_of_a();
            if (offered) has_ppk("one", false)(peer);
            engine.connect(peer, d.now, out);
        });
        Answerer b(d);
        b.answer_init({make_notify(notify::use_ppk)});
        if (offered) b.keys->pr = mix_ppk(b.suite.prf, base::as_bytes(kPpk), *b.keys).pr;
        auto payloads = b.auth_payloads();
        const auto child = b.child_payloads(0x1000);
        payloads.insert(payloads.end(), child.begin(), child.end());
        payloads.push_back(names("whatever it says"));
        b.answer(payloads);
        CHECK(d.a.children.size() == 1);
        CHECK(uses_ppk(d.a) == offered);
    }
}
