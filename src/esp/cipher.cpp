#include "esp/cipher.hpp"

#include "base/secret.hpp"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

namespace aronet::esp {
namespace {

using base::EspSuite;

struct Transform {
    const EVP_CIPHER* (*cipher)();
    std::size_t key_size;  // without salt or integrity key
    const char* digest;    // of the HMAC; nullptr with an AEAD
    std::size_t icv_size;
};

Transform transform_of(EspSuite suite) {
    switch (suite) {
        case EspSuite::aes_gcm_128: return {EVP_aes_128_gcm, 16, nullptr, 16};
        case EspSuite::aes_gcm_192: return {EVP_aes_192_gcm, 24, nullptr, 16};
        case EspSuite::aes_gcm_256: return {EVP_aes_256_gcm, 32, nullptr, 16};
        case EspSuite::chacha20_poly1305: return {EVP_chacha20_poly1305, 32, nullptr, 16};
        case EspSuite::aes_cbc_128_sha256: return {EVP_aes_128_cbc, 16, "SHA256", 16};
        case EspSuite::aes_cbc_256_sha256: return {EVP_aes_256_cbc, 32, "SHA256", 16};
        case EspSuite::aes_cbc_256_sha512: return {EVP_aes_256_cbc, 32, "SHA512", 32};
    }
    return {nullptr, 0, nullptr, 0};
}

EVP_MAC_CTX* new_hmac(const char* digest, ByteView key) {
    EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    EVP_MAC_CTX* context = hmac ? EVP_MAC_CTX_new(hmac) : nullptr;
    EVP_MAC_free(hmac);  // the context keeps its own reference
    if (!context) return nullptr;
    std::string name = digest;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0), OSSL_PARAM_construct_end()};
    if (EVP_MAC_init(context, key.data(), key.size(), parameters) == 1) return context;
    EVP_MAC_CTX_free(context);
    return nullptr;
}

std::array<Byte, 4> big_endian(std::uint32_t v) {
    return {
        static_cast<Byte>(v >> 24),
        static_cast<Byte>(v >> 16),
        static_cast<Byte>(v >> 8),
        static_cast<Byte>(v)};
}

}  // namespace

std::optional<Cipher> Cipher::make(EspSuite suite, base::Direction direction, ByteView key) {
    const Transform transform = transform_of(suite);
    if (!transform.cipher || key.size() != base::key_size(suite)) return std::nullopt;
    Cipher made;
    made.aead_ = transform.digest == nullptr;
    made.icv_size_ = transform.icv_size;
    made.cipher_.reset(EVP_CIPHER_CTX_new());
    const int encrypt = direction == base::Direction::out ? 1 : 0;
    if (EVP_CipherInit_ex(made.cipher_.get(), transform.cipher(), nullptr, key.data(), nullptr, encrypt) != 1)
        return std::nullopt;
    const ByteView second = key.subspan(transform.key_size);
    if (made.aead_) {
        std::copy(second.begin(), second.end(), made.salt_.begin());
        return made;
    }
    EVP_CIPHER_CTX_set_padding(made.cipher_.get(), 0);
    made.mac_.reset(new_hmac(transform.digest, second));
    if (!made.mac_) return std::nullopt;
    return made;
}

bool Cipher::seal(std::span<Byte> packet, std::optional<std::uint32_t> high) {
    const auto icv = packet.last(icv_size_);
    if (aead_) {
        return start_aead(packet, high) && crypt(body(packet)) &&
               EVP_CIPHER_CTX_ctrl(
                   cipher_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(icv_size_), icv.data()
               ) == 1;
    }
    const Byte* iv = packet.data() + kHeaderSize;
    if (EVP_CipherInit_ex(cipher_.get(), nullptr, nullptr, nullptr, iv, -1) != 1) return false;
    Icv value;
    if (!crypt(body(packet)) || !integrity_check_value(packet.first(packet.size() - icv_size_), high, value))
        return false;
    std::copy_n(value.begin(), icv_size_, icv.begin());
    return true;
}

bool Cipher::open(std::span<Byte> packet, std::optional<std::uint32_t> high) {
    const auto icv = packet.last(icv_size_);
    if (aead_) {
        return start_aead(packet, high) &&
               EVP_CIPHER_CTX_ctrl(
                   cipher_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(icv_size_), icv.data()
               ) == 1 &&
               crypt(body(packet));
    }
    Icv value;
    if (!integrity_check_value(packet.first(packet.size() - icv_size_), high, value)) return false;
    if (!base::equal_in_constant_time(ByteView(value).first(icv_size_), icv)) return false;
    const Byte* iv = packet.data() + kHeaderSize;
    return EVP_CipherInit_ex(cipher_.get(), nullptr, nullptr, nullptr, iv, -1) == 1 && crypt(body(packet));
}

// Nonce: salt and IV (RFC 4106 4, RFC 7634 2). Additional data: SPI and the 32- or 64-bit sequence number
// (RFC 4106 5, RFC 7634 2.1).
bool Cipher::start_aead(std::span<const Byte> packet, std::optional<std::uint32_t> high) {
    std::array<Byte, 12> nonce;
    std::copy_n(packet.begin() + kHeaderSize, 8, std::copy(salt_.begin(), salt_.end(), nonce.begin()));
    std::array<Byte, 12> aad;
    auto end = std::copy_n(packet.begin(), 4, aad.begin());
    if (high) {
        const auto upper = big_endian(*high);
        end = std::copy(upper.begin(), upper.end(), end);
    }
    end = std::copy_n(packet.begin() + 4, 4, end);
    int written = 0;
    return EVP_CipherInit_ex(cipher_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
           EVP_CipherUpdate(
               cipher_.get(), nullptr, &written, aad.data(), static_cast<int>(end - aad.begin())
           ) == 1;
}

bool Cipher::crypt(std::span<Byte> text) {
    int written = 0;
    std::array<Byte, 32> rest;  // stays empty: whole blocks without padding
    return EVP_CipherUpdate(
               cipher_.get(), text.data(), &written, text.data(), static_cast<int>(text.size())
           ) == 1 &&
           EVP_CipherFinal_ex(cipher_.get(), rest.data(), &written) == 1;
}

// RFC 4303 2.8: over the packet without the ICV, then the upper half of an extended sequence number (2.2.1).
bool Cipher::integrity_check_value(ByteView covered, std::optional<std::uint32_t> high, Icv& out) {
    EVP_MAC_CTX* mac = mac_.get();
    if (EVP_MAC_init(mac, nullptr, 0, nullptr) != 1) return false;
    if (EVP_MAC_update(mac, covered.data(), covered.size()) != 1) return false;
    if (high) {
        const auto upper = big_endian(*high);
        if (EVP_MAC_update(mac, upper.data(), upper.size()) != 1) return false;
    }
    std::size_t written = 0;
    return EVP_MAC_final(mac, out.data(), &written, out.size()) == 1;
}

}  // namespace aronet::esp
