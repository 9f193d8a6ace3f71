#pragma once

// Netlink messages out of and into bytes, over libmnl: one Builder a message, attributes read with bounds
// that hold whatever the bytes are.

#include "base/bytes.hpp"

#include <libmnl/libmnl.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace aronet::netlink {

using base::Byte;
using base::Bytes;
using base::ByteView;

class Builder {
public:
    Builder(std::uint16_t type, std::uint16_t flags);

    // The fixed header of the message, zeroed; good until something is put behind it.
    template <class T>
    T& header() {
        return *reinterpret_cast<T*>(append(sizeof(T)));
    }
    void put(std::uint16_t type, ByteView bytes) { put(type, bytes.data(), bytes.size()); }
    template <class T>
    void put_struct(std::uint16_t type, const T& value) {
        put(type, &value, sizeof value);
    }
    void put_u8(std::uint16_t type, std::uint8_t value) { put_struct(type, value); }
    void put_u16(std::uint16_t type, std::uint16_t value) { put_struct(type, value); }
    void put_u32(std::uint16_t type, std::uint32_t value) { put_struct(type, value); }
    void put_text(std::uint16_t type, const std::string& text) { put(type, text.c_str(), text.size() + 1); }
    void nest(std::uint16_t type, const std::function<void()>& inside);
    // A fixed header in the middle of attributes, as the peer of a veth has it.
    template <class T>
    T& embedded() {
        return header<T>();
    }
    Bytes take();

private:
    Byte* append(std::size_t size);  // so many zeros, and as many as make it aligned
    void put(std::uint16_t type, const void* bytes, std::size_t size);
    Bytes bytes_;
};

// The attributes behind a fixed header of `header_size` octets, by type; the last of a type wins.
class Attributes {
public:
    Attributes(const nlmsghdr* message, std::size_t header_size);
    explicit Attributes(ByteView nested);

    std::optional<ByteView> find(std::uint16_t type) const;
    std::optional<std::uint8_t> u8(std::uint16_t type) const { return number<std::uint8_t>(type); }
    std::optional<std::uint16_t> u16(std::uint16_t type) const { return number<std::uint16_t>(type); }
    std::optional<std::uint32_t> u32(std::uint16_t type) const { return number<std::uint32_t>(type); }
    std::string text(std::uint16_t type) const;  // empty when absent
    Attributes nested(std::uint16_t type) const { return Attributes(find(type).value_or(ByteView())); }

private:
    void read(ByteView bytes);
    template <class T>
    std::optional<T> number(std::uint16_t type) const {
        const auto bytes = find(type);
        if (!bytes || bytes->size() < sizeof(T)) return std::nullopt;
        T value;
        std::memcpy(&value, bytes->data(), sizeof value);
        return value;
    }
    std::vector<std::pair<std::uint16_t, ByteView>> list_;
};

// The fixed header of a received message; nullopt when the message is too short for it.
template <class T>
std::optional<T> fixed_header(const nlmsghdr* message) {
    if (mnl_nlmsg_get_payload_len(message) < sizeof(T)) return std::nullopt;
    T header;
    std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
    return header;
}

// Calls `each` for every message in the bytes, which may lie anywhere in memory.
void for_each_message(ByteView bytes, const std::function<void(const nlmsghdr*)>& each);

}  // namespace aronet::netlink
