#include "ike/protection.hpp"

#include <algorithm>
#include <array>

namespace aronet::ike {
namespace {

using base::Reader;
using base::Writer;

constexpr std::size_t kAeadTag = 16, kAeadIv = 8, kSalt = 4, kBlock = 16;
constexpr std::size_t kGenericHeader = 4, kFragmentHeader = 4;

std::size_t iv_size(const IkeCipherSuite& suite) { return is_aead(suite.cipher) ? kAeadIv : kBlock; }
std::size_t tag_size(const IkeCipherSuite& suite) {
    return is_aead(suite.cipher) ? kAeadTag : icv_size(suite.integrity);
}

// RFC 5282 4: the nonce is the salt at the end of the key, then the explicit IV.
std::array<base::Byte, 12> aead_nonce(ByteView key, ByteView iv) {
    std::array<base::Byte, 12> nonce;
    std::copy_n(key.end() - kSalt, kSalt, nonce.begin());
    std::copy_n(iv.begin(), kAeadIv, nonce.begin() + kSalt);
    return nonce;
}

ByteView without_salt(ByteView key) { return key.first(key.size() - kSalt); }

std::size_t padding_for(const IkeCipherSuite& suite, std::size_t plaintext) {
    return is_aead(suite.cipher) ? 0 : (kBlock - (plaintext + 1) % kBlock) % kBlock;
}

std::size_t sealed_size(const IkeCipherSuite& suite, std::size_t plaintext) {
    return iv_size(suite) + plaintext + padding_for(suite, plaintext) + 1 + tag_size(suite);
}

Bytes make_iv(const Sealer& with) {
    Bytes iv;
    if (is_aead(with.suite->cipher)) {
        Writer(iv).u64((*with.next_iv)++);
    } else {
        iv = with.random->bytes(kBlock);
    }
    return iv;
}

// Completes a message whose header and encrypted payload's header are written already (RFC 7296 3.14, RFC
// 5282 5).
void append_sealed(Bytes& message, ByteView plaintext, const Sealer& with) {
    const IkeCipherSuite& suite = *with.suite;
    Bytes padded(plaintext.begin(), plaintext.end());
    const std::size_t padding = padding_for(suite, plaintext.size());
    padded.resize(padded.size() + padding);
    padded.push_back(static_cast<base::Byte>(padding));
    const Bytes iv = make_iv(with);
    if (is_aead(suite.cipher)) {
        const ByteView key = with.encryption_key;
        const Bytes sealed = aead_seal(suite.cipher, without_salt(key), aead_nonce(key, iv), message, padded);
        message.insert(message.end(), iv.begin(), iv.end());
        message.insert(message.end(), sealed.begin(), sealed.end());
    } else {
        const Bytes sealed = cbc_encrypt(suite.cipher, with.encryption_key, iv, padded);
        message.insert(message.end(), iv.begin(), iv.end());
        message.insert(message.end(), sealed.begin(), sealed.end());
        const Bytes icv = integrity_check_value(suite.integrity, with.integrity_key, message);
        message.insert(message.end(), icv.begin(), icv.end());
    }
    base::wipe(padded);
}

struct Encrypted {
    std::uint8_t first_inner = 0;  // the Next Payload field of SK or SKF
    std::size_t content = 0;       // where IV, ciphertext and ICV begin
};

// The encrypted payload has to be the only one and to fill the message: that is all our peers ever send, and
// anything in front of it would be unauthenticated in all but name.
std::optional<Encrypted> locate(const RawMessage& raw) {
    if (!is_protected(raw)) return std::nullopt;
    Reader in(raw.bytes.subspan(kHeaderSize));
    Encrypted found;
    found.first_inner = in.u8();
    in.skip(1);
    const std::uint16_t length = in.u16();
    if (in.failed() || length != raw.bytes.size() - kHeaderSize) return std::nullopt;
    found.content = kHeaderSize + kGenericHeader + (is_fragment(raw) ? kFragmentHeader : 0);
    if (found.content > raw.bytes.size()) return std::nullopt;
    return found;
}

std::optional<Bytes> decrypt_aead(const Opener& with, ByteView aad, ByteView content) {
    const ByteView iv = content.first(kAeadIv), key = with.encryption_key;
    return aead_open(
        with.suite->cipher, without_salt(key), aead_nonce(key, iv), aad, content.subspan(kAeadIv)
    );
}

std::optional<Bytes> decrypt_cbc(const Opener& with, ByteView message, ByteView content) {
    const std::size_t icv = tag_size(*with.suite);
    const Bytes expected =
        integrity_check_value(with.suite->integrity, with.integrity_key, message.first(message.size() - icv));
    if (!base::equal_in_constant_time(expected, content.last(icv))) return std::nullopt;
    const ByteView ciphertext = content.subspan(kBlock, content.size() - kBlock - icv);
    if (ciphertext.empty() || ciphertext.size() % kBlock != 0) return std::nullopt;
    return cbc_decrypt(with.suite->cipher, with.encryption_key, content.first(kBlock), ciphertext);
}

// The plaintext without its padding. Nothing is looked at before the integrity check passed.
base::Result<Bytes, Drop> decrypt(const RawMessage& raw, std::size_t content_at, const Opener& with) {
    const ByteView content = raw.bytes.subspan(content_at);
    if (content.size() < iv_size(*with.suite) + 1 + tag_size(*with.suite)) return Drop::too_short;
    auto plaintext = is_aead(with.suite->cipher) ? decrypt_aead(with, raw.bytes.first(content_at), content)
                                                 : decrypt_cbc(with, raw.bytes, content);
    if (!plaintext) return Drop::bad_integrity;
    const std::size_t padding = plaintext->back();
    if (padding + 1 > plaintext->size()) return Drop::bad_padding;
    plaintext->resize(plaintext->size() - padding - 1);
    return std::move(*plaintext);
}

}  // namespace

bool is_protected(const RawMessage& raw) {
    return raw.header.next_payload == static_cast<std::uint8_t>(PayloadType::sk) || is_fragment(raw);
}

bool is_fragment(const RawMessage& raw) {
    return raw.header.next_payload == static_cast<std::uint8_t>(PayloadType::skf);
}

Bytes seal(const Header& header, std::span<const Payload> payloads, const Sealer& with) {
    Bytes chain = encode_chain(payloads);
    const std::size_t payload_size = kGenericHeader + sealed_size(*with.suite, chain.size());
    Bytes message;
    Writer out(message);
    write_header(header, static_cast<std::uint8_t>(PayloadType::sk), kHeaderSize + payload_size, out);
    out.u8(payloads.empty() ? 0 : type_of(payloads.front()));
    out.u8(0);
    out.u16(static_cast<std::uint16_t>(payload_size));
    append_sealed(message, chain, with);
    base::wipe(chain);
    return message;
}

std::vector<Bytes> seal_in_fragments(
    const Header& header, std::span<const Payload> payloads, const Sealer& with, std::size_t size
) {
    Bytes chain = encode_chain(payloads);
    std::vector<Bytes> messages;
    const std::size_t fixed = kHeaderSize + kGenericHeader + kFragmentHeader;
    if (fixed - kFragmentHeader + sealed_size(*with.suite, chain.size()) <= size) {
        messages.push_back(seal(header, payloads, with));
        return messages;
    }
    const std::size_t room = size - fixed - sealed_size(*with.suite, 0) - kBlock;
    const std::size_t total = (chain.size() + room - 1) / room;
    for (std::size_t i = 0; i < total; ++i) {
        const ByteView part = ByteView(chain).subspan(i * room, std::min(room, chain.size() - i * room));
        const std::size_t payload_size =
            kGenericHeader + kFragmentHeader + sealed_size(*with.suite, part.size());
        Bytes message;
        Writer out(message);
        write_header(header, static_cast<std::uint8_t>(PayloadType::skf), kHeaderSize + payload_size, out);
        out.u8(i == 0 && !payloads.empty() ? type_of(payloads.front()) : 0);
        out.u8(0);
        out.u16(static_cast<std::uint16_t>(payload_size));
        out.u16(static_cast<std::uint16_t>(i + 1));
        out.u16(static_cast<std::uint16_t>(total));
        append_sealed(message, part, with);
        messages.push_back(std::move(message));
    }
    base::wipe(chain);
    return messages;
}

base::Result<Message, Drop> open(const RawMessage& raw, const Opener& with) {
    const auto found = locate(raw);
    if (!found || is_fragment(raw)) return Drop::not_protected;
    const auto chain = decrypt(raw, found->content, with);
    if (!chain) return chain.error();
    return decode_chain(raw.header, found->first_inner, *chain);
}

std::optional<std::pair<std::uint16_t, std::uint16_t>> fragment_numbers(const RawMessage& raw) {
    Reader in(
        raw.bytes.subspan(kHeaderSize + kGenericHeader <= raw.bytes.size() ? kHeaderSize + kGenericHeader : 0)
    );
    const std::uint16_t number = in.u16(), total = in.u16();
    if (!is_fragment(raw) || in.failed() || number == 0 || number > total) return std::nullopt;
    return std::pair(number, total);
}

base::Result<Fragment, Drop> open_fragment(const RawMessage& raw, const Opener& with) {
    const auto found = locate(raw);
    const auto numbers = fragment_numbers(raw);
    if (!found || !numbers) return Drop::bad_fragment;
    auto content = decrypt(raw, found->content, with);
    if (!content) return content.error();
    return Fragment{numbers->first, numbers->second, found->first_inner, std::move(*content)};
}

}  // namespace aronet::ike
