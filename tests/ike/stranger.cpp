#include "stranger.hpp"

#include <catch2/catch.hpp>

namespace aronet::ike::test {

Bytes id_body(const Identity& identity) {
    Bytes body{id_type::der_asn1_dn, 0, 0, 0};
    const Bytes der = identity.encode();
    body.insert(body.end(), der.begin(), der.end());
    return body;
}

Stranger::Stranger(Dialogue& dialogue, std::uint64_t seed)
    : d(dialogue),
      random(base::Random::from_number(seed)),
      place(dialogue.a.endpoint),
      spi_i(random.u64()),
      ke(generate(DhGroup::curve25519, random)),
      esp_offer(offer_esp(esp_spi)) {
    nonces.initiator = random.bytes(kNonceSize);
}

Header Stranger::init_header() const {
    Header header;
    header.spi_i = spi_i;
    header.flags = flag::initiator;
    return header;
}

std::vector<Payload> Stranger::init_payloads() const {
    return {
        offer,
        KePayload{static_cast<std::uint16_t>(ke.group), ke.public_value},
        NoncePayload{nonces.initiator},
        make_notify(notify::signature_hash_algorithms, {0, 5}),
        make_notify(notify::fragmentation_supported),
        make_notify(notify::nat_detection_source_ip, Bytes(20, 1)),
        make_notify(notify::nat_detection_destination_ip, Bytes(20, 2))};
}

bool Stranger::init() { return init(init_payloads()); }

bool Stranger::init(const std::vector<Payload>& payloads) {
    init_request = encode(init_header(), payloads);
    const auto answers = deliver(init_request);
    if (answers.size() != 1) return false;
    init_response = answers.front();
    const auto raw = parse(init_response);
    if (!raw) return false;
    const auto message = decode(*raw);
    if (!message || message->find<SaPayload>() == nullptr) return false;
    const auto choice = accept_ike(offer, *message->find<SaPayload>());
    if (!choice) return false;
    suite = choice->suite;
    spi_r = raw->header.spi_r;
    nonces.responder = message->find<NoncePayload>()->data;
    const auto secret = shared_secret(ke, message->find<KePayload>()->data);
    keys = derive_ike_keys(suite, nonces, *secret, spi_i, spi_r);
    return true;
}

AuthPayload Stranger::auth_over(ByteView id, const Secret& key) const {
    const Bytes octets = signed_octets(suite.prf, init_request, nonces.responder, keys->pi, id);
    return {auth_method::digital_signature, make_auth_data(key, octets)};
}

std::vector<Payload> Stranger::auth_payloads(const Identity& own, const Identity& other) const {
    return {
        IdPayload{false, id_body(own)},
        IdPayload{true, id_body(other)},
        auth_over(id_body(own), key_of(d.a)),
        esp_offer,
        TsPayload{false, {TrafficSelector::any(base::Family::v4), TrafficSelector::any(base::Family::v6)}},
        TsPayload{true, {TrafficSelector::any(base::Family::v4), TrafficSelector::any(base::Family::v6)}}};
}

std::vector<Payload> Stranger::auth_payloads() const {
    return auth_payloads(d.peer_of_a().local, d.peer_of_a().remote);
}

bool Stranger::establish() {
    if (!init()) return false;
    const auto answer = request(ExchangeType::ike_auth, auth_payloads());
    return answer && answer->find<AuthPayload>() != nullptr && answer->find_error() == nullptr;
}

std::optional<Message> Stranger::request(ExchangeType exchange, const std::vector<Payload>& payloads) {
    return open_answer(deliver(seal_request(exchange, payloads, next_id++)));
}

std::optional<Message> Stranger::asked() const {
    for (auto it = d.sent.rbegin(); it != d.sent.rend(); ++it) {
        if (it->by_a || it->response() || it->bytes.size() < 32) continue;
        const RawMessage raw = *parse(it->message());
        if (raw.header.spi_i != spi_i) continue;  // on another SA
        auto message = open(raw, opener());
        if (!message) return std::nullopt;
        return std::move(*message);
    }
    return std::nullopt;
}

std::vector<Bytes> Stranger::answer(const std::vector<Payload>& payloads) {
    const auto question = asked();
    REQUIRE(question.has_value());
    return deliver(
        seal_message(question->header.exchange, payloads, question->header.message_id, flag::response)
    );
}

Header Stranger::request_header(ExchangeType exchange, std::uint32_t id, std::uint8_t flags) const {
    Header header;
    header.spi_i = spi_i;
    header.spi_r = spi_r;
    header.exchange = exchange;
    header.flags = static_cast<std::uint8_t>(flags | (initiator ? flag::initiator : 0));
    header.message_id = id;
    return header;
}

Sealer Stranger::sealer() {
    const Secret& encryption = initiator ? keys->ei : keys->er;
    const Secret& integrity = initiator ? keys->ai : keys->ar;
    return {&suite, encryption.view(), integrity.view(), &next_iv, &random};
}

Bytes Stranger::seal_request(ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id) {
    return seal_message(exchange, payloads, id, 0);
}

Bytes Stranger::seal_message(
    ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id, std::uint8_t flags
) {
    return seal(request_header(exchange, id, flags), payloads, sealer());
}

std::vector<Bytes> Stranger::seal_fragments(
    ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id, std::size_t size
) {
    return seal_in_fragments(request_header(exchange, id, 0), payloads, sealer(), size);
}

std::vector<Bytes> Stranger::deliver(const Bytes& message) { return deliver_from(place, message); }

std::vector<Bytes> Stranger::deliver_from(const Endpoint& from, const Bytes& message) {
    Passing datagram;
    datagram.bytes = in_datagram(message, marked);
    datagram.from = from;
    datagram.to = d.b.endpoint;
    const std::size_t before = d.sent.size();
    d.deliver(datagram);
    std::vector<Bytes> answers;
    for (std::size_t i = before; i < d.sent.size(); ++i) {
        const base::ByteView said = d.sent[i].message();
        if (!d.sent[i].by_a) answers.emplace_back(said.begin(), said.end());
    }
    return answers;
}

std::optional<Message> Stranger::open_answer(const std::vector<Bytes>& answers) const {
    if (answers.empty()) return std::nullopt;
    const auto raw = parse(answers.front());
    if (!raw || !raw->header.is_response()) return std::nullopt;
    auto message = open(*raw, opener());
    if (!message) return std::nullopt;
    return std::move(*message);
}

Opener Stranger::opener() const {
    return {
        &suite, initiator ? keys->er.view() : keys->ei.view(), initiator ? keys->ar.view() : keys->ai.view()};
}

std::uint32_t Stranger::child_spi(const Message& answer) const {
    const auto* sa = answer.find<SaPayload>();
    return sa == nullptr ? 0 : base::Reader(sa->proposals.front().spi).u32();
}

bool disowned(const std::vector<Bytes>& answers) {
    if (answers.size() != 1) return false;
    const auto raw = parse(answers[0]);
    if (!raw || !raw->header.is_response()) return false;
    const auto message = decode(*raw);
    return message && message->find_notify(notify::invalid_ike_spi) != nullptr;
}

}  // namespace aronet::ike::test
