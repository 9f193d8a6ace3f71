#include "stranger.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

struct Desk : Awaiting {
    std::optional<Message> authenticate(const std::vector<Payload>& payloads) {
        REQUIRE(stranger.init());
        return stranger.request(ExchangeType::ike_auth, payloads);
    }
    bool refused(const std::optional<Message>& answer) const {
        const NotifyPayload* error = answer ? answer->find_error() : nullptr;
        const bool told = error != nullptr && (error->type == notify::authentication_failed ||
                                               error->type == notify::invalid_syntax);
        return told && answer->find<AuthPayload>() == nullptr && d.b.children.empty() && d.b.ups == 0;
    }
};

// Runs IKE_AUTH with one payload changed.
bool refused_with(const std::function<void(std::vector<Payload>&, Stranger&)>& change) {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    change(payloads, desk.stranger);
    return desk.refused(desk.stranger.request(ExchangeType::ike_auth, payloads));
}

}  // namespace

TEST_CASE("a correct stranger is let in and answered with the identity it asked for") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    const auto payloads = desk.stranger.auth_payloads();
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    REQUIRE(answer->find_id(true) != nullptr);
    CHECK(answer->find_id(true)->body == std::get<IdPayload>(payloads[1]).body);
    const Bytes octets = signed_octets(
        desk.stranger.suite.prf,
        desk.stranger.init_response,
        desk.stranger.nonces.initiator,
        desk.stranger.keys->pr,
        answer->find_id(true)->body
    );
    CHECK(verify_auth_data(public_key_of(key_of(desk.d.b)), octets, answer->find<AuthPayload>()->data));
    CHECK(desk.d.b.ups == 1);
}

TEST_CASE("B1: other AUTH methods and damaged signatures fail authentication") {
    for (const std::uint8_t method : std::initializer_list<std::uint8_t>{0, 1, 2, 9, 13}) {
        CHECK(refused_with([&](auto& payloads, Stranger&) {
            std::get<AuthPayload>(payloads[2]).method = method;
        }));
    }
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data.clear(); }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data[0] = 0; }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data[0] = 8; }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data[7] = 0x71; }));  // Ed448
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data.pop_back(); }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data.push_back(0); }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data.back() ^= 0xff; }));
    CHECK(refused_with([](auto& p, Stranger& s) {  // signed in the other role
        const Bytes octets = signed_octets(
            s.suite.prf, s.init_response, s.nonces.initiator, s.keys->pr, std::get<IdPayload>(p[0]).body
        );
        std::get<AuthPayload>(p[2]).data = make_auth_data(key_of(s.d.a), octets);
    }));
}

TEST_CASE("B2, row 48: a foreign key, an unlisted node, our own identity or a foreign IDr fail authentication"
) {
    CHECK(refused_with([](auto& p, Stranger& s) {
        p[2] = s.auth_over(std::get<IdPayload>(p[0]).body, key_of(s.d.b));
    }));
    const Identity unlisted{"acme", "gamma", "0", false};
    CHECK(refused_with([&](auto& p, Stranger& s) { p = s.auth_payloads(unlisted, s.d.peer_of_a().remote); }));
    CHECK(refused_with([&](auto& p, Stranger& s) { p = s.auth_payloads(s.d.peer_of_a().local, unlisted); }));
    CHECK(refused_with([&](auto& p, Stranger& s) {
        p = s.auth_payloads(s.d.peer_of_a().remote, s.d.peer_of_a().remote);
    }));
}

TEST_CASE("B2: a request without IDr is accepted where it can mean only one peer") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    payloads.erase(payloads.begin() + 1);
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
    CHECK(desk.d.b.ups == 1);
}

TEST_CASE("B3: identities are compared by value, whichever of the two string types says them") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    Bytes body = std::get<IdPayload>(payloads[0]).body;
    std::size_t changed = 0;
    for (std::size_t i = 0; i + 1 < body.size(); ++i) {
        if (body[i] != 0x0c || (body[i + 1] != 4 && body[i + 1] != 5)) continue;
        body[i] = 0x13;  // UTF8String to PrintableString
        ++changed;
    }
    REQUIRE(changed == 2);
    payloads[0] = IdPayload{false, body};
    payloads[2] = desk.stranger.auth_over(body, key_of(desk.d.a));
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
}

TEST_CASE("B3: another letter case, trailing bytes or a swapped order are another identity") {
    const auto with_body = [](const std::function<void(Bytes&)>& change) {
        return refused_with([&](auto& p, Stranger& s) {
            Bytes body = std::get<IdPayload>(p[0]).body;
            change(body);
            p[0] = IdPayload{false, body};
            p[2] = s.auth_over(body, key_of(s.d.a));
        });
    };
    CHECK(with_body([](Bytes& body) { body.push_back(0); }));
    CHECK(with_body([](Bytes& body) { body[0] = 2; }));
    CHECK(with_body([](Bytes& body) {
        for (base::Byte& byte : body) {
            if (byte == 'h') byte = 'H';
        }
    }));
    CHECK(with_body([](Bytes& body) {
        for (std::size_t i = 0; i + 2 < body.size(); ++i) {
            if (body[i] == 0x55 && body[i + 1] == 0x04 && body[i + 2] == 0x0a) body[i + 2] = 0x03;
        }
    }));
}

TEST_CASE("B4: reserved bytes of the ID payload count as received") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    Bytes body = std::get<IdPayload>(payloads[0]).body;
    body[2] = 0x5a;
    payloads[0] = IdPayload{false, body};
    payloads[2] = desk.stranger.auth_over(body, key_of(desk.d.a));
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
}

TEST_CASE("B4: an IKE_AUTH request replayed onto another SA does not authenticate") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    const auto payloads = desk.stranger.auth_payloads();
    REQUIRE(desk.stranger.request(ExchangeType::ike_auth, payloads));
    Stranger second(desk.d, 78);
    REQUIRE(second.init());
    const auto answer = second.request(ExchangeType::ike_auth, payloads);  // with the AUTH of the first
    REQUIRE(answer);
    CHECK(answer->find_notify(notify::authentication_failed) != nullptr);
    CHECK(desk.d.b.children.size() == 1);
}

TEST_CASE("B8: without the identity hash on offer no SA is begun, and the log says why") {
    Desk desk;
    auto payloads = desk.stranger.init_payloads();
    payloads[3] = make_notify(notify::signature_hash_algorithms, {0, 2, 0, 3});
    CHECK_FALSE(desk.stranger.init(payloads));
    payloads.erase(payloads.begin() + 3);
    CHECK_FALSE(desk.stranger.init(payloads));
    CHECK(desk.d.b.drops("SIGNATURE_HASH_ALGORITHMS without identity") == 2);
    REQUIRE_FALSE(desk.d.b.notes.empty());
    CHECK(desk.d.b.notes.front().find("SIGNATURE_HASH_ALGORITHMS") != std::string::npos);
}

TEST_CASE("A4: IKE_AUTH without IDi, with two, with a huge one or with a huge certificate is refused") {
    CHECK(refused_with([](auto& p, Stranger&) { p.erase(p.begin()); }));
    CHECK(refused_with([](auto& p, Stranger&) { p.insert(p.begin(), p.front()); }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<IdPayload>(p[0]).body.resize(6000); }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<IdPayload>(p[0]).body = {0, 0, 0, 0}; }));
    CHECK(refused_with([](auto& p, Stranger&) {
        p.insert(p.begin(), OpaquePayload{37, false, Bytes(60000)});
        std::get<AuthPayload>(p[3]).data.back() ^= 1;
    }));
}

TEST_CASE("A3: a protected message before IKE_AUTH changes nothing, and IKE_AUTH still works") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    const auto early = desk.stranger.seal_request(ExchangeType::informational, {}, 1);
    CHECK(desk.stranger.deliver(early).empty());
    CHECK(desk.stranger.deliver(desk.stranger.seal_request(ExchangeType::create_child_sa, {}, 1)).empty());
    Bytes damaged = desk.stranger.seal_request(ExchangeType::ike_auth, desk.stranger.auth_payloads(), 1);
    damaged.back() ^= 1;
    CHECK(desk.stranger.deliver(damaged).empty());
    CHECK(desk.d.b.drops("exchange out of place") == 2);
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, desk.stranger.auth_payloads());
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
}

TEST_CASE("a refusal is repeated for the peer that did not get it") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    std::get<AuthPayload>(payloads[2]).data.back() ^= 1;
    const Bytes request = desk.stranger.seal_request(ExchangeType::ike_auth, payloads, 1);
    const auto first = desk.stranger.deliver(request);
    REQUIRE(first.size() == 1);
    CHECK(desk.stranger.deliver(request) == first);
    desk.d.advance(11s);
    CHECK(disowned(desk.stranger.deliver(request)));
}

TEST_CASE("childless initiation is accepted (RFC 6023) and the child is asked for afterwards") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    payloads.resize(3);
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
    CHECK(desk.d.b.ups == 0);
    CHECK(desk.d.b.view().reason == "no CHILD SA yet");
    const std::size_t before = desk.d.sent.size();
    desk.d.advance(10s);
    REQUIRE(desk.d.sent.size() > before);
    CHECK(desk.d.sent[before].exchange() == kCreateChild);
}

TEST_CASE("a childless initiator is told that it may be one, and makes its first child when it likes") {
    Desk desk;
    Stranger& s = desk.stranger;
    REQUIRE(s.init());
    const auto said = decode(*parse(s.init_response));
    REQUIRE(said.has_value());
    const NotifyPayload* able = said->find_notify(notify::childless_supported);
    REQUIRE(able != nullptr);
    CHECK(able->protocol == Protocol::ike);  // RFC 6023 4
    CHECK(able->spi.empty());
    auto payloads = s.auth_payloads();
    payloads.resize(3);
    const auto childless = s.request(ExchangeType::ike_auth, payloads);
    REQUIRE(childless);
    CHECK(childless->find<SaPayload>() == nullptr);
    CHECK(childless->find_error() == nullptr);
    CHECK(desk.d.b.view().state == PeerState::connecting);
    CHECK(s.request(ExchangeType::informational, {}).has_value());

    const auto all = s.auth_payloads();
    const std::vector<Payload> first{all[3], NoncePayload{s.random.bytes(32)}, all[4], all[5]};
    const auto answer = s.request(ExchangeType::create_child_sa, first);
    REQUIRE(answer);
    CHECK(s.child_spi(*answer) != 0);
    CHECK(desk.d.b.children.size() == 1);
    CHECK(desk.d.b.view().state == PeerState::established);
    const std::size_t before = desk.d.count(kCreateChild, false);
    desk.d.advance(9s);
    CHECK(desk.d.count(kCreateChild, false) == before);  // nobody asks for another
}

TEST_CASE("B1: other algorithms, other lengths of their name and malleable signatures fail authentication") {
    const auto with_algorithm = [](const Bytes& algorithm) {
        return refused_with([&](auto& p, Stranger&) {
            Bytes& data = std::get<AuthPayload>(p[2]).data;
            const Bytes signature(data.end() - 64, data.end());
            data = {static_cast<base::Byte>(algorithm.size())};
            data.insert(data.end(), algorithm.begin(), algorithm.end());
            data.insert(data.end(), signature.begin(), signature.end());
        });
    };
    CHECK_FALSE(with_algorithm(*base::from_hex("300506032b6570")));            // Ed25519
    CHECK(with_algorithm(*base::from_hex("300506032b6571")));                  // Ed448
    CHECK(with_algorithm(*base::from_hex("300706032b65700500")));              // with parameters
    CHECK(with_algorithm(*base::from_hex("300d06092a864886f70d01010b0500")));  // RSA
    CHECK(with_algorithm(*base::from_hex("300a06082a8648ce3d040302")));        // ECDSA
    CHECK(with_algorithm({}));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data[0] = 6; }));
    CHECK(refused_with([](auto& p, Stranger&) { std::get<AuthPayload>(p[2]).data[0] = 255; }));
    CHECK(refused_with([](auto& p, Stranger&) {  // S + L says the same in another way
        static const Bytes order =
            *base::from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        Bytes& data = std::get<AuthPayload>(p[2]).data;
        unsigned carry = 0;
        for (std::size_t i = 0; i < order.size(); ++i) {
            carry += data[data.size() - 32 + i] + order[i];
            data[data.size() - 32 + i] = static_cast<base::Byte>(carry);
            carry >>= 8;
        }
    }));
    // A key of small order, with which anything is signed by an R of small order and S = 0.
    PublicKey weak{};
    weak[0] = 1;
    Bytes forged = *base::from_hex("07300506032b6570");
    forged.resize(forged.size() + 64);
    forged[8] = 1;
    CHECK_FALSE(verify_auth_data(weak, Bytes(100, 1), forged));
}

TEST_CASE("B4, row 49: an AUTH over our own message, over the wrong nonce or another request does not count"
) {
    const auto signed_over = [](const std::function<Bytes(Stranger&, ByteView)>& octets) {
        return refused_with([&](auto& p, Stranger& s) {
            const Bytes body = std::get<IdPayload>(p[0]).body;
            std::get<AuthPayload>(p[2]).data = make_auth_data(key_of(s.d.a), octets(s, body));
        });
    };
    using S = Stranger;
    CHECK_FALSE(signed_over([](S& s, ByteView id) {
        return signed_octets(s.suite.prf, s.init_request, s.nonces.responder, s.keys->pi, id);
    }));
    CHECK(signed_over([](S& s, ByteView id) {
        return signed_octets(s.suite.prf, s.init_request, s.nonces.initiator, s.keys->pi, id);
    }));
    CHECK(signed_over([](S& s, ByteView id) {
        return signed_octets(s.suite.prf, s.init_response, s.nonces.responder, s.keys->pi, id);
    }));
    CHECK(signed_over([](S& s, ByteView id) {
        Bytes other = s.init_request;
        other.back() ^= 1;
        return signed_octets(s.suite.prf, other, s.nonces.responder, s.keys->pi, id);
    }));
}

TEST_CASE("B5: a node that is removed loses its SA at once and gets none any more") {
    Desk desk;
    REQUIRE(desk.stranger.establish());
    desk.d.call(desk.d.b, [&](Engine& engine, Actions& out) { engine.drop(1, desk.d.now, out); });
    CHECK(desk.d.b.children.empty());
    CHECK(desk.d.b.downs == 1);
    Stranger again(desk.d, 500);
    REQUIRE(again.init());
    const auto answer = again.request(ExchangeType::ike_auth, again.auth_payloads());
    REQUIRE(answer);
    CHECK(answer->find_error()->type == notify::authentication_failed);
    CHECK(desk.d.b.ups == 1);
    desk.d.advance(60s);
    CHECK(desk.d.b.engine->sessions() == 0);
}

TEST_CASE(
    "B7: who wants EAP is refused; certificates, a configuration and further authentications are ignored"
) {
    CHECK(refused_with([](auto& p, Stranger&) { p.erase(p.begin() + 2); }));  // no AUTH: EAP
    CHECK(refused_with([](auto& p, Stranger&) { p[2] = OpaquePayload{48, false, {2, 1, 0, 5, 1}}; }));
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    for (base::Byte encoding = 1; encoding < 9; ++encoding) {
        payloads.push_back(OpaquePayload{37, false, Bytes(200, encoding)});  // CERT
        payloads.push_back(OpaquePayload{38, false, Bytes(21, encoding)});   // CERTREQ
    }
    payloads.push_back(OpaquePayload{47, false, {1, 0, 0, 0, 0, 1, 0, 0}});  // CP: an address, please
    payloads.push_back(make_notify(notify::multiple_auth_supported));
    payloads.push_back(make_notify(16405));  // ANOTHER_AUTH_FOLLOWS
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(answer->find<AuthPayload>() != nullptr);
    CHECK(answer->find_error() == nullptr);
    CHECK(desk.d.b.ups == 1);
    // There is no second authentication.
    CHECK_FALSE(desk.stranger.request(ExchangeType::ike_auth, desk.stranger.auth_payloads()).has_value());
    CHECK(desk.d.b.ups == 1);
}

TEST_CASE("C4: DELETE inside IKE_AUTH does nothing") {
    Desk desk;
    REQUIRE(desk.stranger.init());
    auto payloads = desk.stranger.auth_payloads();
    payloads.push_back(DeletePayload{Protocol::ike, {}});
    payloads.push_back(DeletePayload{Protocol::esp, {desk.stranger.esp_spi}});
    const auto answer = desk.stranger.request(ExchangeType::ike_auth, payloads);
    REQUIRE(answer);
    CHECK(desk.d.b.children.size() == 1);
    CHECK(desk.stranger.request(ExchangeType::informational, {}).has_value());
}
