// Ed25519 keys as PEM (RFC 7468, RFC 8410), and signatures as files. The DER around a key of this one kind is
// constant, so it is compared, not parsed: anything else is another kind of key.

#include "ike/crypto.hpp"

#include <sodium.h>

#include <algorithm>

namespace aronet::ike {
namespace {

// PKCS#8: version 0, Ed25519, an OCTET STRING holding an OCTET STRING of 32 octets.
constexpr std::array<base::Byte, 16> kPrivatePrefix{
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
// SubjectPublicKeyInfo: Ed25519, a BIT STRING of 32 octets.
constexpr std::array<base::Byte, 12> kPublicPrefix{
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
constexpr std::string_view kBegin = "-----BEGIN ", kDashes = "-----";
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

base::Error error(std::string text) { return {std::move(text)}; }

// The DER of the one block in the text, which must have this label.
base::Result<Secret> decode_pem(std::string_view text, std::string_view label) {
    const std::string wanted = "expected a PEM \"" + std::string(label) + "\" (Ed25519)";
    text = trim(text);
    if (!text.starts_with(kBegin)) return error(wanted + ", found no \"-----BEGIN\" line");
    const auto label_end = text.find(kDashes, kBegin.size());
    if (label_end == std::string_view::npos) return error(wanted + ", found a broken first line");
    const std::string_view found = text.substr(kBegin.size(), label_end - kBegin.size());
    if (found != label) return error(wanted + ", found \"" + base::printable(found, 40) + "\"");
    const std::string end = "-----END " + std::string(label) + "-----";
    const auto body_end = text.find(end);
    if (body_end == std::string_view::npos) return error(wanted + ", found no \"" + end + "\"");
    if (body_end + end.size() != text.size()) return error(wanted + ", found more text behind it");
    const std::string_view body =
        text.substr(label_end + kDashes.size(), body_end - label_end - kDashes.size());
    Secret der(body.size());
    std::size_t size = 0;
    const char* stopped = nullptr;
    if (sodium_base642bin(
            der.mutable_view().data(),
            der.size(),
            body.data(),
            body.size(),
            kSpace.data(),
            &size,
            &stopped,
            sodium_base64_VARIANT_ORIGINAL
        ) != 0 ||
        stopped != body.data() + body.size()) {
        return error(wanted + ", found something that is not base64");
    }
    return Secret(der.view().first(size));
}

template <std::size_t N>
base::Result<Secret> unwrap(const Secret& der, const std::array<base::Byte, N>& prefix, const char* what) {
    const ByteView view = der.view();
    if (view.size() != N + 32 || !std::equal(prefix.begin(), prefix.end(), view.begin())) {
        return error(std::string("expected an Ed25519 ") + what + ", found a key of another kind");
    }
    return Secret(view.subspan(N));
}

template <std::size_t N>
std::string encode_pem(const std::array<base::Byte, N>& prefix, ByteView key, const std::string& label) {
    Secret der(N + key.size());
    std::copy(prefix.begin(), prefix.end(), der.mutable_view().begin());
    std::copy(key.begin(), key.end(), der.mutable_view().begin() + N);
    std::string text(sodium_base64_encoded_len(der.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(
        text.data(), text.size(), der.view().data(), der.size(), sodium_base64_VARIANT_ORIGINAL
    );
    text.pop_back();  // its terminating zero
    return "-----BEGIN " + label + "-----\n" + text + "\n-----END " + label + "-----\n";
}

}  // namespace

base::Result<Secret> parse_private_key(std::string_view pem) {
    auto der = decode_pem(pem, "PRIVATE KEY");
    if (!der) return der.error();
    return unwrap(*der, kPrivatePrefix, "private key");
}

base::Result<PublicKey> parse_public_key(std::string_view pem) {
    auto der = decode_pem(pem, "PUBLIC KEY");
    if (!der) return der.error();
    const auto key = unwrap(*der, kPublicPrefix, "public key");
    if (!key) return key.error();
    PublicKey out;
    std::copy(key->view().begin(), key->view().end(), out.begin());
    // libsodium's check refuses points of small order and off the curve: such a key would verify anything.
    if (crypto_core_ed25519_is_valid_point(out.data()) != 1)
        return error("this Ed25519 public key is not a valid point");
    return out;
}

std::string signature_to_text(const Signature& signature) {
    std::string text(sodium_base64_encoded_len(signature.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(
        text.data(), text.size(), signature.data(), signature.size(), sodium_base64_VARIANT_ORIGINAL
    );
    text.back() = '\n';  // instead of its terminating zero
    return text;
}

base::Result<Signature> parse_signature(std::string_view file) {
    Signature signature{};
    if (file.size() == signature.size()) {
        std::copy(file.begin(), file.end(), signature.begin());
        return signature;
    }
    std::size_t size = 0;
    const char* stopped = nullptr;
    const int failed = sodium_base642bin(
        signature.data(),
        signature.size(),
        file.data(),
        file.size(),
        kSpace.data(),
        &size,
        &stopped,
        sodium_base64_VARIANT_ORIGINAL
    );
    if (failed != 0 || stopped != file.data() + file.size() || size != signature.size())
        return error("expected 64 octets of Ed25519, bare or in base64");
    return signature;
}

std::string private_key_to_pem(const Secret& seed) {
    return encode_pem(kPrivatePrefix, seed.view(), "PRIVATE KEY");
}

std::string public_key_to_pem(const PublicKey& key) { return encode_pem(kPublicPrefix, key, "PUBLIC KEY"); }

}  // namespace aronet::ike
