#pragma once

// Recorded conversations.

#include "babel/desk.hpp"

#include <fstream>

namespace aronet::babel {

const std::string kVectors = std::string(ARONET_SOURCE_DIR) + "/tests/vectors/babel/";

struct Captured {
    Duration at{};
    Address from, to;
    base::Bytes payload;
};

inline std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::uint32_t little(const std::string& bytes, std::size_t at) {
    std::uint32_t v = 0;
    for (int i = 3; i >= 0; --i)
        v = v << 8 | static_cast<base::Byte>(bytes.at(at + static_cast<std::size_t>(i)));
    return v;
}

// The UDP payloads of a pcap file; only IPv6 with nothing between it and UDP.
inline std::vector<Captured> read_pcap(const std::string& path) {
    const std::string file = slurp(path);
    const std::uint32_t link = little(file, 20);
    const std::size_t before_ip = link == 1 ? 14 : link == 113 ? 16 : 0;
    std::vector<Captured> packets;
    for (std::size_t at = 24; at + 16 <= file.size();) {
        const std::size_t length = little(file, at + 8);
        const Duration time = little(file, at) * 1s + little(file, at + 4) * 1us;
        base::Bytes frame(
            file.begin() + std::ptrdiff_t(at + 16),
            file.begin() + std::ptrdiff_t(std::min(file.size(), at + 16 + length))
        );
        at += 16 + length;
        if (frame.size() < before_ip + 48 || frame[before_ip] >> 4 != 6 || frame[before_ip + 6] != 17)
            continue;
        const auto whole = base::ByteView(frame).subspan(before_ip);
        packets.push_back(
            {time,
             *Address::from_bytes(whole.subspan(8, 16)),
             *Address::from_bytes(whole.subspan(24, 16)),
             base::Bytes(whole.begin() + 48, whole.end())}
        );
    }
    return packets;
}

}  // namespace aronet::babel
