// aronet-flood ADDRESS PORT PER_SECOND SECONDS: IKE_SA_INIT requests as an honest initiator would send them,
// each with an SPI and a nonce of its own, from addresses all over 198.18.0.0/15 and any port. Needs a raw
// socket. Says how many it sent, and how many that were in a second.

#include "ike/message.hpp"
#include "ike/proposal.hpp"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

using namespace aronet;
using namespace aronet::ike;

namespace {

constexpr std::size_t kHeaders = sizeof(iphdr) + sizeof(udphdr), kMarker = 4;

Bytes request() {
    base::Random random = base::Random::from_number(1);
    Header header;
    header.spi_i = 1;
    header.flags = flag::initiator;
    const KeyPair ke = generate(DhGroup::curve25519, random);
    const std::vector<Payload> payloads{
        NoncePayload{random.bytes(kNonceSize)},  // first, so that it lies where vary() looks for it
        offer_ike(false),
        KePayload{group::curve25519, ke.public_value},
        make_notify(notify::nat_detection_source_ip, Bytes(20, 1)),
        make_notify(notify::nat_detection_destination_ip, Bytes(20, 2)),
        make_notify(notify::signature_hash_algorithms, {0, 5}),
        make_notify(notify::fragmentation_supported)};
    return encode(header, payloads);
}

Bytes packet_to(const sockaddr_in& to) {
    const Bytes message = request();
    Bytes packet(kHeaders + kMarker);
    packet.insert(packet.end(), message.begin(), message.end());
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    ip.daddr = to.sin_addr.s_addr;
    udphdr udp{};
    udp.dest = to.sin_port;
    udp.len = htons(static_cast<std::uint16_t>(packet.size() - sizeof(iphdr)));
    std::memcpy(packet.data(), &ip, sizeof ip);
    std::memcpy(packet.data() + sizeof ip, &udp, sizeof udp);
    return packet;
}

// Another source, port, SPI and nonce.
void vary(Bytes& packet, std::mt19937_64& random) {
    const std::uint32_t source = htonl(0xc6120000u + static_cast<std::uint32_t>(random() % 131072));
    const std::uint16_t port = htons(static_cast<std::uint16_t>(1024 + random() % 60000));
    const std::uint64_t spi = random() | 1, nonce = random();
    std::memcpy(packet.data() + offsetof(iphdr, saddr), &source, sizeof source);
    std::memcpy(packet.data() + sizeof(iphdr), &port, sizeof port);
    std::memcpy(packet.data() + kHeaders + kMarker, &spi, sizeof spi);
    std::memcpy(packet.data() + kHeaders + kMarker + kHeaderSize + 4, &nonce, sizeof nonce);
}

std::size_t send(int socket, std::vector<Bytes>& packets, sockaddr_in& to) {
    std::vector<iovec> vectors(packets.size());
    std::vector<mmsghdr> messages(packets.size());
    for (std::size_t i = 0; i < packets.size(); ++i) {
        vectors[i] = {packets[i].data(), packets[i].size()};
        messages[i].msg_hdr.msg_name = &to;
        messages[i].msg_hdr.msg_namelen = sizeof to;
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = sendmmsg(socket, messages.data(), static_cast<unsigned>(messages.size()), 0);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return std::fputs("aronet-flood ADDRESS PORT PER_SECOND SECONDS\n", stderr), 2;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[2])));
    if (inet_pton(AF_INET, arguments[1], &to.sin_addr) != 1) return 2;
    const auto per_second = std::strtoull(arguments[3], nullptr, 10);
    const auto wanted = per_second * std::strtoull(arguments[4], nullptr, 10);
    const int socket = ::socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (socket < 0) return std::perror("aronet-flood"), 1;

    std::mt19937_64 random(1);
    const Bytes mould = packet_to(to);
    const auto began = std::chrono::steady_clock::now();
    std::size_t sent = 0, tried = 0;
    while (tried < wanted) {
        const auto passed = std::chrono::steady_clock::now() - began;
        const auto due =
            static_cast<std::size_t>(std::chrono::nanoseconds(passed).count()) * per_second / 1'000'000'000;
        if (due <= tried) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        std::vector<Bytes> packets(std::min<std::size_t>(due - tried, 64), mould);
        for (Bytes& packet : packets) vary(packet, random);
        tried += packets.size();
        sent += send(socket, packets, to);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("%zu %.0f\n", sent, static_cast<double>(sent) / took.count());
    return 0;
}
