// Key exchanges of children (RFC 7296 1.3.1, 1.3.3): none in IKE_AUTH, offered with every CREATE_CHILD_SA,
// and left out by whoever does not want one.

#include "answerer.hpp"
#include "ike/abilities.hpp"
#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <array>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kNewSpi = 0x22222222;

std::vector<std::uint16_t> groups(const SaPayload& sa) {
    std::vector<std::uint16_t> all;
    for (const Transform& transform : sa.proposals.front().transforms) {
        if (transform.type == TransformType::ke) all.push_back(transform.id);
    }
    return all;
}

// An offer of these groups, the only ones.
SaPayload offer(const std::vector<std::uint16_t>& ids) {
    SaPayload sa = offer_esp(kNewSpi);
    for (const std::uint16_t id : ids)
        sa.proposals.front().transforms.push_back({TransformType::ke, id, std::nullopt});
    return sa;
}

Payload value_of(const KeyPair& pair) { return KePayload{std::uint16_t(pair.group), pair.public_value}; }

// b's request for a child: the key exchange that it offers, and the answer with `group` and what `more`
// holds.
struct Asked {
    explicit Asked(Pair& t) : message(*t.s.asked()) {}
    const KePayload& ke() const { return *message.find<KePayload>(); }
    Nonces answer(Pair& t, std::uint16_t group, const std::vector<Payload>& more) const {
        auto choice = choose_esp(*message.find<SaPayload>(), group);
        REQUIRE(choice.has_value());
        choice->answer.spi = spi_bytes(kNewSpi);
        const Nonces nonces{message.find<NoncePayload>()->data, Bytes(32, 7)};
        std::vector<Payload> payloads{SaPayload{{choice->answer}}, NoncePayload{nonces.responder}};
        payloads.insert(payloads.end(), more.begin(), more.end());
        payloads.push_back(any_selectors(false));
        payloads.push_back(any_selectors(true));
        t.s.answer(payloads);
        return nonces;
    }
    Message message;
};

// The key b sends with is of these nonces and this secret.
bool has_key(Pair& t, bool asked_by_b, const Nonces& nonces, const Secret& secret) {
    const auto& [in, out] = t.d.b.children.at(*t.d.b.sending);
    const ChildKeys keys = derive_child_keys(t.s.suite.prf, t.s.keys->d, out.suite, nonces, secret);
    return out.key == (asked_by_b ? keys.initiator_to_responder : keys.responder_to_initiator);
}

// The stranger rekeys the child with this offer and this value; what came of it.
struct Rekeyed {
    Rekeyed(Pair& t, const SaPayload& sa, const KeyPair& own) {
        auto payloads = t.rekey_payloads(t.s.esp_spi, kNewSpi, 7);
        payloads[1] = sa;
        payloads.push_back(value_of(own));
        answer = t.s.request(ExchangeType::create_child_sa, payloads);
        REQUIRE(answer.has_value());
    }
    Nonces nonces() const { return {Bytes(32, 7), answer->find<NoncePayload>()->data}; }
    std::optional<Message> answer;
};

}  // namespace

TEST_CASE("1.2: the child of IKE_AUTH has no key exchange of its own on offer") {
    Dialogue d;
    d.a_connects();
    Answerer b(d);
    b.answer_init();
    const auto request = b.request();
    REQUIRE(request.has_value());
    CHECK(request->header.exchange == ExchangeType::ike_auth);
    REQUIRE(request->find<SaPayload>() != nullptr);
    CHECK(groups(*request->find<SaPayload>()).empty());
    CHECK(request->find<KePayload>() == nullptr);
}

TEST_CASE("1.3.1: a rekeying offers X25519 or none, with a value of it") {
    Pair t;
    t.rekeys();
    const Asked asked(t);
    CHECK(groups(*asked.message.find<SaPayload>()) == std::vector{group::curve25519, group::none});
    CHECK(asked.ke().group == group::curve25519);
    CHECK(asked.ke().data.size() == 32);
}

TEST_CASE("1.3.1: so does a request for a child where there is none") {
    Pair t;
    t.deletes(t.s.esp_spi);
    t.d.advance_until(10s, [&] { return t.d.count(kCreateChild, false) == 1; });
    const Asked asked(t);
    CHECK(asked.message.find_notify(notify::rekey_sa) == nullptr);
    CHECK(groups(*asked.message.find<SaPayload>()) == std::vector{group::curve25519, group::none});
    const KeyPair own = generate(DhGroup::curve25519, t.s.random);
    const Nonces nonces = asked.answer(t, group::curve25519, {value_of(own)});
    CHECK(has_key(t, true, nonces, *shared_secret(own, asked.ke().data)));
}

TEST_CASE(
    "1.3.1: a peer that demands the other group of ours is asked for it at once, and the next time first"
) {
    Pair t;
    t.rekeys();
    CHECK(groups(*Asked(t).message.find<SaPayload>()) == std::vector{group::curve25519, group::none});
    t.s.answer({make_notify(notify::no_proposal_chosen)});
    CHECK(t.sends_on() == t.s.esp_spi);
    for (const std::uint8_t fill : std::array<std::uint8_t, 2>{7, 8}) {
        const Asked asked(t);
        CHECK(groups(*asked.message.find<SaPayload>()) == std::vector{group::ecp256, group::none});
        CHECK(asked.message.find_notify(notify::rekey_sa) != nullptr);
        REQUIRE(asked.ke().group == group::ecp256);
        const KeyPair own = generate(DhGroup::ecp256, t.s.random);
        const Nonces nonces = asked.answer(t, group::ecp256, {value_of(own)});
        CHECK(has_key(t, true, nonces, *shared_secret(own, asked.ke().data)));
        if (fill == 8) break;
        t.s.answer({});  // to the DELETE of the old one
        t.d.advance(10s);
        t.d.call(t.d.b, [&](Engine& engine, Actions& out) { engine.rekey(*t.d.b.sending, t.d.now, out); });
    }
}

TEST_CASE("1.3.1: a peer that chose none gets none, whatever value it sends; one that chose X25519 gets it") {
    for (const bool with_value : {false, true}) {
        Pair t;
        t.rekeys();
        const Asked asked(t);
        const KeyPair own = generate(DhGroup::curve25519, t.s.random);
        const std::vector<Payload> value{value_of(own)};
        const Nonces nonces = asked.answer(t, group::none, with_value ? value : std::vector<Payload>{});
        REQUIRE(t.sends_on() == kNewSpi);
        CHECK(has_key(t, true, nonces, {}));
    }
    Pair t;
    t.rekeys();
    const Asked asked(t);
    const KeyPair own = generate(DhGroup::curve25519, t.s.random);
    const Nonces nonces = asked.answer(t, group::curve25519, {value_of(own)});
    REQUIRE(t.sends_on() == kNewSpi);
    CHECK(has_key(t, true, nonces, *shared_secret(own, asked.ke().data)));
}

TEST_CASE("1.3.1: a value that comes without a group to choose is ignored, and answered without one") {
    for (const auto& ids : {std::vector<std::uint16_t>{}, std::vector{group::none}}) {
        Pair t;
        const Rekeyed rekeyed(t, offer(ids), generate(DhGroup::curve25519, t.s.random));
        REQUIRE(rekeyed.answer->find<SaPayload>() != nullptr);
        CHECK(groups(*rekeyed.answer->find<SaPayload>()) == ids);
        CHECK(rekeyed.answer->find<KePayload>() == nullptr);
        t.deletes(t.s.esp_spi);
        CHECK(has_key(t, false, rekeyed.nonces(), {}));
    }
}

TEST_CASE("1.3.1: a peer that demands a group gets it, and is told of it where its value is of another") {
    for (const DhGroup known : {DhGroup::curve25519, DhGroup::ecp256}) {
        const auto id = static_cast<std::uint16_t>(known);
        Pair t;
        const KeyPair wrong =
            generate(known == DhGroup::ecp256 ? DhGroup::curve25519 : DhGroup::ecp256, t.s.random);
        CHECK(error_in(Rekeyed(t, offer({id}), wrong).answer) == notify::invalid_ke_payload);
        const KeyPair own = generate(known, t.s.random);
        const Rekeyed rekeyed(t, offer({id}), own);
        REQUIRE(rekeyed.answer->find<KePayload>() != nullptr);
        const KePayload& theirs = *rekeyed.answer->find<KePayload>();
        CHECK(groups(*rekeyed.answer->find<SaPayload>()) == std::vector{id});
        CHECK(theirs.group == id);
        t.deletes(t.s.esp_spi);
        CHECK(has_key(t, false, rekeyed.nonces(), *shared_secret(own, theirs.data)));
    }
}
