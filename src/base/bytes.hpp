#pragma once

// Reading and writing network byte order without ever leaving the buffer.
// A Reader that is asked for more than there is becomes failed() for good and yields zeros: parse first,
// check once. A Writer that is full becomes failed() and writes nothing more.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aronet::base {

using Byte = std::uint8_t;
using Bytes = std::vector<Byte>;
using ByteView = std::span<const Byte>;

class Reader {
public:
    explicit Reader(ByteView bytes) : bytes_(bytes) {}

    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }
    ByteView take(std::size_t count);         // an empty view when fewer bytes are left
    ByteView rest() { return take(left()); }  // everything that is left
    void skip(std::size_t count) { take(count); }

    std::size_t left() const { return bytes_.size() - at_; }
    std::size_t position() const { return at_; }
    bool failed() const { return failed_; }
    bool done() const { return !failed_ && left() == 0; }

private:
    std::uint64_t number(std::size_t width);

    ByteView bytes_;
    std::size_t at_ = 0;
    bool failed_ = false;
};

class Writer {
public:
    // Appends to `out`, which may grow by at most `limit` bytes from here.
    explicit Writer(Bytes& out, std::size_t limit = SIZE_MAX / 2) : out_(out), end_(out.size() + limit) {}

    void u8(std::uint8_t v) { number(v, 1); }
    void u16(std::uint16_t v) { number(v, 2); }
    void u32(std::uint32_t v) { number(v, 4); }
    void u64(std::uint64_t v) { number(v, 8); }
    void put(ByteView bytes);
    void zeros(std::size_t count);
    void patch_u8(std::size_t position, std::uint8_t v);    // over bytes that were written before
    void patch_u16(std::size_t position, std::uint16_t v);  // likewise

    std::size_t position() const { return out_.size(); }
    std::size_t space() const { return end_ - out_.size(); }
    bool failed() const { return failed_; }

private:
    void number(std::uint64_t v, std::size_t width);
    bool fits(std::size_t count);

    Bytes& out_;
    std::size_t end_;
    bool failed_ = false;
};

inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const Byte*>(text.data()), text.size()};
}

std::string to_hex(ByteView bytes);
std::string to_hex(std::uint32_t number);              // eight digits
std::optional<Bytes> from_hex(std::string_view text);  // even length, no separators

// What a stranger sent us, made fit for a log line or a terminal: controls and non-ASCII as \xNN, at most
// `limit` long.
std::string printable(std::string_view text, std::size_t limit = 128);

}  // namespace aronet::base
