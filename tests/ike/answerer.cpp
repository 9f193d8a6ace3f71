#include "answerer.hpp"

#include "ike/child.hpp"

#include <catch2/catch.hpp>

namespace aronet::ike::test {

Answerer::Answerer(Dialogue& dialogue, std::uint64_t seed)
    : d(dialogue), random(base::Random::from_number(seed)), spi_r(random.u64()) {
    d.cut = true;
}

RawMessage Answerer::last() const {
    for (auto it = d.sent.rbegin(); it != d.sent.rend(); ++it) {
        if (it->by_a && it->bytes.size() > 4 && !it->response())
            return *parse(base::ByteView(it->bytes).subspan(4));
    }
    FAIL("a sent nothing");
    return {};
}

void Answerer::deliver(const Bytes& message) {
    Passing datagram;
    datagram.bytes.assign(4, 0);
    datagram.bytes.insert(datagram.bytes.end(), message.begin(), message.end());
    datagram.from = d.b.endpoint;
    datagram.to = d.a.endpoint;
    d.deliver(datagram);
}

void Answerer::answer_init(const std::vector<Payload>& more) {
    const RawMessage raw = last();
    const auto message = decode(raw);
    REQUIRE(message.has_value());
    const auto* theirs = message->find<KePayload>();
    const auto choice = choose_ike(*message->find<SaPayload>(), theirs->group);
    REQUIRE(choice.has_value());
    const KeyPair ke = generate(choice->suite.group, random);
    const auto secret = shared_secret(ke, theirs->data);
    suite = choice->suite;
    nonces = {message->find<NoncePayload>()->data, random.bytes(kNonceSize)};
    spi_i = raw.header.spi_i;
    keys = derive_ike_keys(suite, nonces, *secret, spi_i, spi_r);
    Header header = raw.header;
    header.spi_r = spi_r;
    header.flags = flag::response;
    std::vector<Payload> payloads{
        SaPayload{{choice->answer}},
        KePayload{theirs->group, ke.public_value},
        NoncePayload{nonces.responder},
        make_notify(notify::signature_hash_algorithms, {0, 5})};
    payloads.insert(payloads.end(), more.begin(), more.end());
    init_response = encode(header, payloads);
    deliver(init_response);
}

std::optional<Message> Answerer::request() const {
    auto message = open(last(), Opener{&suite, keys->ei.view(), keys->ai.view()});
    if (!message) return std::nullopt;
    return std::move(*message);
}

void Answerer::answer(const std::vector<Payload>& payloads) {
    Header header = last().header;
    header.flags = flag::response;
    deliver(seal(header, payloads, Sealer{&suite, keys->er.view(), keys->ar.view(), &next_iv, &random}));
}

std::vector<Payload> Answerer::auth_payloads() const {
    const Bytes id = id_body(d.peer_of_a().remote);
    const Bytes octets = signed_octets(suite.prf, init_response, nonces.initiator, keys->pr, id);
    return {
        IdPayload{true, id},
        AuthPayload{auth_method::digital_signature, make_auth_data(key_of(d.b), octets)}};
}

std::vector<Payload> Answerer::child_payloads(std::uint32_t spi) const {
    const auto asked = request();
    REQUIRE(asked.has_value());
    auto choice = choose_esp(*asked->find<SaPayload>());
    REQUIRE(choice.has_value());
    choice->answer.spi.clear();
    base::Writer(choice->answer.spi).u32(spi);
    return {SaPayload{{choice->answer}}, any_selectors(false), any_selectors(true)};
}

}  // namespace aronet::ike::test
