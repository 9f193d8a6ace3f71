#include "ike/crypto.hpp"

#include "base/result.hpp"
#include "ike/openssl.hpp"

#include <openssl/hmac.h>

#include <sodium.h>

#include <algorithm>

namespace aronet::ike {
namespace {

using base::ensure;

const EVP_MD* digest_of(Prf which) {
    switch (which) {
        case Prf::hmac_sha2_256:
            return EVP_sha256();
        case Prf::hmac_sha2_384:
            return EVP_sha384();
        case Prf::hmac_sha2_512:
            return EVP_sha512();
    }
    return nullptr;
}

const EVP_MD* digest_of(Integrity which) {
    switch (which) {
        case Integrity::none:
            return nullptr;
        case Integrity::hmac_sha2_256_128:
            return EVP_sha256();
        case Integrity::hmac_sha2_384_192:
            return EVP_sha384();
        case Integrity::hmac_sha2_512_256:
            return EVP_sha512();
    }
    return nullptr;
}

const EVP_CIPHER* algorithm_of(Cipher cipher) {
    switch (cipher) {
        case Cipher::aes_gcm_128:
            return EVP_aes_128_gcm();
        case Cipher::aes_gcm_192:
            return EVP_aes_192_gcm();
        case Cipher::aes_gcm_256:
            return EVP_aes_256_gcm();
        case Cipher::chacha20_poly1305:
            return EVP_chacha20_poly1305();
        case Cipher::aes_cbc_128:
            return EVP_aes_128_cbc();
        case Cipher::aes_cbc_192:
            return EVP_aes_192_cbc();
        case Cipher::aes_cbc_256:
            return EVP_aes_256_cbc();
    }
    return nullptr;
}

constexpr int kTag = 16;

int to_int(std::size_t size) { return static_cast<int>(size); }

Secret hmac(const EVP_MD* digest, ByteView key, ByteView data) {
    Secret out(static_cast<std::size_t>(EVP_MD_get_size(digest)));
    // HMAC() takes a null key for "the one from before", which an empty view would look like.
    static constexpr base::Byte kEmpty = 0;
    const void* key_data = key.empty() ? &kEmpty : key.data();
    unsigned size = 0;
    ensure(
        HMAC(
            digest, key_data, to_int(key.size()), data.data(), data.size(), out.mutable_view().data(), &size
        ) != nullptr,
        "HMAC works"
    );
    return out;
}

Bytes concatenate(std::initializer_list<ByteView> parts) {
    Bytes all;
    for (const ByteView part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

std::string name_of(Cipher cipher) {
    switch (cipher) {
        case Cipher::aes_gcm_128:
            return "aes128gcm16";
        case Cipher::aes_gcm_192:
            return "aes192gcm16";
        case Cipher::aes_gcm_256:
            return "aes256gcm16";
        case Cipher::chacha20_poly1305:
            return "chacha20poly1305";
        case Cipher::aes_cbc_128:
            return "aes128";
        case Cipher::aes_cbc_192:
            return "aes192";
        case Cipher::aes_cbc_256:
            return "aes256";
    }
    return "";
}

}  // namespace

std::string IkeCipherSuite::to_string() const {
    constexpr std::array<const char*, 4> integrities{"", "-sha256", "-sha384", "-sha512"};
    constexpr std::array<const char*, 3> prfs{"-prfsha256", "-prfsha384", "-prfsha512"};
    return name_of(cipher) + integrities[static_cast<std::size_t>(integrity)] +
           prfs[static_cast<std::size_t>(prf)] + (group == DhGroup::ecp256 ? "-ecp256" : "-x25519");
}

bool is_aead(Cipher cipher) { return cipher <= Cipher::chacha20_poly1305; }

std::size_t key_size(Cipher cipher) {
    const auto size = static_cast<std::size_t>(EVP_CIPHER_get_key_length(algorithm_of(cipher)));
    return is_aead(cipher) ? size + 4 : size;
}

std::size_t key_size(Integrity integrity) {
    const EVP_MD* digest = digest_of(integrity);
    return digest == nullptr ? 0 : static_cast<std::size_t>(EVP_MD_get_size(digest));
}

std::size_t icv_size(Integrity integrity) { return key_size(integrity) / 2; }

std::size_t output_size(Prf prf) { return static_cast<std::size_t>(EVP_MD_get_size(digest_of(prf))); }

Secret prf(Prf which, ByteView key, std::initializer_list<ByteView> parts) {
    Bytes data = concatenate(parts);
    Secret out = hmac(digest_of(which), key, data);
    base::wipe(data);
    return out;
}

Secret prf_plus(Prf which, ByteView key, std::initializer_list<ByteView> seed, std::size_t size) {
    Bytes seeds = concatenate(seed);
    const std::size_t block = output_size(which);
    ensure(size <= 255 * block, "prf+ gives at most 255 blocks");
    Secret out(size);
    Secret previous;
    for (std::size_t done = 0, n = 1; done < size; ++n) {
        const auto counter = static_cast<base::Byte>(n);
        previous = prf(which, key, {previous.view(), seeds, ByteView(&counter, 1)});
        const std::size_t count = std::min(block, size - done);
        std::copy_n(
            previous.view().begin(), count, out.mutable_view().begin() + static_cast<std::ptrdiff_t>(done)
        );
        done += count;
    }
    base::wipe(seeds);
    return out;
}

SigningKey::SigningKey(const Secret& seed) : expanded(seed.empty() ? 0 : crypto_sign_SECRETKEYBYTES) {
    PublicKey key;
    if (!seed.empty())
        crypto_sign_seed_keypair(key.data(), expanded.mutable_view().data(), seed.view().data());
}

// Behind the seed stands the public key.
PublicKey public_key_of(const Secret& seed) {
    const SigningKey key(seed);
    PublicKey made{};
    std::ranges::copy(key.expanded.view().last(made.size()), made.begin());
    return made;
}

Signature sign(const SigningKey& key, ByteView message) {
    base::ensure(!key.expanded.empty(), "only who has a key signs");
    Signature signature{};
    crypto_sign_detached(
        signature.data(), nullptr, message.data(), message.size(), key.expanded.view().data()
    );
    return signature;
}

bool verify(const PublicKey& key, ByteView message, ByteView signature) {
    return signature.size() == 64 &&
           crypto_sign_verify_detached(signature.data(), message.data(), message.size(), key.data()) == 0;
}

Bytes aead_seal(Cipher cipher, ByteView key, ByteView nonce, ByteView aad, ByteView plaintext) {
    const CipherContext context(EVP_CIPHER_CTX_new());
    Bytes out(plaintext.size() + kTag);
    int size = 0;
    bool ok = EVP_EncryptInit_ex(context.get(), algorithm_of(cipher), nullptr, key.data(), nonce.data()) == 1;
    ok = ok && EVP_EncryptUpdate(context.get(), nullptr, &size, aad.data(), to_int(aad.size())) == 1;
    ok = ok &&
         EVP_EncryptUpdate(context.get(), out.data(), &size, plaintext.data(), to_int(plaintext.size())) == 1;
    ok = ok && EVP_EncryptFinal_ex(context.get(), out.data() + size, &size) == 1;
    ok = ok &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTag, out.data() + plaintext.size()) == 1;
    ensure(ok, "AEAD encryption works");
    return out;
}

std::optional<Bytes> aead_open(
    Cipher cipher, ByteView key, ByteView nonce, ByteView aad, ByteView ciphertext
) {
    if (ciphertext.size() < kTag) return std::nullopt;
    const ByteView body = ciphertext.first(ciphertext.size() - kTag);
    Bytes tag(ciphertext.end() - kTag, ciphertext.end());
    const CipherContext context(EVP_CIPHER_CTX_new());
    Bytes out(body.size());
    int size = 0;
    bool ok = EVP_DecryptInit_ex(context.get(), algorithm_of(cipher), nullptr, key.data(), nonce.data()) == 1;
    ok = ok && EVP_DecryptUpdate(context.get(), nullptr, &size, aad.data(), to_int(aad.size())) == 1;
    ok = ok && EVP_DecryptUpdate(context.get(), out.data(), &size, body.data(), to_int(body.size())) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) == 1;
    ok = ok && EVP_DecryptFinal_ex(context.get(), out.data() + size, &size) == 1;
    if (!ok) {
        base::wipe(out);
        return std::nullopt;
    }
    return out;
}

namespace {

Bytes cbc(bool encrypt, Cipher cipher, ByteView key, ByteView iv, ByteView data) {
    const CipherContext context(EVP_CIPHER_CTX_new());
    Bytes out(data.size());
    int size = 0;
    bool ok =
        EVP_CipherInit_ex(context.get(), algorithm_of(cipher), nullptr, key.data(), iv.data(), encrypt) == 1;
    ok = ok && EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1;
    ok = ok && EVP_CipherUpdate(context.get(), out.data(), &size, data.data(), to_int(data.size())) == 1;
    ok = ok && EVP_CipherFinal_ex(context.get(), out.data() + size, &size) == 1;
    ensure(ok, "CBC works on whole blocks");
    return out;
}

}  // namespace

Bytes cbc_encrypt(Cipher cipher, ByteView key, ByteView iv, ByteView plaintext) {
    return cbc(true, cipher, key, iv, plaintext);
}

Bytes cbc_decrypt(Cipher cipher, ByteView key, ByteView iv, ByteView ciphertext) {
    return cbc(false, cipher, key, iv, ciphertext);
}

Bytes integrity_check_value(Integrity which, ByteView key, ByteView data) {
    const Secret full = hmac(digest_of(which), key, data);
    const ByteView cut = full.view().first(icv_size(which));
    return {cut.begin(), cut.end()};
}

std::array<base::Byte, 20> sha1(std::initializer_list<ByteView> parts) {
    const Bytes data = concatenate(parts);
    std::array<base::Byte, 20> out{};
    ensure(
        EVP_Digest(data.data(), data.size(), out.data(), nullptr, EVP_sha1(), nullptr) == 1, "SHA-1 works"
    );
    return out;
}

std::array<base::Byte, 32> sha256(ByteView data) {
    std::array<base::Byte, 32> out{};
    crypto_hash_sha256(out.data(), data.data(), data.size());
    return out;
}

}  // namespace aronet::ike
