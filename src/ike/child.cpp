#include "ike/child.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

constexpr std::size_t kSelectorsMax = 64;  // of one side, after narrowing

std::optional<TrafficSelector> intersection(const TrafficSelector& a, const TrafficSelector& b) {
    if (a.start.family() != b.start.family()) return std::nullopt;
    if (a.ip_protocol != 0 && b.ip_protocol != 0 && a.ip_protocol != b.ip_protocol) return std::nullopt;
    const TrafficSelector both{
        std::max(a.ip_protocol, b.ip_protocol),
        std::max(a.start_port, b.start_port),
        std::min(a.end_port, b.end_port),
        std::max(a.start, b.start),
        std::min(a.end, b.end)};
    if (both.start_port > both.end_port || both.start > both.end) return std::nullopt;
    return both;
}

}  // namespace

TsPayload any_selectors(bool responder) { return selectors(responder, {}); }

TsPayload selectors(bool responder, const std::vector<TrafficSelector>& ours) {
    if (!ours.empty()) return {responder, ours};
    return {responder, {TrafficSelector::any(base::Family::v4), TrafficSelector::any(base::Family::v6)}};
}

std::vector<TrafficSelector> narrow(
    const TsPayload& offered, const std::vector<TrafficSelector>& ours, bool narrower
) {
    std::vector<TrafficSelector> narrowed;
    for (const TrafficSelector& own : selectors(offered.responder, ours).selectors) {
        for (const TrafficSelector& theirs : offered.selectors) {
            const auto both = intersection(own, theirs);
            const bool fits = both && (narrower || *both == own) && narrowed.size() < kSelectorsMax;
            if (fits && std::find(narrowed.begin(), narrowed.end(), *both) == narrowed.end())
                narrowed.push_back(*both);
        }
    }
    return narrowed;
}

const char* to_string(base::EspSuite suite) {
    switch (suite) {
        case base::EspSuite::aes_gcm_128:
            return "aes128gcm16";
        case base::EspSuite::aes_gcm_192:
            return "aes192gcm16";
        case base::EspSuite::aes_gcm_256:
            return "aes256gcm16";
        case base::EspSuite::chacha20_poly1305:
            return "chacha20poly1305";
        case base::EspSuite::aes_cbc_128_sha256:
            return "aes128-sha256";
        case base::EspSuite::aes_cbc_256_sha256:
            return "aes256-sha256";
        case base::EspSuite::aes_cbc_256_sha512:
            return "aes256-sha512";
    }
    return "unknown";
}

}  // namespace aronet::ike
