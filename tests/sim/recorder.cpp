#include "recorder.hpp"

#include <algorithm>
#include <fstream>

namespace aronet::sim {
namespace {

using base::ByteView;
using base::Endpoint;
using base::Instant;
using base::Writer;

constexpr std::uint16_t kBabelPort = 6696;
constexpr std::uint8_t kUdp = 17;

std::uint16_t checksum(ByteView bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += std::uint32_t(bytes[i]) << (i % 2 == 0 ? 8 : 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

// IPv6 with UDP in it, both ports Babel's.
base::Bytes inner(const base::Address& from, const base::Address& to, ByteView payload) {
    const auto size = static_cast<std::uint16_t>(8 + payload.size());
    base::Bytes covered;  // the pseudo-header, then what goes into the packet
    Writer sum(covered);
    sum.put(from.bytes());
    sum.put(to.bytes());
    sum.u32(size);
    sum.u32(kUdp);
    for (const std::uint16_t word : {kBabelPort, kBabelPort, size, std::uint16_t{0}}) sum.u16(word);
    sum.put(payload);
    base::Bytes packet;
    Writer out(packet);
    out.u32(0x60000000);
    out.u16(size);
    out.u8(kUdp);
    out.u8(1);  // hop limit
    out.put(from.bytes());
    out.put(to.bytes());
    for (const std::uint16_t word : {kBabelPort, kBabelPort, size, checksum(covered)}) out.u16(word);
    out.put(payload);
    return packet;
}

}  // namespace

Recorder::Recorder() : random_(base::Random::from_number(1)) {
    Writer out(capture_);
    // Version 2.4, whole packets, link type 101: raw IP.
    for (const std::uint32_t word : {0xa1b2c3d4u, 0x00020004u, 0u, 0u, 65535u, 101u}) out.u32(word);
}

void Recorder::frame(Instant at, const Endpoint& from, const Endpoint& to, ByteView payload) {
    ++frames_;
    const auto size = static_cast<std::uint32_t>(28 + payload.size());
    const auto us = static_cast<std::uint64_t>(base::microseconds(at.time_since_epoch()));
    Writer out(capture_);
    const auto seconds = std::uint32_t(us / 1'000'000), rest = std::uint32_t(us % 1'000'000);
    for (const std::uint32_t word : {seconds, rest, size, size}) out.u32(word);
    const std::size_t header = capture_.size();
    for (const std::uint32_t word : {0x45000000 | size, 0u, 0x40110000u}) out.u32(word);
    out.put(from.address.bytes());
    out.put(to.address.bytes());
    out.patch_u16(header + 10, checksum(ByteView(capture_).subspan(header, 20)));
    out.u16(from.port);
    out.u16(to.port);
    out.u16(static_cast<std::uint16_t>(8 + payload.size()));
    out.u16(0);  // RFC 3948 2.1: none
    out.put(payload);
}

void Recorder::ike(Instant at, const Endpoint& from, const Endpoint& to, const base::Bytes& datagram) {
    frame(at, from, to, datagram);
}

void Recorder::babel(
    Instant at,
    const Kernel::Outbound& sa,
    const Endpoint& seen_as,
    const base::Address& from,
    const base::Address& to,
    const base::Bytes& datagram
) {
    const auto found = sas_.find(sa.key);
    if (found == sas_.end()) return;
    const base::Bytes packet = inner(from, to, datagram);
    base::Bytes room(esp::kHeadroom + packet.size() + esp::kTailroom);
    std::ranges::copy(packet, room.begin() + esp::kHeadroom);
    esp::Packet sealed;
    sealed.room = room;
    sealed.at = esp::kHeadroom;
    sealed.size = packet.size();
    found->second->seal(sealed, at);
    if (sealed.drop == esp::Drop::none) frame(at, seen_as, sa.destination, sealed.bytes());
}

void Recorder::add(const base::Sa& sa) {
    if (sa.direction != base::Direction::out) return;
    const ByteView key = sa.key.view();
    sas_[{key.begin(), key.end()}] = esp::OutboundSa::make(sa, random_);
}

void Recorder::add(const overlay::TellKeys& row) {
    (row.table == overlay::TellKeys::Table::ike ? ike_rows_ : esp_rows_).insert(row.row);
}

void Recorder::write(const std::string& file) const {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(capture_.data()), std::streamsize(capture_.size()));
}

void Recorder::write_keys(const std::string& folder) const {
    std::ofstream ike(folder + "/ikev2_decryption_table"), esp(folder + "/esp_sa");
    for (const std::string& row : ike_rows_) ike << row << "\n";
    for (const std::string& row : esp_rows_) esp << row << "\n";
}

}  // namespace aronet::sim
