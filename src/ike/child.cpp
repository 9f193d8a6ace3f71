#include "ike/child.hpp"

#include <algorithm>

namespace aronet::ike {

namespace {

bool covers(const TrafficSelector& offered, const TrafficSelector& ours) {
    return offered.ip_protocol == 0 && offered.start_port == 0 && offered.end_port == 65535 &&
           offered.start == ours.start && offered.end == ours.end;
}

}  // namespace

TsPayload any_selectors(bool responder) {
    return {responder, {TrafficSelector::any(base::Family::v4), TrafficSelector::any(base::Family::v6)}};
}

TsPayload narrow(const TsPayload& offered) {
    TsPayload narrowed = any_selectors(offered.responder);
    std::erase_if(narrowed.selectors, [&](const TrafficSelector& ours) {
        return std::none_of(
            offered.selectors.begin(),
            offered.selectors.end(),
            [&](const TrafficSelector& theirs) { return covers(theirs, ours); }
        );
    });
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
