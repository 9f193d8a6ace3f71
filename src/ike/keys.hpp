#pragma once

// Keys of an IKE SA and of its children (RFC 7296 2.13, 2.14, 2.17, 2.18) and what AUTH signs (2.15, RFC
// 7427).

#include "base/sa.hpp"
#include "ike/crypto.hpp"

namespace aronet::ike {

// An SPI of an IKE SA as on the wire.
inline Bytes ike_spi_bytes(std::uint64_t spi) {
    Bytes bytes;
    base::Writer(bytes).u64(spi);
    return bytes;
}

struct Nonces {
    Bytes initiator, responder;  // of the exchange
};

struct IkeKeys {
    Secret d, ai, ar, ei, er, pi, pr;  // SK_d, SK_ai, ...
};

// SKEYSEED = prf(Ni | Nr, g^ir), then prf+ over Ni | Nr | SPIi | SPIr.
IkeKeys derive_ike_keys(
    const IkeCipherSuite& suite,
    const Nonces& nonces,
    const Secret& dh,
    std::uint64_t spi_i,
    std::uint64_t spi_r
);
// Of a rekeyed IKE SA: SKEYSEED by the old SA's PRF and SK_d, the rest by the new suite.
IkeKeys derive_rekeyed_keys(
    Prf old_prf,
    const Secret& old_d,
    const IkeCipherSuite& suite,
    const Nonces& nonces,
    const Secret& dh,
    std::uint64_t spi_i,
    std::uint64_t spi_r
);

// The keys that a postquantum preshared key goes into (RFC 8784 3); only when the first IKE SA is made.
struct PpkKeys {
    Secret d, pi, pr;
};
PpkKeys mix_ppk(Prf prf, ByteView ppk, const IkeKeys& keys);

struct ChildKeys {
    Secret initiator_to_responder,
        responder_to_initiator;  // of the exchange; base::key_size(suite) octets each
};
// `dh` is empty without PFS.
ChildKeys derive_child_keys(
    Prf prf, const Secret& d, base::EspSuite suite, const Nonces& nonces, const Secret& dh = {}
);

// What one side's AUTH covers: its own IKE_SA_INIT message, the other side's nonce, prf(SK_p, ID body).
Bytes signed_octets(
    Prf prf, ByteView own_init_message, ByteView peer_nonce, const Secret& sk_p, ByteView id_body
);
// The AUTH data of method 14: 07, the AlgorithmIdentifier of Ed25519, the signature.
Bytes make_auth_data(const SigningKey& key, ByteView octets);
bool verify_auth_data(const PublicKey& key, ByteView octets, ByteView auth_data);
// The AUTH data of method 2 (RFC 7296 2.15).
Secret shared_key_auth_data(Prf prf, ByteView shared_secret, ByteView octets);

}  // namespace aronet::ike
