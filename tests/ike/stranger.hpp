#pragma once

// An initiator made of parts, for what no honest engine would send: it speaks to side b from a's address,
// with a's key, and every payload on the way can be replaced.

#include "dialogue.hpp"
#include "ike/keys.hpp"
#include "ike/message.hpp"
#include "ike/proposal.hpp"

namespace aronet::ike::test {

class Stranger {
public:
    explicit Stranger(Dialogue& dialogue, std::uint64_t seed = 77);

    Header init_header() const;
    std::vector<Payload> init_payloads() const;
    // Sends an IKE_SA_INIT request (init_payloads() unless given) and takes the answer's SPI and keys.
    bool init();
    bool init(const std::vector<Payload>& payloads);
    // IDi, IDr, AUTH, SA, TSi, TSr as they should be.
    std::vector<Payload> auth_payloads(const Identity& own, const Identity& other) const;
    std::vector<Payload> auth_payloads() const;
    AuthPayload auth_over(ByteView id_body, const Secret& key) const;
    bool establish();

    // What b asked last, opened, and our answer to it: what b sent at once.
    std::optional<Message> asked() const;
    std::vector<Bytes> answer(const std::vector<Payload>& payloads);
    // A sealed request with the next message ID; its answer, opened.
    std::optional<Message> request(ExchangeType exchange, const std::vector<Payload>& payloads);
    Bytes seal_request(ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id);
    Bytes seal_message(
        ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id, std::uint8_t flags
    );
    // The same in fragments of at most `size` octets.
    std::vector<Bytes> seal_fragments(
        ExchangeType exchange, const std::vector<Payload>& payloads, std::uint32_t id, std::size_t size
    );
    // Delivers a message from there and returns what b sent at once, without markers.
    std::vector<Bytes> deliver(const Bytes& message);
    std::vector<Bytes> deliver_from(const Endpoint& from, const Bytes& message);
    std::optional<Message> open_answer(const std::vector<Bytes>& answers) const;
    std::uint32_t child_spi(const Message& answer) const;  // of the SA payload

    Dialogue& d;
    base::Random random;
    Endpoint place;      // where it speaks from: a's
    bool marked = true;  // behind the non-ESP marker
    std::uint64_t spi_i, spi_r = 0;
    bool initiator = true;  // of the IKE SA: false after b has rekeyed it
    std::uint32_t next_id = 1, esp_spi = 0x11111111;
    KeyPair ke;
    Nonces nonces;
    SaPayload offer = offer_ike(false), esp_offer;
    Bytes init_request, init_response;
    IkeCipherSuite suite;
    std::optional<IkeKeys> keys;
    std::uint64_t next_iv = 0;

private:
    Header request_header(ExchangeType exchange, std::uint32_t id, std::uint8_t flags) const;
    Sealer sealer();
    Opener opener() const;
};

// b waits for whoever comes in the name of a.
struct Waiting {
    explicit Waiting(EngineConfig for_b = {}) : d(1, {}, std::move(for_b)) {
        Peer peer = d.peer_of_b();
        peer.remote_endpoint.reset();
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    }
    Dialogue d;
};

// And that is a stranger.
struct Awaiting : Waiting {
    using Waiting::Waiting;
    Stranger stranger{d};
};

Bytes id_body(const Identity& identity);

// The one answer says INVALID_IKE_SPI, unprotected.
bool disowned(const std::vector<Bytes>& answers);

}  // namespace aronet::ike::test
