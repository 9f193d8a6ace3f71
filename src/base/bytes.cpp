#include "base/bytes.hpp"

#include <algorithm>

namespace aronet::base {

ByteView Reader::take(std::size_t count) {
    if (failed_ || count > left()) {
        failed_ = true;
        at_ = bytes_.size();
        return {};
    }
    const ByteView view = bytes_.subspan(at_, count);
    at_ += count;
    return view;
}

std::uint64_t Reader::number(std::size_t width) {
    std::uint64_t value = 0;
    for (const Byte byte : take(width)) value = value << 8 | byte;
    return value;
}

bool Writer::fits(std::size_t count) {
    if (count > space()) failed_ = true;
    return !failed_;
}

void Writer::number(std::uint64_t v, std::size_t width) {
    if (!fits(width)) return;
    for (std::size_t i = width; i-- > 0;) out_.push_back(static_cast<Byte>(v >> (8 * i)));
}

void Writer::put(ByteView bytes) {
    if (fits(bytes.size())) out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void Writer::zeros(std::size_t count) {
    if (fits(count)) out_.resize(out_.size() + count);
}

void Writer::patch_u8(std::size_t position, std::uint8_t v) {
    if (position < out_.size()) out_[position] = v;
}

void Writer::patch_u16(std::size_t position, std::uint16_t v) {
    patch_u8(position, static_cast<std::uint8_t>(v >> 8));
    patch_u8(position + 1, static_cast<std::uint8_t>(v));
}

std::string to_hex(ByteView bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const Byte byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string to_hex(std::uint32_t number) {
    Bytes bytes;
    Writer(bytes).u32(number);
    return to_hex(bytes);
}

std::optional<Bytes> from_hex(std::string_view text) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    if (text.size() % 2 != 0) return std::nullopt;
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes.push_back(static_cast<Byte>(high << 4 | low));
    }
    return bytes;
}

std::string printable(std::string_view text, std::size_t limit) {
    std::string out;
    for (const char c : text) {
        if (out.size() >= limit) return out + "...";
        const auto byte = static_cast<Byte>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '\\') {
            out += c;
        } else {
            out += "\\x" + to_hex(ByteView(&byte, 1));
        }
    }
    return out;
}

}  // namespace aronet::base
