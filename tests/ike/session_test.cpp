// An authenticated peer that is not one of ours: rekeying and deleting as strongSwan does, and what only a
// broken or hostile peer would send (docs/ike.md, catalogue C).

#include "rekeying.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// A stranger with an established SA and one child.
struct Settled {
    Settled() {
        Peer peer = d.peer_of_b();
        peer.remote_endpoint.reset();
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
        REQUIRE(s.establish());
        REQUIRE(d.b.children.size() == 1);
        REQUIRE(d.b.sending);
        first = *d.b.sending;
    }

    std::vector<Payload> rekey_payloads(std::uint32_t old_spi, std::uint32_t new_spi) {
        return {
            NotifyPayload{notify::rekey_sa, Protocol::esp, spi_bytes(old_spi), {}},
            offer_esp(new_spi),
            NoncePayload{s.random.bytes(32)},
            any_selectors(false),
            any_selectors(true)};
    }
    std::optional<Message> create(const std::vector<Payload>& payloads) {
        return s.request(ExchangeType::create_child_sa, payloads);
    }
    std::optional<Message> inform(const std::vector<Payload>& payloads) {
        return s.request(ExchangeType::informational, payloads);
    }
    bool alive() {
        const auto answer = inform({});
        return answer.has_value() && d.b.view().state == PeerState::established;
    }

    Dialogue d{1, {}, without_dpd()};
    Stranger s{d};
    ChildId first = 0;
};

}  // namespace

TEST_CASE("2.11: a repetition is answered to where it came from, from where it arrived, and marked as it was"
) {
    Awaiting t;
    t.stranger.place.port = 500;
    const Endpoint elsewhere{*Address::parse("198.51.100.7"), 500}, here{*Address::parse("192.0.2.22"), 4500};
    const auto check = [&](const Bytes& request, const Bytes& answer, const Endpoint& from) {
        for (const bool marked : {true, false}) {
            CAPTURE(marked);
            Actions out;
            const Bytes datagram = in_datagram(request, marked);
            t.d.b.engine->handle({datagram, from, here}, t.d.now, out);
            REQUIRE(out.size() == 1);
            const Send& again = std::get<Send>(out.front());
            CHECK(again.from == here);
            CHECK(again.to == from);
            CHECK(again.bytes == in_datagram(answer, marked));
        }
    };
    REQUIRE(t.stranger.init());
    check(t.stranger.init_request, t.stranger.init_response, t.stranger.place);
    const Bytes auth = t.stranger.seal_request(ExchangeType::ike_auth, t.stranger.auth_payloads(), 1);
    const auto answers = t.stranger.deliver(auth);
    REQUIRE(answers.size() == 1);
    check(auth, answers.front(), elsewhere);
    CHECK(t.d.b.view().remote == t.stranger.place);
}

TEST_CASE(
    "a peer rekeys the child: the new one is installed before the answer and used after the old one's DELETE"
) {
    Settled t;
    const auto nonce_payloads = t.rekey_payloads(t.s.esp_spi, 0x22222222);
    const auto answer = t.create(nonce_payloads);
    REQUIRE(answer.has_value());
    REQUIRE(answer->find<SaPayload>() != nullptr);
    CHECK(t.d.b.children.size() == 2);
    const ChildId second = t.d.b.children.rbegin()->first;
    CHECK(t.d.b.replacing.at(second));
    CHECK(*t.d.b.sending == t.first);

    const auto choice = accept_esp(offer_esp(0x22222222), *answer->find<SaPayload>());
    REQUIRE(choice.has_value());
    const Nonces nonces{std::get<NoncePayload>(nonce_payloads[2]).data, answer->find<NoncePayload>()->data};
    const ChildKeys keys = derive_child_keys(t.s.suite.prf, t.s.keys->d, choice->suite, nonces);
    CHECK(t.d.b.children.at(second).first.key == keys.initiator_to_responder);
    CHECK(t.d.b.children.at(second).second.key == keys.responder_to_initiator);
    CHECK(t.d.b.children.at(second).second.spi == 0x22222222);

    const std::uint32_t old_in = t.d.b.children.at(t.first).first.spi;
    const auto deleted = t.inform({DeletePayload{Protocol::esp, {t.s.esp_spi}}});
    REQUIRE(deleted.has_value());
    REQUIRE(deleted->find<DeletePayload>() != nullptr);
    CHECK(deleted->find<DeletePayload>()->spis == std::vector<std::uint32_t>{old_in});
    CHECK(*t.d.b.sending == second);
    CHECK(t.d.b.children.size() == 2);  // the old inbound is kept for what is under way
    t.d.advance(6s);
    CHECK(t.d.b.children.size() == 1);
    CHECK(t.alive());
}

TEST_CASE("a rekeyed child takes part in a key exchange of its own where that was negotiated") {
    Settled t;
    auto payloads = t.rekey_payloads(t.s.esp_spi, 0x22222222);
    payloads[1] = offer_esp(0x22222222, DhGroup::curve25519);
    const KeyPair ke = generate(DhGroup::curve25519, t.s.random);
    payloads.push_back(KePayload{31, ke.public_value});
    const auto answer = t.create(payloads);
    REQUIRE(answer.has_value());
    const auto choice = accept_esp(offer_esp(0x22222222, DhGroup::curve25519), *answer->find<SaPayload>());
    REQUIRE(choice.has_value());
    const Nonces nonces{std::get<NoncePayload>(payloads[2]).data, answer->find<NoncePayload>()->data};
    const auto* theirs = answer->find<KePayload>();
    const ChildId second = t.d.b.children.rbegin()->first;
    if (choice->group) {
        REQUIRE(theirs != nullptr);
        const auto secret = shared_secret(ke, theirs->data);
        const ChildKeys keys = derive_child_keys(t.s.suite.prf, t.s.keys->d, choice->suite, nonces, *secret);
        CHECK(t.d.b.children.at(second).first.key == keys.initiator_to_responder);
    } else {
        const ChildKeys keys = derive_child_keys(t.s.suite.prf, t.s.keys->d, choice->suite, nonces);
        CHECK(t.d.b.children.at(second).first.key == keys.initiator_to_responder);
    }
}

TEST_CASE("a rekeyed child whose DELETE never comes is used after half a minute") {
    Settled t;
    REQUIRE(t.create(t.rekey_payloads(t.s.esp_spi, 0x22222222)).has_value());
    const ChildId second = t.d.b.children.rbegin()->first;
    t.d.advance(31s);
    CHECK(*t.d.b.sending == second);
}

TEST_CASE("a rekeying that the data plane refuses leaves the old child") {
    Settled t;
    t.d.b.refuses = true;
    CHECK(error_in(t.create(t.rekey_payloads(t.s.esp_spi, 0x22222222))) == notify::no_proposal_chosen);
    CHECK(t.d.b.children.size() == 1);
    CHECK(*t.d.b.sending == t.first);
    CHECK(t.alive());
}

TEST_CASE("C1: a rekeying of an unknown child or of another protocol is told so") {
    Settled t;
    for (const Protocol protocol : {Protocol::none, Protocol::ike, Protocol::ah, static_cast<Protocol>(99)}) {
        auto payloads = t.rekey_payloads(t.s.esp_spi, 0x22222222);
        std::get<NotifyPayload>(payloads[0]).protocol = protocol;
        CHECK(error_in(t.create(payloads)) == notify::child_sa_not_found);
    }
    const auto answer = t.create(t.rekey_payloads(0x99999999, 0x22222222));
    REQUIRE(error_in(answer) == notify::child_sa_not_found);
    CHECK(answer->find_error()->spi == spi_bytes(0x99999999));
    CHECK(t.alive());
    CHECK(t.d.b.children.size() == 1);
}

TEST_CASE("C2: traffic selectors that leave us nothing are unacceptable") {
    Settled t;
    auto payloads = t.rekey_payloads(t.s.esp_spi, 0x22222222);
    payloads.pop_back();
    CHECK(error_in(t.create(payloads)) == notify::ts_unacceptable);
    TrafficSelector narrow_selector = TrafficSelector::any(base::Family::v4);
    narrow_selector.start_port = 80;
    payloads.push_back(TsPayload{true, {narrow_selector}});
    CHECK(error_in(t.create(payloads)) == notify::ts_unacceptable);
    payloads.back() = TsPayload{true, {TrafficSelector::any(base::Family::v6), narrow_selector}};
    const auto answer = t.create(payloads);
    REQUIRE(answer.has_value());
    REQUIRE(answer->find_ts(true) != nullptr);
    CHECK(answer->find_ts(true)->selectors == std::vector{TrafficSelector::any(base::Family::v6)});
}

TEST_CASE("C4: DELETE of unknown, many, doubled and mixed SPIs is tolerated") {
    Settled t;
    CHECK(t.inform({DeletePayload{Protocol::esp, {0x77777777}}}).has_value());
    CHECK(t.inform({DeletePayload{Protocol::ah, {t.s.esp_spi}}}).has_value());
    CHECK(t.inform({DeletePayload{Protocol::esp, std::vector<std::uint32_t>(5000, 0x12345678)}}).has_value());
    CHECK(t.d.b.children.size() == 1);
    const auto answer = t.inform(
        {DeletePayload{Protocol::esp, {t.s.esp_spi, t.s.esp_spi}},
         DeletePayload{Protocol::esp, {t.s.esp_spi}}}
    );
    REQUIRE(answer.has_value());
    CHECK(answer->count<DeletePayload>() == 1);
    CHECK(t.d.b.children.empty());
    CHECK(t.d.b.downs == 1);
}

TEST_CASE("C4: DELETE outside of INFORMATIONAL does nothing") {
    Settled t;
    auto payloads = t.rekey_payloads(t.s.esp_spi, 0x22222222);
    payloads.push_back(DeletePayload{Protocol::ike, {}});
    payloads.push_back(DeletePayload{Protocol::esp, {t.s.esp_spi}});
    REQUIRE(t.create(payloads).has_value());
    CHECK(t.d.b.downs == 0);
    CHECK(t.alive());
}

TEST_CASE("C4: an IKE DELETE after ESP DELETEs in one message ends it all, and its repetition is answered") {
    Settled t;
    const Bytes request = t.s.seal_request(
        ExchangeType::informational,
        {DeletePayload{Protocol::esp, {t.s.esp_spi}}, DeletePayload{Protocol::ike, {}}},
        t.s.next_id++
    );
    const auto first = t.s.deliver(request);
    REQUIRE(first.size() == 1);
    CHECK(t.d.b.children.empty());
    CHECK(t.d.b.downs == 1);
    CHECK(t.s.deliver(request) == first);
    CHECK(t.d.b.view().state == PeerState::idle);
}

TEST_CASE("a child that only the peer deleted is asked for again on the same IKE SA") {
    Settled t;
    REQUIRE(t.inform({DeletePayload{Protocol::esp, {t.s.esp_spi}}}).has_value());
    CHECK(t.d.b.children.empty());
    const std::size_t before = t.d.sent.size();
    t.d.advance(8s);
    REQUIRE(t.d.sent.size() > before);
    CHECK(t.d.sent[before].exchange() == kCreateChild);
    CHECK_FALSE(t.d.sent[before].response());
}

TEST_CASE("C5: two rekeyings of one child without a DELETE between are both served") {
    Settled t;
    REQUIRE(t.create(t.rekey_payloads(t.s.esp_spi, 0x22222222)).has_value());
    REQUIRE(t.create(t.rekey_payloads(t.s.esp_spi, 0x33333333)).has_value());
    CHECK(t.d.b.children.size() == 3);
    REQUIRE(t.inform({DeletePayload{Protocol::esp, {t.s.esp_spi}}}).has_value());
    REQUIRE(t.inform({DeletePayload{Protocol::esp, {0x33333333}}}).has_value());
    CHECK(t.d.b.children.at(*t.d.b.sending).second.spi == 0x22222222);
    t.d.advance(6s);
    CHECK(t.d.b.children.size() == 1);
}

TEST_CASE("C5: a child rekeyed before it was used stays until the peer deletes it") {
    Settled t;
    REQUIRE(t.create(t.rekey_payloads(t.s.esp_spi, 0x22222222)).has_value());
    t.d.advance(29s);
    REQUIRE(t.create(t.rekey_payloads(0x22222222, 0x33333333)).has_value());
    t.d.advance(5s);  // the time of the second child to be used unasked has passed, that of the third has not
    CHECK(t.d.b.children.size() == 3);
    CHECK(t.d.b.downs == 0);
}

TEST_CASE("a second child beside the first is used, and the first is deleted by us") {
    Settled t;
    auto payloads = t.rekey_payloads(0, 0x22222222);
    payloads.erase(payloads.begin());
    const auto answer = t.create(payloads);
    REQUIRE(answer.has_value());
    CHECK(t.d.b.children.at(*t.d.b.sending).second.spi == 0x22222222);
    CHECK(t.d.sent.back().exchange() == kInformational);
    CHECK_FALSE(t.d.sent.back().response());
}

TEST_CASE("children do not pile up: beyond eight the answer is TEMPORARY_FAILURE, never NO_ADDITIONAL_SAS") {
    Settled t;
    for (std::uint32_t i = 0; i < 7; ++i) {
        CHECK(error_in(t.create(t.rekey_payloads(t.s.esp_spi, 0x20000000 + i))) == 0);
    }
    CHECK(error_in(t.create(t.rekey_payloads(t.s.esp_spi, 0x30000000))) == notify::temporary_failure);
    CHECK(t.d.b.children.size() == 8);
}

TEST_CASE("a peer rekeys the IKE SA: children move, the old SA is deleted without touching them") {
    Settled t;
    const std::uint64_t new_spi = 0x4242424242424242;
    Bytes spi(8, 0x42);
    const KeyPair ke = generate(DhGroup::curve25519, t.s.random);
    const Bytes nonce = t.s.random.bytes(32);
    const SaPayload offer = offer_ike(false, spi);
    const auto answer = t.create({offer, NoncePayload{nonce}, KePayload{31, ke.public_value}});
    REQUIRE(answer.has_value());
    REQUIRE(answer->find<SaPayload>() != nullptr);
    const auto choice = accept_ike(offer, *answer->find<SaPayload>());
    REQUIRE(choice.has_value());
    const Nonces nonces{nonce, answer->find<NoncePayload>()->data};
    const auto secret = shared_secret(ke, answer->find<KePayload>()->data);
    const std::uint64_t spi_r = base::Reader(answer->find<SaPayload>()->proposals[0].spi).u64();
    REQUIRE(spi_r != 0);
    CHECK(t.inform({DeletePayload{Protocol::ike, {}}}).has_value());
    CHECK(t.d.b.downs == 0);

    IkeKeys keys =
        derive_rekeyed_keys(t.s.suite.prf, t.s.keys->d, choice->suite, nonces, *secret, new_spi, spi_r);
    t.s.keys = std::move(keys);
    t.s.spi_i = new_spi;
    t.s.spi_r = spi_r;
    t.s.suite = choice->suite;
    t.s.next_id = 0;
    t.s.next_iv = 0;
    CHECK(t.alive());
    CHECK(t.d.b.view().spi_r == spi_r);
    const auto rekeyed = t.create(t.rekey_payloads(t.s.esp_spi, 0x22222222));
    REQUIRE(rekeyed.has_value());
    CHECK(rekeyed->find<SaPayload>() != nullptr);
    CHECK(t.d.b.children.size() == 2);
}

TEST_CASE("C8: an IKE rekeying that cannot be is refused, and the old SA survives") {
    Settled t;
    const KeyPair ke = generate(DhGroup::curve25519, t.s.random);
    const auto attempt = [&](Bytes spi, const KePayload& key) {
        return error_in(t.create({offer_ike(false, std::move(spi)), NoncePayload{Bytes(32, 1)}, key}));
    };
    for (const Bytes& spi : {Bytes(8, 0), Bytes(), Bytes(4, 1), Bytes(16, 1)})
        CHECK(attempt(spi, KePayload{31, ke.public_value}) == notify::invalid_syntax);
    CHECK(attempt(Bytes(8, 1), KePayload{14, Bytes(256, 1)}) == notify::invalid_ke_payload);
    CHECK(attempt(Bytes(8, 1), KePayload{31, Bytes(32, 0)}) == notify::invalid_syntax);
    CHECK(
        error_in(t.create({offer_ike(false, Bytes(8, 1)), NoncePayload{Bytes(32, 1)}})) ==
        notify::invalid_syntax
    );
    CHECK(t.alive());
}

TEST_CASE("C9: requests and responses outside of the window, and flipped flags, change nothing") {
    Settled t;
    const std::uint32_t next = t.s.next_id;
    for (const std::uint32_t id : {next + 1, next + 2, next - 2, 0u, 1u << 31, 0xffffffffu}) {
        CHECK(
            t.s.deliver(t.s.seal_request(ExchangeType::informational, {DeletePayload{Protocol::ike, {}}}, id))
                .empty()
        );
    }
    Bytes response = t.s.seal_request(ExchangeType::informational, {}, next);
    response[19] = static_cast<base::Byte>(response[19] | flag::response);
    CHECK(t.s.deliver(response).empty());
    Bytes flipped = t.s.seal_request(ExchangeType::informational, {}, next);
    flipped[19] = 0;
    CHECK(t.s.deliver(flipped).empty());
    Bytes swapped = t.s.seal_request(ExchangeType::informational, {}, next);
    std::swap_ranges(swapped.begin(), swapped.begin() + 8, swapped.begin() + 8);
    CHECK(t.s.deliver(swapped).empty());
    CHECK(t.d.b.children.size() == 1);
    CHECK(t.alive());
}

TEST_CASE("C10, row 46: a storm of one request gets one answer each, later fragments of an old one get none"
) {
    Settled t;
    const Bytes request = t.s.seal_request(ExchangeType::informational, {}, t.s.next_id++);
    const auto first = t.s.deliver(request);
    for (int i = 0; i < 200; ++i) CHECK(t.s.deliver(request) == first);

    const auto fragments = t.s.seal_fragments(
        ExchangeType::informational, {make_notify(40000, Bytes(900, 1))}, t.s.next_id++, 300
    );
    REQUIRE(fragments.size() > 2);
    for (std::size_t i = fragments.size(); i-- > 1;) CHECK(t.s.deliver(fragments[i]).empty());
    const auto whole = t.s.deliver(fragments[0]);
    REQUIRE(whole.size() == 1);
    for (std::size_t i = 1; i < fragments.size(); ++i) CHECK(t.s.deliver(fragments[i]).empty());
    CHECK(t.s.deliver(fragments[0]) == whole);
}

TEST_CASE("C11: AUTHENTICATION_FAILED right after IKE_AUTH ends the session without a DELETE") {
    Settled t;
    CHECK(t.inform({make_notify(notify::authentication_failed)}).has_value());
    CHECK(t.d.b.children.empty());
    CHECK(t.d.b.view().reason.find("AUTHENTICATION_FAILED") != std::string::npos);
}

TEST_CASE("C16: notifications without meaning here and unknown exchanges change nothing") {
    Settled t;
    const auto before = t.d.b.view().remote;
    CHECK(t.inform({make_notify(notify::redirect, Bytes(10, 1)),
                    make_notify(notify::set_window_size, Bytes(4, 255)),
                    make_notify(notify::set_window_size, Bytes(4, 0)),
                    make_notify(notify::use_transport_mode),
                    make_notify(notify::additional_ts_possible),
                    make_notify(notify::mobike_supported),
                    make_notify(16400)})
              .has_value());
    for (const std::uint8_t exchange :
         {std::uint8_t{33}, std::uint8_t{38}, std::uint8_t{43}, std::uint8_t{44}, std::uint8_t{240}}) {
        CHECK(error_in(t.s.request(static_cast<ExchangeType>(exchange), {})) == notify::invalid_syntax);
    }
    CHECK(t.alive());
    CHECK(t.d.b.view().remote == before);
    CHECK(t.d.b.moves == 0);
}

TEST_CASE(
    "A14: a malformed protected request is told INVALID_SYNTAX and ends the session, an unknown critical "
    "payload "
    "does not"
) {
    Settled t;
    CHECK(error_in(t.inform({OpaquePayload{200, true, {1}}})) == notify::unsupported_critical_payload);
    CHECK(t.alive());
    CHECK(error_in(t.inform({OpaquePayload{41, false, {1}}})) == notify::invalid_syntax);
    CHECK(t.d.b.children.empty());
}

TEST_CASE("A request that came damaged is not answered, the undamaged one afterwards is") {
    Settled t;
    Bytes request = t.s.seal_request(ExchangeType::informational, {}, t.s.next_id);
    for (std::size_t i = 28; i < request.size(); ++i) {
        Bytes damaged = request;
        damaged[i] ^= 0x10;
        CHECK(t.s.deliver(damaged).empty());
    }
    CHECK(t.s.deliver(request).size() == 1);
}
