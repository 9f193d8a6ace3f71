#include "babel/mac_key.hpp"

namespace aronet::babel {

namespace {

constexpr std::size_t kBlake2sKeyMax = 32;  // RFC 7693 section 2.1

}  // namespace

std::string_view to_string(MacAlgorithm algorithm) {
    return algorithm == MacAlgorithm::hmac_sha256 ? "hmac-sha256" : "blake2s128";
}

std::optional<MacAlgorithm> parse_mac_algorithm(std::string_view name) {
    for (const auto algorithm : {MacAlgorithm::hmac_sha256, MacAlgorithm::blake2s_128}) {
        if (name == to_string(algorithm)) return algorithm;
    }
    return std::nullopt;
}

std::size_t mac_size(MacAlgorithm algorithm) { return algorithm == MacAlgorithm::hmac_sha256 ? 32 : 16; }

MacKey::MacKey(MacAlgorithm a, base::ByteView key, bool with_signing, bool with_acceptance)
    : algorithm(a), secret(key), signs(with_signing), accepted(with_acceptance) {}

MacKey::MacKey(const MacKey& other)
    : MacKey(other.algorithm, other.secret.view(), other.signs, other.accepted) {}

MacKey& MacKey::operator=(const MacKey& other) { return *this = MacKey(other); }

bool MacKey::usable() const {
    return !secret.empty() && (algorithm != MacAlgorithm::blake2s_128 || secret.size() <= kBlake2sKeyMax);
}

}  // namespace aronet::babel
