#include "ike/known_answers.hpp"

#include "base/bytes.hpp"
#include "ike/crypto.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

namespace aronet::ike {
namespace {

using base::from_hex;

struct KnownCipher {
    Cipher cipher;
    const char* name;     // in proposals
    const char* fetched;  // at OpenSSL
    const char* answer;   // AEAD: the tag of nothing; CBC: the block of zeros; key, nonce and IV are zeros
};

constexpr KnownCipher kCiphers[] = {
    {Cipher::aes_gcm_128, "aes128gcm16", "AES-128-GCM", "58e2fccefa7e3061367f1d57a4e7455a"},
    {Cipher::aes_gcm_192, "aes192gcm16", "AES-192-GCM", "cd33b28ac773f74ba00ed1f312572435"},
    {Cipher::aes_gcm_256, "aes256gcm16", "AES-256-GCM", "530f8afbc74536b9a963b4f1c4cb738b"},
    {Cipher::chacha20_poly1305, "chacha20poly1305", "ChaCha20-Poly1305", "4eb972c9a8fb3a1b382bb4d36f5ffad1"},
    {Cipher::aes_cbc_128, "aes128", "AES-128-CBC", "66e94bd4ef8a2c3b884cfa59ca342b2e"},
    {Cipher::aes_cbc_192, "aes192", "AES-192-CBC", "aae06992acbf52a3e8f4a96ec9300bd7"},
    {Cipher::aes_cbc_256, "aes256", "AES-256-CBC", "dc95c078a2408989ad48a21492842087"},
};

bool is_right(const KnownCipher& known) {
    const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> offered(
        EVP_CIPHER_fetch(nullptr, known.fetched, nullptr), &EVP_CIPHER_free
    );
    if (!offered) return false;
    const Bytes key(static_cast<std::size_t>(EVP_CIPHER_get_key_length(offered.get())));
    const Bytes zeros(16);
    const Bytes answer = from_hex(known.answer).value_or(Bytes{});
    if (!is_aead(known.cipher))
        return cbc_encrypt(known.cipher, key, zeros, zeros) == answer &&
               cbc_decrypt(known.cipher, key, zeros, answer) == zeros;
    const ByteView nonce = ByteView(zeros).first(12);
    Bytes altered = answer;
    altered.back() ^= 1;
    return aead_seal(known.cipher, key, nonce, {}, {}) == answer &&
           aead_open(known.cipher, key, nonce, {}, answer) == Bytes{} &&
           !aead_open(known.cipher, key, nonce, {}, altered);
}

struct KnownPrf {
    Prf prf;
    const char* name;
    const char* fetched;
    const char* answer;
};

// RFC 4231 4.3.
constexpr KnownPrf kPrfs[] = {
    {Prf::hmac_sha2_256,
     "prfsha256",
     "SHA256",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {Prf::hmac_sha2_384,
     "prfsha384",
     "SHA384",
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
    {Prf::hmac_sha2_512,
     "prfsha512",
     "SHA512",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
};

bool is_offered(const char* digest) {
    EVP_MD* fetched = EVP_MD_fetch(nullptr, digest, nullptr);
    EVP_MD_free(fetched);
    return fetched != nullptr;
}

bool is_right(const KnownPrf& known) {
    EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    EVP_MAC_free(hmac);
    if (hmac == nullptr || !is_offered(known.fetched)) return false;
    const Secret out =
        prf(known.prf, base::as_bytes("Jefe"), {base::as_bytes("what do ya want for nothing?")});
    return base::to_hex(out.view()) == known.answer;
}

// RFC 3174 7.3.
bool sha1_is_right() {
    return is_offered("SHA1") &&
           base::to_hex(sha1({base::as_bytes("abc")})) == "a9993e364706816aba3e25717850c26c9cd0d89d";
}

// RFC 8032 7.1, test 1.
bool ed25519_is_right() {
    const Bytes seed =
        from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value_or(Bytes{});
    const Secret secret{ByteView(seed)};
    const Signature signature = sign(SigningKey(secret), {});
    return base::to_hex(signature) ==
               "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
               "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" &&
           verify(public_key_of(secret), {}, signature);
}

struct KnownExchange {
    DhGroup group;
    const char* name;
    const char* generator;  // as a public value
    const char *key, *value, *other_key, *other_value;
    const char* secret;
};

// RFC 7748 6.1, RFC 5903 8.1.
constexpr KnownExchange kExchanges[] = {
    {DhGroup::curve25519,
     "x25519",
     "0900000000000000000000000000000000000000000000000000000000000000",
     "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
     "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
    {DhGroup::ecp256,
     "ecp256",
     "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
     "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
     "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
     "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
     "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
     "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
     "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
     "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
     "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
};

// A private key with the generator gives its own public value, of a point the first coordinate: so the keys
// that are drawn, which nobody knows before, are seen to have the right one, too.
bool is_right(const KnownExchange& known) {
    const auto bytes = [](const char* text) { return from_hex(text).value_or(Bytes{}); };
    const auto key_pair = [&](const char* key) {
        const Bytes secret = bytes(key);
        return KeyPair{known.group, Secret{ByteView(secret)}, {}};
    };
    const auto gives = [](const KeyPair& own, const Bytes& value, const Bytes& expected) {
        const auto secret = shared_secret(own, value);
        return secret && std::ranges::equal(secret->view(), ByteView(expected).first(secret->view().size()));
    };
    base::Random random{Bytes(32)};
    const KeyPair drawn = generate(known.group, random);
    const KeyPair own = key_pair(known.key), other = key_pair(known.other_key);
    const Bytes generator = bytes(known.generator), value = bytes(known.value);
    return gives(own, bytes(known.other_value), bytes(known.secret)) &&
           gives(other, value, bytes(known.secret)) && gives(own, generator, value) &&
           gives(drawn, generator, drawn.public_value);
}

}  // namespace

std::string broken_algorithm() {
    for (const KnownPrf& known : kPrfs) {
        if (!is_right(known)) return known.name;
    }
    for (const KnownCipher& known : kCiphers) {
        if (!is_right(known)) return known.name;
    }
    if (!sha1_is_right()) return "sha1";
    if (!ed25519_is_right()) return "ed25519";
    for (const KnownExchange& known : kExchanges) {
        if (!is_right(known)) return known.name;
    }
    return "";
}

}  // namespace aronet::ike
