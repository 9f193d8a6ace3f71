#include "esp/packet.hpp"

#include "base/bytes.hpp"

namespace aronet::esp {

std::optional<Header> decode_header(ByteView packet) {
    base::Reader reader(packet);
    Header header;
    header.spi = reader.u32();
    header.sequence = reader.u32();
    if (reader.failed()) return std::nullopt;
    return header;
}

void encode_header(const Header& header, std::span<Byte> out) {
    for (unsigned i = 0; i < 4; ++i) {
        out[i] = static_cast<Byte>(header.spi >> (24 - 8 * i));
        out[4 + i] = static_cast<Byte>(header.sequence >> (24 - 8 * i));
    }
}

void encode_trailer(std::uint8_t next_header, std::span<Byte> out) {
    const std::size_t padding = out.size() - kTrailerSize;
    for (std::size_t i = 0; i < padding; ++i) out[i] = static_cast<Byte>(i + 1);
    out[padding] = static_cast<Byte>(padding);
    out[padding + 1] = next_header;
}

std::optional<Trailer> decode_trailer(ByteView plaintext) {
    if (plaintext.size() < kTrailerSize) return std::nullopt;
    const std::size_t padding = plaintext[plaintext.size() - 2];
    if (padding + kTrailerSize > plaintext.size()) return std::nullopt;
    const std::size_t payload = plaintext.size() - kTrailerSize - padding;
    for (std::size_t i = 0; i < padding; ++i)
        if (plaintext[payload + i] != i + 1) return std::nullopt;
    return Trailer{payload, plaintext[plaintext.size() - 1]};
}

}  // namespace aronet::esp
