#include "off_path.hpp"

#include <catch2/catch.hpp>

namespace aronet::ike::test {

std::uint64_t spi_i_of(const Passing& message) {
    return base::Reader(base::ByteView(message.bytes).subspan(4)).u64();
}

OffPath::OffPath(Dialogue& dialogue, std::uint64_t seed)
    : d(dialogue), random(base::Random::from_number(seed)) {}

void OffPath::say_to(Side& side, const Bytes& message) {
    Passing datagram;
    datagram.bytes.assign(4, 0);
    datagram.bytes.insert(datagram.bytes.end(), message.begin(), message.end());
    datagram.from = &side == &d.a ? d.b.endpoint : d.a.endpoint;
    datagram.to = side.endpoint;
    d.deliver(datagram);
}

Bytes OffPath::answer(const Passing& request, const std::vector<Payload>& payloads, std::uint64_t spi_r)
    const {
    Header header;
    header.spi_i = spi_i_of(request);
    header.spi_r = spi_r;
    header.flags = flag::response;
    return encode(header, payloads);
}

Bytes OffPath::whole_answer(const Passing& request, std::uint64_t spi_r) {
    const auto choice = choose_ike(offer_ike(false), group::curve25519);
    const KeyPair ke = generate(DhGroup::curve25519, random);
    return answer(
        request,
        {SaPayload{{choice->answer}},
         KePayload{group::curve25519, ke.public_value},
         NoncePayload{random.bytes(kNonceSize)},
         make_notify(notify::signature_hash_algorithms, {0, 5}),
         make_notify(notify::fragmentation_supported)},
        spi_r
    );
}

Header OffPath::known_header(ExchangeType exchange, std::uint8_t flags, std::uint32_t id) const {
    const PeerView view = d.a.view();
    Header header;
    header.spi_i = view.spi_i;
    header.spi_r = view.spi_r;
    header.exchange = exchange;
    header.flags = flags;
    header.message_id = id;
    return header;
}

namespace {

const IkeCipherSuite kSuite;

}  // namespace

Bytes OffPath::rubbish(ExchangeType exchange, std::uint8_t flags, std::uint32_t id) {
    const Bytes key = random.bytes(key_size(kSuite.cipher));
    std::uint64_t iv = random.u64();
    const std::vector<Payload> payloads{DeletePayload{Protocol::ike, {}}};
    return seal(known_header(exchange, flags, id), payloads, {&kSuite, key, {}, &iv, &random});
}

Bytes OffPath::rubbish_fragment(
    ExchangeType exchange, std::uint8_t flags, std::uint32_t id, std::uint16_t number, std::uint16_t total
) {
    const Bytes key = random.bytes(key_size(kSuite.cipher));
    std::uint64_t iv = random.u64();
    const std::vector<Payload> payloads{make_notify(40000, random.bytes(900))};
    const Header header = known_header(exchange, flags, id);
    Bytes first = seal_in_fragments(header, payloads, {&kSuite, key, {}, &iv, &random}, 300).front();
    first[32] = static_cast<base::Byte>(number >> 8);
    first[33] = static_cast<base::Byte>(number);
    first[34] = static_cast<base::Byte>(total >> 8);
    first[35] = static_cast<base::Byte>(total);
    return first;
}

OffPath& OffPath::play(Duration at_most, const Act& act) {
    d.advance_until(at_most, [&] {
        for (std::size_t i = 0; i < d.sent.size(); ++i) {
            const Passing message = d.sent[i];
            if (!message.by_a || message.response() || message.exchange() != 34) continue;
            if (seen_.insert(spi_i_of(message)).second) act(message);
        }
        return d.tunnel();
    });
    return *this;
}

}  // namespace aronet::ike::test
