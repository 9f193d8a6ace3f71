// Emulated Babel neighbours: one on each of the interfaces p0, p1, ... of this network namespace, with one
// prefix each. They say what RFC 8966 asks of a neighbour (Hello, IHU, periodic Update, answers to
// acknowledgment and route requests) and note what they are told.
//
//   babel-peers COUNT
//
// Says "ready" once it listens, and "told T" (CLOCK_MONOTONIC, seconds) when every peer knows the prefix of
// every other. Runs until it is killed.

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kPort = 6696;
constexpr std::size_t kJoinsPerSocket = 300, kBatch = 64, kLargest = 2048;
constexpr double kHello = 4, kUpdate = 16;
enum Kind : std::uint8_t { pad1 = 0, ack_request = 2, ack, hello, ihu, router_id, update = 8, route_request };

double now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

void put16(Bytes& out, unsigned value) {
    out.push_back(std::uint8_t(value >> 8));
    out.push_back(std::uint8_t(value));
}

unsigned get16(const std::uint8_t* at) { return unsigned(at[0]) << 8 | at[1]; }

void put_tlv(Bytes& out, Kind kind, const Bytes& body) {
    out.push_back(kind);
    out.push_back(std::uint8_t(body.size()));
    out.insert(out.end(), body.begin(), body.end());
}

struct Peer {
    unsigned interface = 0;
    sockaddr_in6 hub{};  // once heard
    unsigned seqno = 0;
    std::vector<bool> told;  // of the prefixes of whom
    std::size_t untold = 0;
    Bytes answer;
    bool heard() const { return hub.sin6_family != 0; }
};

class Peers {
public:
    explicit Peers(std::size_t count);
    [[noreturn]] void run();

private:
    int open_socket() const;
    void speak(std::size_t number, bool with_update);
    void add_hello(Bytes& out, Peer& peer);
    void add_ihu(Bytes& out, const Peer& peer);
    void add_announcement(Bytes& out, std::size_t number);
    void send(const Bytes& tlvs, const sockaddr_in6& to, const Peer& peer);
    void listen();
    void hear(std::size_t number, const std::uint8_t* at, const std::uint8_t* end);
    void note(std::size_t number, const std::uint8_t* body, std::array<std::uint8_t, 16>& before);

    std::vector<Peer> peers_;
    std::unordered_map<unsigned, std::size_t> number_;  // by interface
    sockaddr_in6 group_{};
    int socket_ = -1;
    std::size_t untold_;
};

Peers::Peers(std::size_t count) : peers_(count), untold_(count) {
    group_.sin6_family = AF_INET6;
    group_.sin6_port = htons(kPort);
    inet_pton(AF_INET6, "ff02::1:6", &group_.sin6_addr);
    socket_ = open_socket();
    int holder = -1;
    for (std::size_t i = 0; i < count; ++i) {
        Peer& p = peers_[i];
        p.interface = if_nametoindex(("p" + std::to_string(i)).c_str());
        if (p.interface == 0) fail("if_nametoindex");
        p.told.resize(count);
        p.untold = count - 1;
        number_.emplace(p.interface, i);
        if (i % kJoinsPerSocket == 0) holder = socket(AF_INET6, SOCK_DGRAM, 0);
        const ipv6_mreq wish{group_.sin6_addr, p.interface};
        if (setsockopt(holder, IPPROTO_IPV6, IPV6_JOIN_GROUP, &wish, sizeof wish) != 0) fail("join");
    }
}

int Peers::open_socket() const {
    const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const auto set = [&](int level, int option, int value) {
        if (setsockopt(fd, level, option, &value, sizeof value) != 0) fail("setsockopt");
    };
    set(SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20);
    set(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
    set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1);
    sockaddr_in6 here{};
    here.sin6_family = AF_INET6;
    here.sin6_port = htons(kPort);
    if (bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) fail("bind");
    return fd;
}

// ---- speaking: every peer once each Hello interval, spread evenly over it ----

void Peers::run() {
    double due = now();
    for (std::size_t turn = 0;; ++turn) {
        for (std::size_t i = 0; i < peers_.size(); ++i) {
            speak(i, turn < 2 || (turn + i) % std::size_t(kUpdate / kHello) == 0);
            due += kHello / double(peers_.size());
            do {
                const int patience = std::max(0, int((due - now()) * 1000));
                pollfd event{socket_, POLLIN, 0};
                if (poll(&event, 1, patience) > 0) listen();
            } while (now() < due);
        }
    }
}

void Peers::speak(std::size_t number, bool with_update) {
    Peer& p = peers_[number];
    Bytes tlvs;
    add_hello(tlvs, p);
    if (p.heard()) add_ihu(tlvs, p);
    if (with_update) add_announcement(tlvs, number);
    send(tlvs, group_, p);
}

void Peers::add_hello(Bytes& out, Peer& peer) {
    Bytes body;
    for (const unsigned field : {0u, peer.seqno++, unsigned(kHello * 100)}) put16(body, field);
    put_tlv(out, hello, body);
}

void Peers::add_ihu(Bytes& out, const Peer& peer) {
    Bytes body{3, 0};
    put16(body, 96);
    put16(body, unsigned(kHello * 300));
    body.insert(body.end(), peer.hub.sin6_addr.s6_addr + 8, peer.hub.sin6_addr.s6_addr + 16);
    put_tlv(out, ihu, body);
}

void Peers::add_announcement(Bytes& out, std::size_t number) {
    const unsigned mark = unsigned(number) + 2;
    Bytes id{0, 0, 0x02, 0xff, 0xfe, 0, 0, 0};
    put16(id, mark);
    put_tlv(out, router_id, id);
    Bytes body{2, 0, 64, 0};
    for (const unsigned field : {unsigned(kUpdate * 100), 1u, 0u, 0x2001u, 0x0db8u, 0u, mark})
        put16(body, field);
    put_tlv(out, update, body);
}

void Peers::send(const Bytes& tlvs, const sockaddr_in6& to, const Peer& peer) {
    Bytes packet{42, 2};
    put16(packet, unsigned(tlvs.size()));
    packet.insert(packet.end(), tlvs.begin(), tlvs.end());
    sockaddr_in6 address = to;
    address.sin6_scope_id = peer.interface;
    // What cannot be sent now is lost, like anywhere.
    sendto(socket_, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
}

// ---- listening ----

void Peers::listen() {
    static std::array<std::array<std::uint8_t, kLargest>, kBatch> buffers;
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> places{};
    std::array<sockaddr_in6, kBatch> from{};
    for (std::size_t i = 0; i < kBatch; ++i) {
        places[i] = {buffers[i].data(), kLargest};
        messages[i].msg_hdr.msg_iov = &places[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &from[i];
        messages[i].msg_hdr.msg_namelen = sizeof from[i];
    }
    const int count = recvmmsg(socket_, messages.data(), kBatch, 0, nullptr);
    for (std::size_t i = 0; count > 0 && i < std::size_t(count); ++i) {
        const auto known = number_.find(from[i].sin6_scope_id);
        if (known == number_.end() || messages[i].msg_len < 4) continue;
        Peer& p = peers_[known->second];
        if (!p.heard()) {  // a new neighbour hears of us at once
            p.hub = from[i];
            speak(known->second, true);
        }
        const std::size_t length = std::min<std::size_t>(messages[i].msg_len, 4 + get16(&buffers[i][2]));
        hear(known->second, &buffers[i][4], &buffers[i][0] + length);
        if (!p.answer.empty()) send(std::exchange(p.answer, {}), p.hub, p);
    }
}

void Peers::hear(std::size_t number, const std::uint8_t* at, const std::uint8_t* end) {
    std::array<std::uint8_t, 16> before{};
    while (at < end) {
        if (*at == pad1) {
            ++at;
            continue;
        }
        if (end - at < 2 || end - at < 2 + at[1]) return;
        if (*at == update) note(number, at + 2, before);
        if (*at == ack_request) put_tlv(peers_[number].answer, ack, {at[4], at[5]});
        if (*at == route_request) add_announcement(peers_[number].answer, number);
        at += 2 + at[1];
    }
}

// A prefix of a peer's; `before` is what the next may leave out of its own.
void Peers::note(std::size_t number, const std::uint8_t* body, std::array<std::uint8_t, 16>& before) {
    if (body[0] != 2) return;
    std::array<std::uint8_t, 16> prefix{};
    const std::size_t length = std::min(16u, (body[2] + 7u) / 8),
                      omitted = std::min<std::size_t>(body[3], length);
    std::copy_n(before.begin(), omitted, prefix.begin());
    std::copy_n(body + 10, length - omitted, prefix.begin() + std::ptrdiff_t(omitted));
    if ((body[1] & 0x80) != 0) before = prefix;
    const std::size_t about = get16(&prefix[6]) - 2u;
    Peer& p = peers_[number];
    if (get16(body + 8) == 0xffff || about >= p.told.size() || about == number || p.told[about]) return;
    p.told[about] = true;
    if (--p.untold == 0 && --untold_ == 0) std::printf("told %.6f\n", now());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    Peers peers(std::size_t(std::atoi(argv[1])));
    std::puts("ready");
    peers.run();
}
