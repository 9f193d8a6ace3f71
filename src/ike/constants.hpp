#pragma once

// The numbers of IKEv2 on the wire (RFC 7296 section 3 and the IANA registry), only those we speak or must
// recognise.

#include <cstddef>
#include <cstdint>

namespace aronet::ike {

enum class ExchangeType : std::uint8_t {
    ike_sa_init = 34,
    ike_auth = 35,
    create_child_sa = 36,
    informational = 37
};

enum class PayloadType : std::uint8_t {
    none = 0,
    sa = 33,
    ke = 34,
    id_i = 35,
    id_r = 36,
    cert = 37,
    certreq = 38,
    auth = 39,
    nonce = 40,
    notify = 41,
    delete_ = 42,
    vendor_id = 43,
    ts_i = 44,
    ts_r = 45,
    sk = 46,
    cp = 47,
    eap = 48,
    skf = 53,
};

namespace flag {                                 // RFC 7296 3.1
inline constexpr std::uint8_t initiator = 0x08;  // of the IKE SA, not of the exchange
inline constexpr std::uint8_t version = 0x10;
inline constexpr std::uint8_t response = 0x20;
}  // namespace flag

enum class Protocol : std::uint8_t { none = 0, ike = 1, ah = 2, esp = 3 };

enum class TransformType : std::uint8_t { encr = 1, prf = 2, integ = 3, ke = 4, esn = 5 };

namespace encr {
inline constexpr std::uint16_t aes_cbc = 12, aes_gcm_16 = 20, chacha20_poly1305 = 28;
}
namespace prf_id {
inline constexpr std::uint16_t hmac_sha2_256 = 5, hmac_sha2_384 = 6, hmac_sha2_512 = 7;
}
namespace integ {
inline constexpr std::uint16_t none = 0, hmac_sha2_256_128 = 12, hmac_sha2_384_192 = 13,
                               hmac_sha2_512_256 = 14;
}
namespace group {
inline constexpr std::uint16_t none = 0, ecp256 = 19, curve25519 = 31;
}
namespace esn {
inline constexpr std::uint16_t no = 0, yes = 1;
}
enum class Esn : std::uint8_t { no, preferred, required };  // what we want of RFC 4303 2.2.1

namespace notify {
inline constexpr std::uint16_t unsupported_critical_payload = 1, invalid_ike_spi = 4,
                               invalid_major_version = 5, invalid_syntax = 7, invalid_message_id = 9,
                               invalid_spi = 11, no_proposal_chosen = 14, invalid_ke_payload = 17,
                               authentication_failed = 24, single_pair_required = 34, no_additional_sas = 35,
                               internal_address_failure = 36, failed_cp_required = 37, ts_unacceptable = 38,
                               invalid_selectors = 39, temporary_failure = 43, child_sa_not_found = 44;
inline constexpr std::uint16_t first_status = 16384;  // RFC 7296 3.10.1: below are errors
inline constexpr std::uint16_t initial_contact = 16384, set_window_size = 16385,
                               additional_ts_possible = 16386, nat_detection_source_ip = 16388,
                               nat_detection_destination_ip = 16389, cookie = 16390,
                               use_transport_mode = 16391, rekey_sa = 16393,
                               esp_tfc_padding_not_supported = 16394, mobike_supported = 16396,
                               multiple_auth_supported = 16404, redirect_supported = 16406, redirect = 16407,
                               childless_supported = 16418, fragmentation_supported = 16430,
                               signature_hash_algorithms = 16431, use_ppk = 16435, ppk_identity = 16436,
                               no_ppk_auth = 16437, intermediate_supported = 16438;
// For private use (RFC 7296 3.10.1), with our name as its data: ChildUp::shares_link (docs/ike.md).
inline constexpr std::uint16_t shared_link = 41120;
}  // namespace notify

namespace id_type {
inline constexpr std::uint8_t der_asn1_dn = 9;
}
namespace auth_method {
inline constexpr std::uint8_t shared_key = 2, digital_signature = 14;  // RFC 7296 3.8, RFC 7427
}
namespace ppk_id_type {
inline constexpr std::uint8_t fixed = 2;  // RFC 8784 5.1
}
namespace ts_type {
inline constexpr std::uint8_t ipv4_range = 7, ipv6_range = 8;
}
inline constexpr std::uint16_t kHashIdentity = 5;  // RFC 8420: Ed25519 signs the message, not its hash

inline constexpr std::size_t kHeaderSize = 28;
inline constexpr std::size_t kMessageMax = 65535;
inline constexpr std::size_t kInitMax = 8192;  // of an IKE_SA_INIT request, which is kept for AUTH
inline constexpr std::size_t kPayloadsMax = 64;
inline constexpr std::size_t kProposalsMax = 64;
inline constexpr std::size_t kNotifiesMax = 32;
inline constexpr std::size_t kNonceMin = 16, kNonceMax = 256;  // RFC 7296 3.9
inline constexpr std::size_t kNonceSize = 32;  // ours: enough for every PRF, comparable with anybody's

}  // namespace aronet::ike
