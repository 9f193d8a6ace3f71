#pragma once

// A party to IKE SAs made of parts, for fuzz targets that hold a valid key: its names and keys, both sides of
// IKE_SA_INIT, the proof of IKE_AUTH. Says nothing of itself.

#include "ike/child.hpp"
#include "ike/engine.hpp"
#include "ike/keys.hpp"
#include "ike/message.hpp"
#include "ike/proposal.hpp"

namespace aronet::ike::fuzz {

inline base::Secret seed_of(int who) {
    const Bytes bytes(32, static_cast<base::Byte>(who + 1));
    return base::Secret(base::ByteView(bytes));
}

inline Identity name_of(int who) { return {"acme", "node" + std::to_string(who), "0", false}; }

inline Bytes id_body(const Identity& identity) {
    Bytes body{id_type::der_asn1_dn, 0, 0, 0};
    const Bytes der = identity.encode();
    body.insert(body.end(), der.begin(), der.end());
    return body;
}

inline Bytes bytes_of(std::uint64_t value, std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = size; i-- > 0; value >>= 8) bytes[i] = static_cast<base::Byte>(value);
    return bytes;
}

inline Peer peer_of(PeerId id, int local, int remote, std::optional<Endpoint> at) {
    Peer made;
    made.id = id;
    made.local = name_of(local);
    made.remote = name_of(remote);
    made.remote_keys = {public_key_of(seed_of(remote))};
    made.remote_endpoint = at;
    return made;
}

inline std::unique_ptr<Engine> engine_of(int who, base::Random& random) {
    EngineConfig config;
    config.private_key = seed_of(who);
    return std::make_unique<Engine>(std::move(config), random);
}

// One IKE SA from the party's side.
struct Sa {
    bool initiator = true;
    std::uint64_t spi_i = 0, spi_r = 0;
    IkeCipherSuite suite;
    IkeKeys keys;
    Bytes init, their_nonce;  // what AUTH covers: our IKE_SA_INIT message and the other side's nonce
    std::uint64_t iv = 0;
    std::uint32_t next_id = 1;
    std::optional<Header> asked;   // the other side's last request
    std::optional<Bytes> request;  // its datagram, where it was whole

    Sealer sealer(base::Random& random) {
        const Secret& e = initiator ? keys.ei : keys.er;
        const Secret& a = initiator ? keys.ai : keys.ar;
        return {&suite, e.view(), a.view(), &iv, &random};
    }
    Opener opener() const {
        return {&suite, (initiator ? keys.er : keys.ei).view(), (initiator ? keys.ar : keys.ai).view()};
    }
    bool holds(const Header& header) const { return header.spi_i == spi_i && header.spi_r == spi_r; }
    Header request_header(ExchangeType exchange) const {
        Header header;
        header.spi_i = spi_i;
        header.spi_r = spi_r;
        header.exchange = exchange;
        header.flags = initiator ? flag::initiator : std::uint8_t{0};
        header.message_id = next_id;
        return header;
    }
    // Of what was asked last.
    Header answer_header() const {
        Header header = request_header(asked->exchange);
        header.message_id = asked->message_id;
        header.flags = static_cast<std::uint8_t>(header.flags | flag::response);
        return header;
    }
};

inline std::optional<Message> message_of(const Bytes& bytes) {
    const auto raw = parse(bytes);
    if (!raw) return std::nullopt;
    auto message = decode(*raw);
    return message ? std::optional(std::move(*message)) : std::nullopt;
}

// IKE_SA_INIT of the party's own.
class Opening {
public:
    explicit Opening(base::Random& random, std::vector<Payload> more = {})
        : ke_(generate(DhGroup::curve25519, random)), nonce_(random.bytes(kNonceSize)) {
        header_.spi_i = random.u64();
        header_.flags = flag::initiator;
        list_ = {
            offer_,
            KePayload{group::curve25519, ke_.public_value},
            NoncePayload{nonce_},
            make_notify(notify::signature_hash_algorithms, {0, 5}),
            make_notify(notify::fragmentation_supported)};
        for (Payload& each : more) list_.push_back(std::move(each));
        request_ = encode(header_, list_);
    }
    const Bytes& request() const { return request_; }
    // Puts the cookie in front that the answer asks for. False: it asks for none.
    bool follow(const Message& answer) {
        const auto* cookie = answer.find_notify(notify::cookie);
        if (cookie == nullptr) return false;
        list_.insert(list_.begin(), make_notify(notify::cookie, cookie->data));
        request_ = encode(header_, list_);
        return true;
    }
    std::optional<Sa> take(const Message& answer) const {
        const bool ours = answer.header.spi_i == header_.spi_i && answer.header.is_response();
        if (!ours || answer.find<SaPayload>() == nullptr) return std::nullopt;
        Sa sa;
        sa.suite = accept_ike(offer_, *answer.find<SaPayload>())->suite;
        sa.spi_i = header_.spi_i;
        sa.spi_r = answer.header.spi_r;
        sa.init = request_;
        sa.their_nonce = answer.find<NoncePayload>()->data;
        const auto secret = shared_secret(ke_, answer.find<KePayload>()->data);
        sa.keys = derive_ike_keys(sa.suite, {nonce_, sa.their_nonce}, *secret, sa.spi_i, sa.spi_r);
        return sa;
    }

private:
    KeyPair ke_;
    Bytes nonce_, request_;
    SaPayload offer_ = offer_ike(false);
    Header header_;
    std::vector<Payload> list_;
};

// The SA that an answer to this IKE_SA_INIT request makes; the answer itself is its `init`.
inline std::optional<Sa> answer_opening(
    const Bytes& request, base::Random& random, const std::vector<Payload>& more = {}
) {
    const auto asked = message_of(request);
    const auto* theirs = asked ? asked->find<KePayload>() : nullptr;
    const auto choice =
        theirs == nullptr ? std::nullopt : choose_ike(*asked->find<SaPayload>(), theirs->group);
    if (!choice) return std::nullopt;
    const KeyPair ke = generate(choice->suite.group, random);
    const auto secret = shared_secret(ke, theirs->data);
    if (!secret) return std::nullopt;
    Sa sa;
    sa.initiator = false;
    sa.suite = choice->suite;
    sa.spi_i = asked->header.spi_i;
    sa.spi_r = random.u64();
    sa.next_id = 0;
    sa.their_nonce = asked->find<NoncePayload>()->data;
    const Bytes nonce = random.bytes(kNonceSize);
    sa.keys = derive_ike_keys(sa.suite, {sa.their_nonce, nonce}, *secret, sa.spi_i, sa.spi_r);
    Header header = asked->header;
    header.spi_r = sa.spi_r;
    header.flags = flag::response;
    std::vector<Payload> list{
        SaPayload{{choice->answer}},
        KePayload{theirs->group, ke.public_value},
        NoncePayload{nonce},
        make_notify(notify::signature_hash_algorithms, {0, 5}),
        make_notify(notify::fragmentation_supported)};
    list.insert(list.end(), more.begin(), more.end());
    sa.init = encode(header, list);
    return sa;
}

// Identities and AUTH of IKE_AUTH, as they should be.
inline std::vector<Payload> proof(const Sa& sa, int own, int other) {
    const Bytes body = id_body(name_of(own));
    const Bytes octets =
        signed_octets(sa.suite.prf, sa.init, sa.their_nonce, sa.initiator ? sa.keys.pi : sa.keys.pr, body);
    std::vector<Payload> list{
        IdPayload{!sa.initiator, body},
        AuthPayload{auth_method::digital_signature, make_auth_data(seed_of(own), octets)}};
    if (sa.initiator) list.emplace_back(IdPayload{true, id_body(name_of(other))});
    return list;
}

// A child: as an initiator offers it, or as the other side offered it in its last request.
inline std::vector<Payload> child_of(const Sa& sa, std::uint32_t spi) {
    if (sa.initiator) return {offer_esp(spi), any_selectors(false), any_selectors(true)};
    const auto raw = sa.request ? parse(*sa.request) : base::Result<RawMessage, Drop>(Drop::too_short);
    const auto asked = raw ? open(*raw, sa.opener()) : base::Result<Message, Drop>(Drop::too_short);
    const auto* offered = asked ? asked->find<SaPayload>() : nullptr;
    auto choice = offered == nullptr ? std::nullopt : choose_esp(*offered);
    if (!choice) return {};
    choice->answer.spi = bytes_of(spi, 4);
    return {SaPayload{{choice->answer}}, any_selectors(false), any_selectors(true)};
}

}  // namespace aronet::ike::fuzz
