#pragma once

// Cryptography of IKEv2 as values and free functions over libsodium and OpenSSL. No state, no clock;
// randomness is given. Secrets come and go as base::Secret.

#include "base/random.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace aronet::ike {

using base::Bytes;
using base::ByteView;
using base::Secret;

enum class Prf : std::uint8_t { hmac_sha2_256, hmac_sha2_384, hmac_sha2_512 };
enum class Integrity : std::uint8_t { none, hmac_sha2_256_128, hmac_sha2_384_192, hmac_sha2_512_256 };
enum class Cipher : std::uint8_t {
    aes_gcm_128,
    aes_gcm_192,
    aes_gcm_256,
    chacha20_poly1305,
    aes_cbc_128,
    aes_cbc_192,
    aes_cbc_256
};
enum class DhGroup : std::uint16_t { ecp256 = 19, curve25519 = 31 };

struct IkeCipherSuite {
    Cipher cipher = Cipher::aes_gcm_256;
    Integrity integrity = Integrity::none;  // none exactly with the AEAD ciphers
    Prf prf = Prf::hmac_sha2_512;
    DhGroup group = DhGroup::curve25519;
    std::string to_string() const;  // aes256gcm16-prfsha512-x25519
    bool operator==(const IkeCipherSuite&) const = default;
};

bool is_aead(Cipher cipher);
std::size_t key_size(Cipher cipher);  // with the salt of an AEAD (RFC 5282 7.1, RFC 7634 2)
std::size_t key_size(Integrity integrity);
std::size_t icv_size(Integrity integrity);
std::size_t output_size(Prf prf);

// prf(key, parts concatenated) and prf+ (RFC 7296 2.13); at most 255 blocks.
Secret prf(Prf which, ByteView key, std::initializer_list<ByteView> parts);
Secret prf_plus(Prf which, ByteView key, std::initializer_list<ByteView> seed, std::size_t size);

struct KeyPair {
    DhGroup group = DhGroup::curve25519;
    Secret private_key;
    Bytes public_value;  // as in the KE payload
};
KeyPair generate(DhGroup group, base::Random& random);
// nullopt: the value is malformed, not on the curve or leads to the all-zero secret (RFC 7748 6.1, RFC 8031
// 2).
std::optional<Secret> shared_secret(const KeyPair& own, ByteView peer_value);
std::size_t public_value_size(DhGroup group);

using PublicKey = std::array<base::Byte, 32>;  // Ed25519
using Signature = std::array<base::Byte, 64>;
PublicKey public_key_of(const Secret& seed);
// An Ed25519 key ready to sign: to make it of its seed (32 bytes, or none: it then signs nothing) costs as
// much as a signature.
struct SigningKey {
    SigningKey(const Secret& seed);
    Secret expanded;
};
Signature sign(const SigningKey& key, ByteView message);
bool verify(const PublicKey& key, ByteView message, ByteView signature);
// A signature as a file of its own: base64, or the bare 64 octets (as `openssl pkeyutl` writes them).
std::string signature_to_text(const Signature& signature);
base::Result<Signature> parse_signature(std::string_view file);

// AEAD with a 12-octet nonce and a 16-octet tag behind the ciphertext; the key comes without its salt.
Bytes aead_seal(Cipher cipher, ByteView key, ByteView nonce, ByteView aad, ByteView plaintext);
std::optional<Bytes> aead_open(
    Cipher cipher, ByteView key, ByteView nonce, ByteView aad, ByteView ciphertext
);
// CBC without padding: whole blocks of 16 octets.
Bytes cbc_encrypt(Cipher cipher, ByteView key, ByteView iv, ByteView plaintext);
Bytes cbc_decrypt(Cipher cipher, ByteView key, ByteView iv, ByteView ciphertext);
Bytes integrity_check_value(Integrity which, ByteView key, ByteView data);

std::array<base::Byte, 20> sha1(std::initializer_list<ByteView> parts);  // NAT detection only (RFC 7296 2.23)
std::array<base::Byte, 32> sha256(ByteView data);

// PEM of one Ed25519 key: PKCS#8 private, SubjectPublicKeyInfo public. Errors say what was found instead.
base::Result<Secret> parse_private_key(std::string_view pem);
base::Result<PublicKey> parse_public_key(std::string_view pem);
std::string private_key_to_pem(const Secret& seed);
std::string public_key_to_pem(const PublicKey& key);

}  // namespace aronet::ike
