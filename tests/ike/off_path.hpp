#pragma once

// Whoever knows addresses, ports and SPIs, and sends what it likes in anybody's name. It may act whenever
// something happens: play() calls it after every event.

#include "stranger.hpp"

#include <functional>
#include <set>

namespace aronet::ike::test {

class OffPath {
public:
    explicit OffPath(Dialogue& dialogue, std::uint64_t seed = 99);

    // In the name of the other side, to a or b; without the marker.
    void say_to(Side& side, const Bytes& message);
    void say_to_a(const Bytes& message) { say_to(d.a, message); }
    void say_to_b(const Bytes& message) { say_to(d.b, message); }
    // An unprotected answer to that IKE_SA_INIT request of a's.
    Bytes answer(const Passing& request, const std::vector<Payload>& payloads, std::uint64_t spi_r = 0) const;
    // A complete one, with a key exchange of the attacker's own.
    Bytes whole_answer(const Passing& request, std::uint64_t spi_r);
    // With the SPIs of a's SA: bytes that look protected.
    Bytes rubbish(ExchangeType exchange, std::uint8_t flags, std::uint32_t id);
    Bytes rubbish_fragment(
        ExchangeType exchange, std::uint8_t flags, std::uint32_t id, std::uint16_t number, std::uint16_t total
    );

    // Time passes until both have the tunnel; `act` hears of every IKE_SA_INIT request of a's with another
    // SPI.
    using Act = std::function<void(const Passing& request)>;
    OffPath& play(Duration at_most, const Act& act);

    Dialogue& d;
    base::Random random;

private:
    Header known_header(ExchangeType exchange, std::uint8_t flags, std::uint32_t id) const;
    std::set<std::uint64_t> seen_;
};

std::uint64_t spi_i_of(const Passing& message);

}  // namespace aronet::ike::test
