#include "overlay/key_table.hpp"

#include <array>

namespace aronet::overlay {
namespace {

using base::EspSuite;

const char* name_of(ike::Cipher cipher) {
    switch (cipher) {
        case ike::Cipher::aes_gcm_128:
            return "AES-GCM-128 with 16 octet ICV [RFC5282]";
        case ike::Cipher::aes_gcm_192:
            return "AES-GCM-192 with 16 octet ICV [RFC5282]";
        case ike::Cipher::aes_gcm_256:
            return "AES-GCM-256 with 16 octet ICV [RFC5282]";
        case ike::Cipher::chacha20_poly1305:
            return nullptr;
        case ike::Cipher::aes_cbc_128:
            return "AES-CBC-128 [RFC3602]";
        case ike::Cipher::aes_cbc_192:
            return "AES-CBC-192 [RFC3602]";
        case ike::Cipher::aes_cbc_256:
            return "AES-CBC-256 [RFC3602]";
    }
    return nullptr;
}

const char* name_of(ike::Integrity integrity) {
    constexpr std::array<const char*, 4> names{
        "NONE [RFC4306]",
        "HMAC_SHA2_256_128 [RFC4868]",
        "HMAC_SHA2_384_192 [RFC4868]",
        "HMAC_SHA2_512_256 [RFC4868]"};
    return names.at(static_cast<std::size_t>(integrity));
}

struct EspNames {
    const char* cipher = nullptr;  // Wireshark does not know it
    const char* integrity = nullptr;
    std::size_t integrity_key = 0;  // octets at the end of the key
};

EspNames names_of(EspSuite suite) {
    switch (suite) {
        case EspSuite::aes_gcm_128:
        case EspSuite::aes_gcm_192:
        case EspSuite::aes_gcm_256:
            return {"AES-GCM with 16 octet ICV [RFC4106]", "NULL"};
        case EspSuite::chacha20_poly1305:
            return {};
        case EspSuite::aes_cbc_128_sha256:
        case EspSuite::aes_cbc_256_sha256:
            return {"AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", 32};
        case EspSuite::aes_cbc_256_sha512:
            return {"AES-CBC [RFC3602]", "HMAC-SHA-512-256 [RFC4868]", 64};
    }
    return {};
}

std::string spi_text(std::uint64_t spi) {
    return base::to_hex(static_cast<std::uint32_t>(spi >> 32)) +
           base::to_hex(static_cast<std::uint32_t>(spi));
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }
std::string key(base::ByteView bytes) { return quoted(bytes.empty() ? "" : "0x" + base::to_hex(bytes)); }

}  // namespace

std::string ike_row(const ike::KeysMade& keys) {
    const char* cipher = name_of(keys.suite.cipher);
    if (cipher == nullptr) return {};
    std::string row = spi_text(keys.spi_i) + "," + spi_text(keys.spi_r);
    row += "," + base::to_hex(keys.ei.view()) + "," + base::to_hex(keys.er.view()) + "," + quoted(cipher);
    row += "," + base::to_hex(keys.ai.view()) + "," + base::to_hex(keys.ar.view());
    return row + "," + quoted(name_of(keys.suite.integrity));
}

std::string esp_row(const base::Sa& sa) {
    const EspNames names = names_of(sa.suite);
    if (names.cipher == nullptr) return {};
    const base::ByteView all = sa.key.view();
    std::string row = quoted(sa.destination.address.is_v4() ? "IPv4" : "IPv6");
    row += "," + quoted(sa.source.address.to_string()) + "," + quoted(sa.destination.address.to_string());
    row += "," + quoted("0x" + base::to_hex(sa.spi)) + "," + quoted(names.cipher);
    row += "," + key(all.first(all.size() - names.integrity_key)) + "," + quoted(names.integrity);
    row += "," + key(all.last(names.integrity_key));
    return row + "," + quoted(sa.esn ? "64-bit" : "32-bit");
}

}  // namespace aronet::overlay
