#include "ike/admission.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

// Cookies stay on this long after the last need: a mode that flickers makes initiators sign the wrong
// message.
constexpr Duration kStrictness = 10s;

// What one sender can be assumed to hold: an IPv4 address or an IPv6 /56.
base::Prefix source_of(const Endpoint& from) { return {from.address, from.address.is_v4() ? 32u : 56u}; }

}  // namespace

Admission::Verdict Admission::judge(
    ByteView cookie, ByteView nonce, std::uint64_t spi_i, const Endpoint& from, const Turn& turn
) {
    const EngineConfig& config = turn.ground.config;
    const auto counted = per_source_.find(source_of(from));
    const std::size_t from_source = counted == per_source_.end() ? 0 : counted->second;
    if (half_open_.size() >= config.cookie_threshold) strict_until_ = turn.now + kStrictness;
    const bool wanted = turn.now < strict_until_ || from_source >= config.cookie_threshold_per_source;
    if (wanted && !cookies_.check(cookie, nonce, from.address, spi_i, turn.now))
        return Verdict::cookie_wanted;
    const bool full =
        half_open_.size() >= config.half_open_max || from_source >= config.half_open_max_per_source;
    return full ? Verdict::full : Verdict::admitted;
}

Bytes Admission::cookie(ByteView nonce, std::uint64_t spi_i, const Endpoint& from, Turn& turn) {
    return cookies_.make(nonce, from.address, spi_i, turn.now, turn.ground.random);
}

std::optional<SessionKey> Admission::known(
    std::uint64_t spi_i, const Endpoint& from, const Fingerprint& request
) const {
    const auto it = requests_.find({spi_i, from, request});
    return it == requests_.end() ? std::nullopt : std::optional(it->second);
}

void Admission::opened(
    SessionKey session, std::uint64_t spi_i, const Endpoint& from, const Fingerprint& request
) {
    const RequestKey key{spi_i, from, request};
    requests_[key] = session;
    opened_by_[session] = key;
    half_open_[session] = source_of(from);
    ++per_source_[source_of(from)];
}

void Admission::authenticated(SessionKey session) {
    const auto it = half_open_.find(session);
    if (it == half_open_.end()) return;
    const auto counted = per_source_.find(it->second);
    if (--counted->second == 0) per_source_.erase(counted);
    half_open_.erase(it);
}

void Admission::ended(SessionKey session) {
    authenticated(session);
    const auto it = opened_by_.find(session);
    if (it == opened_by_.end()) return;
    requests_.erase(it->second);
    opened_by_.erase(it);
}

bool Admission::half_open_from(const Endpoint& source) const {
    return std::ranges::any_of(half_open_, [&](const auto& each) {
        return std::get<Endpoint>(opened_by_.at(each.first)) == source;
    });
}

}  // namespace aronet::ike
