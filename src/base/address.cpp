#include "base/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace aronet::base {

Address Address::v4(const std::array<Byte, 4>& bytes) {
    Address address;
    address.family_ = Family::v4;
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
    return address;
}

Address Address::v6(const std::array<Byte, 16>& bytes) {
    Address address;
    address.bytes_ = bytes;
    return address;
}

std::optional<Address> Address::from_bytes(ByteView bytes) {
    if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
    Address address;
    if (bytes.size() == 4) address.family_ = Family::v4;
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
    return address;
}

std::optional<Address> Address::parse(std::string_view text) {
    const std::string terminated(text);
    if (terminated.find('\0') != std::string::npos) return std::nullopt;
    Address address;
    if (inet_pton(AF_INET6, terminated.c_str(), address.bytes_.data()) == 1) return address;
    address = Address();
    address.family_ = Family::v4;
    if (inet_pton(AF_INET, terminated.c_str(), address.bytes_.data()) == 1) return address;
    return std::nullopt;
}

bool Address::is_link_local() const {
    if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
    return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool Address::is_multicast() const { return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool Address::is_loopback() const {
    if (is_v4()) return bytes_[0] == 127;
    return plus(0) == Address().plus(1);
}

Address Address::plus(std::uint64_t offset) const {
    Address sum = *this;
    for (std::size_t i = bytes().size(); i-- > 0;) {
        const std::uint64_t carry_in = offset & 0xff;
        const unsigned value = static_cast<unsigned>(bytes_[i]) + static_cast<unsigned>(carry_in);
        sum.bytes_[i] = static_cast<Byte>(value);
        offset = (offset >> 8) + (value >> 8);
    }
    return sum;
}

std::string Address::to_string() const {
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
    return text;
}

Prefix::Prefix(const Address& address, unsigned length) {
    const unsigned width = bits(address.family());
    length_ = static_cast<std::uint8_t>(std::min(length, width));
    std::array<Byte, 16> bytes{};
    const std::size_t whole = length_ / 8;
    const ByteView given = address.bytes();
    std::copy_n(given.begin(), whole, bytes.begin());
    if (length_ % 8 != 0) bytes[whole] = static_cast<Byte>(given[whole] & (0xff00u >> length_ % 8));
    address_ = *Address::from_bytes(ByteView(bytes).first(width / 8));
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = Address::parse(text.substr(0, slash));
    if (!address) return std::nullopt;
    if (slash == std::string_view::npos) return host(*address);
    const std::string_view digits = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc() || end != digits.data() + digits.size() || length > bits(address->family())) {
        return std::nullopt;
    }
    return Prefix(*address, length);
}

bool Prefix::contains(const Address& address) const {
    if (address.family() != family()) return false;
    const ByteView own = address_.bytes(), other = address.bytes();
    const std::size_t whole = length_ / 8;
    if (!std::equal(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(whole), other.begin()))
        return false;
    return length_ % 8 == 0 || ((own[whole] ^ other[whole]) & 0xff & (0xff00u >> length_ % 8)) == 0;
}

bool Prefix::contains(const Prefix& other) const {
    return other.length_ >= length_ && contains(other.address_);
}

std::string Prefix::to_string() const { return address_.to_string() + "/" + std::to_string(length_); }

std::string Endpoint::to_string() const {
    std::string text = address.is_v6() ? "[" : "";
    text += address.to_string();
    text += address.is_v6() ? "]:" : ":";
    return text += std::to_string(port);
}

}  // namespace aronet::base
