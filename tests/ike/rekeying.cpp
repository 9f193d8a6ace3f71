#include "rekeying.hpp"

#include "ike/abilities.hpp"

#include <catch2/catch.hpp>

namespace aronet::ike::test {

std::string outcome(const std::optional<Message>& answer) {
    if (!answer) return "no answer";
    if (const NotifyPayload* error = answer->find_error()) return notify_name(error->type);
    if (answer->find<SaPayload>() != nullptr) return "SA";
    if (answer->find<DeletePayload>() != nullptr) return "DELETE";
    return "empty";
}

void rekey(Dialogue& d, Side& side) {
    REQUIRE(side.sending);
    const ChildId child = *side.sending;
    d.call(side, [&](Engine& engine, Actions& out) { engine.rekey(child, d.now, out); });
}

void renew(Dialogue& d, Side& side) {
    d.call(side, [&](Engine& engine, Actions& out) { engine.renew(1, d.now, out); });
}

void advance_without_a_gap(Dialogue& d, Duration time) {
    d.advance_until(time, [&] {
        CHECK(d.tunnel());
        return false;
    });
}

Bytes spi_bytes(std::uint32_t spi) {
    Bytes bytes;
    base::Writer(bytes).u32(spi);
    return bytes;
}

std::uint16_t error_in(const std::optional<Message>& answer) {
    const NotifyPayload* error = answer ? answer->find_error() : nullptr;
    return error == nullptr ? std::uint16_t{0} : error->type;
}

// --- Pair ---

Pair::Pair() {
    Peer peer = d.peer_of_b();
    peer.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    REQUIRE(s.establish());
    first = *d.b.sending;
}

void Pair::rekeys() {
    rekey(d, d.b);
    const auto asked = s.asked();
    REQUIRE(asked.has_value());
    REQUIRE(asked->header.exchange == ExchangeType::create_child_sa);
}

void Pair::agrees(std::uint32_t spi, base::Byte nonce, std::size_t nonce_size) {
    const auto asked = s.asked();
    auto choice = choose_esp(*asked->find<SaPayload>());
    REQUIRE(choice.has_value());
    choice->answer.spi = spi_bytes(spi);
    s.answer(
        {SaPayload{{choice->answer}},
         NoncePayload{Bytes(nonce_size, nonce)},
         any_selectors(false),
         any_selectors(true)}
    );
}

std::vector<Payload> Pair::rekey_payloads(
    std::uint32_t old_spi, std::uint32_t spi, base::Byte nonce, std::size_t nonce_size
) const {
    return {
        NotifyPayload{notify::rekey_sa, Protocol::esp, spi_bytes(old_spi), {}},
        offer_esp(spi),
        NoncePayload{Bytes(nonce_size, nonce)},
        any_selectors(false),
        any_selectors(true)};
}

std::optional<Message> Pair::crosses(std::uint32_t spi, base::Byte nonce, std::size_t nonce_size) {
    return s.request(ExchangeType::create_child_sa, rekey_payloads(s.esp_spi, spi, nonce, nonce_size));
}

std::vector<std::uint32_t> Pair::deletes(std::uint32_t spi) {
    const auto answer = s.request(ExchangeType::informational, {DeletePayload{Protocol::esp, {spi}}});
    REQUIRE(answer.has_value());
    const auto* named = answer->find<DeletePayload>();
    return named == nullptr ? std::vector<std::uint32_t>{} : named->spis;
}

std::uint32_t Pair::deleted_by_b() const {
    const auto asked = s.asked();
    const auto* named = asked ? asked->find<DeletePayload>() : nullptr;
    return named == nullptr || named->spis.empty() ? 0 : named->spis.front();
}

std::uint32_t Pair::sends_on() const { return d.b.children.at(*d.b.sending).second.spi; }

void Pair::ends_with_one_child() {
    s.answer({});
    d.advance(std::chrono::seconds(6));
    CHECK(d.b.children.size() == 1);
}

// --- Half ---

Half::Half(Stranger& old, base::Byte nonce, std::size_t nonce_size)
    : old_(old),
      nonce_(nonce_size, nonce),
      spi_(old.random.u64() | 1),
      ke_(generate(DhGroup::curve25519, old.random)) {}

std::vector<Payload> Half::payloads() const {
    Bytes spi;
    base::Writer(spi).u64(spi_);
    return {
        offer_ike_again(old_.suite, spi),
        NoncePayload{nonce_},
        KePayload{static_cast<std::uint16_t>(ke_.group), ke_.public_value}};
}

std::uint16_t Half::asks() {
    const std::vector<Payload> asked = payloads();
    const auto answer = old_.request(ExchangeType::create_child_sa, asked);
    REQUIRE(answer.has_value());
    const auto* sa = answer->find<SaPayload>();
    if (sa == nullptr) return error_in(answer);
    const auto choice = accept_ike(std::get<SaPayload>(asked[0]), *sa);
    REQUIRE(choice.has_value());
    const Nonces nonces{nonce_, answer->find<NoncePayload>()->data};
    const std::uint64_t spi = base::Reader(sa->proposals.front().spi).u64();
    take_over(true, choice->suite, nonces, answer->find<KePayload>()->data, spi);
    return 0;
}

void Half::answers() {
    const auto asked = old_.asked();
    REQUIRE(asked.has_value());
    const auto* sa = asked->find<SaPayload>();
    REQUIRE(sa != nullptr);
    REQUIRE(sa->proposals.front().protocol == Protocol::ike);
    auto choice = choose_ike(*sa, asked->find<KePayload>()->group);
    REQUIRE(choice.has_value());
    CHECK(choice->suite == old_.suite);  // nothing else is on offer
    const Nonces nonces{asked->find<NoncePayload>()->data, nonce_};
    const std::uint64_t spi = base::Reader(sa->proposals.front().spi).u64();
    take_over(false, choice->suite, nonces, asked->find<KePayload>()->data, spi);
    choice->answer.spi.clear();
    base::Writer(choice->answer.spi).u64(spi_);
    old_.answer(
        {SaPayload{{choice->answer}},
         NoncePayload{nonce_},
         KePayload{static_cast<std::uint16_t>(ke_.group), ke_.public_value}}
    );
}

void Half::take_over(
    bool initiator, const IkeCipherSuite& suite, const Nonces& nonces, ByteView theirs, std::uint64_t spi
) {
    const auto secret = shared_secret(ke_, theirs);
    REQUIRE(secret.has_value());
    next_ = std::make_unique<Stranger>(old_.d, spi_);
    next_->initiator = initiator;
    next_->spi_i = initiator ? spi_ : spi;
    next_->spi_r = initiator ? spi : spi_;
    next_->suite = suite;
    next_->next_id = 0;
    next_->esp_spi = old_.esp_spi;
    next_->keys =
        derive_rekeyed_keys(old_.suite.prf, old_.keys->d, suite, nonces, *secret, next_->spi_i, next_->spi_r);
}

bool Half::alive() { return next_->request(ExchangeType::informational, {}).has_value(); }

bool Half::deleted_by_b() {
    if (!session_deleted_by_b(*next_)) return false;
    next_->answer({});
    return true;
}

bool session_deleted_by_b(const Stranger& stranger) {
    const auto asked = stranger.asked();
    const auto* deleted = asked ? asked->find<DeletePayload>() : nullptr;
    return deleted != nullptr && deleted->protocol == Protocol::ike;
}

std::optional<Message> send_delete(Pair& t, DeletePayload what) {
    return t.s.request(ExchangeType::informational, {std::move(what)});
}

}  // namespace aronet::ike::test
