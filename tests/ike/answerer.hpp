#pragma once

// A responder made of parts: it answers side a in the name of b, with b's key, and every payload on the way
// can be replaced. Nothing else arrives: the real b stays silent.

#include "stranger.hpp"

namespace aronet::ike::test {

class Answerer {
public:
    explicit Answerer(Dialogue& dialogue, std::uint64_t seed = 78);

    // Answers the IKE_SA_INIT request that a sent last, with more payloads behind those that have to be.
    void answer_init(const std::vector<Payload>& more = {});
    // What a sent last, opened.
    std::optional<Message> request() const;
    // Seals an answer to what a sent last and delivers it.
    void answer(const std::vector<Payload>& payloads);
    // IDr, AUTH and a child as a offered it.
    std::vector<Payload> auth_payloads() const;
    std::vector<Payload> child_payloads(std::uint32_t spi) const;

    Dialogue& d;
    base::Random random;
    std::uint64_t spi_i = 0, spi_r;
    Nonces nonces;
    Bytes init_response;
    IkeCipherSuite suite;
    std::optional<IkeKeys> keys;
    std::uint64_t next_iv = 0;

private:
    RawMessage last() const;
    void deliver(const Bytes& message);
};

}  // namespace aronet::ike::test
