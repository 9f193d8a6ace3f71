#pragma once

// Who may open an IKE SA towards us: counts half-open SAs in all and per source, says when a cookie is due
// (RFC 7296 2.6), and recognises an IKE_SA_INIT request that came before. Costs nothing that a spoofed source
// can grow beyond the cap.

#include "ike/cookie.hpp"
#include "ike/exchange.hpp"
#include "ike/ground.hpp"

#include <tuple>

namespace aronet::ike {

class Admission {
public:
    enum class Verdict : std::uint8_t { admitted, cookie_wanted, full };

    Verdict judge(
        ByteView cookie, ByteView nonce, std::uint64_t spi_i, const Endpoint& from, const Turn& turn
    );
    Bytes cookie(ByteView nonce, std::uint64_t spi_i, const Endpoint& from, Turn& turn);

    // The session that this very request opened, if any.
    std::optional<SessionKey> known(std::uint64_t spi_i, const Endpoint& from, const Fingerprint& request)
        const;
    void opened(SessionKey session, std::uint64_t spi_i, const Endpoint& from, const Fingerprint& request);
    void authenticated(SessionKey session);  // no longer half open, still recognised
    void ended(SessionKey session);
    std::size_t half_open() const { return half_open_.size(); }
    bool half_open_from(const Endpoint& source) const;

private:
    using RequestKey = std::tuple<std::uint64_t, Endpoint, Fingerprint>;

    Cookies cookies_;
    std::map<RequestKey, SessionKey> requests_;
    std::map<SessionKey, RequestKey> opened_by_;
    std::map<SessionKey, base::Prefix> half_open_;
    std::map<base::Prefix, std::size_t> per_source_;
    Instant strict_until_{};
};

}  // namespace aronet::ike
