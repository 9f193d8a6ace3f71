#pragma once

// One key of one direction, made ready once: the transforms of RFC 4106, RFC 7634 and RFC 3602 with RFC 4868
// over a whole ESP packet in place. Knows the layout up to the ICV; knows nothing of sequence or replay.

#include "base/sa.hpp"
#include "esp/packet.hpp"

#include <openssl/evp.h>

#include <array>
#include <memory>

namespace aronet::esp {

class Cipher {
public:
    // nullopt: the key is not key_size(suite) long, or the library lacks the algorithm.
    static std::optional<Cipher> make(base::EspSuite suite, base::Direction direction, ByteView key);

    std::size_t iv_size() const { return aead_ ? 8 : 16; }
    std::size_t icv_size() const { return icv_size_; }
    std::size_t block_size() const { return aead_ ? 4 : 16; }  // RFC 4303 2.4 wants at least 4
    std::size_t overhead() const { return kHeaderSize + iv_size() + icv_size_; }
    bool needs_unpredictable_iv() const { return !aead_; }  // RFC 3602 3

    // `packet` is header, IV, body and room for the ICV; `high` is the upper half of an extended sequence
    // number, which is authenticated but not sent.
    bool seal(std::span<Byte> packet, std::optional<std::uint32_t> high);
    // False: not authentic; then the body is rubbish.
    bool open(std::span<Byte> packet, std::optional<std::uint32_t> high);

private:
    struct Free {
        void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
        void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
    };
    using Icv = std::array<Byte, EVP_MAX_MD_SIZE>;

    bool start_aead(std::span<const Byte> packet, std::optional<std::uint32_t> high);
    bool crypt(std::span<Byte> body);
    bool integrity_check_value(ByteView covered, std::optional<std::uint32_t> high, Icv& out);
    std::span<Byte> body(std::span<Byte> packet) const {
        return packet.subspan(kHeaderSize + iv_size(), packet.size() - overhead());
    }

    std::unique_ptr<EVP_CIPHER_CTX, Free> cipher_;
    std::unique_ptr<EVP_MAC_CTX, Free> mac_;  // CBC only
    std::array<Byte, 4> salt_{};              // AEAD only
    std::size_t icv_size_ = 16;
    bool aead_ = true;
};

}  // namespace aronet::esp
