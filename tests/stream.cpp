// aronet-stream REMOTE PORT RATE: numbered UDP packets to REMOTE, RATE a second, until SIGTERM, while
// those that its counterpart there sends are counted. Prints what came of them; exit status 1 if one was
// lost.
//
// It is to cost less than the tunnels it tries: it wakes up at its turns instead of for every packet, and
// gives and takes several packets in a system call.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A packet is its number, or one of these with a count behind it.
constexpr std::uint32_t kHello = UINT32_MAX;    // repeated until the counterpart is heard: it listens then
constexpr std::uint32_t kBye = UINT32_MAX - 1;  // the count is that of all packets
constexpr Clock::duration kTurn = 2ms;          // at least so long between two
constexpr auto kBehindMax = 500ms;  // who was kept from sending makes up for so much, never in one burst
constexpr auto kMeeting = 60s, kParting = 20s, kQuiet = 3s, kByes = 1s;
constexpr std::size_t kSize = 200;
constexpr unsigned kBatch = 32;  // packets at once

volatile std::sig_atomic_t told_to_stop = 0;

struct Place {
    sockaddr_storage address{};
    socklen_t size = 0;
};

Place place(const std::string& text, std::uint16_t port) {
    Place out;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.address);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.address);
    if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out.size = sizeof *v4;
    } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out.size = sizeof *v6;
    }
    return out;
}

std::uint16_t port_of(const Place& place) {  // at the same place in both
    return ntohs(reinterpret_cast<const sockaddr_in*>(&place.address)->sin_port);
}

// Until then, or until the socket (-1: none) is readable.
void wait(int socket, Clock::time_point until) {
    const auto left = std::max<Clock::duration>(until - Clock::now(), Clock::duration::zero());
    const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec time{nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
    pollfd readable{socket, POLLIN, 0};
    ppoll(&readable, 1, &time, nullptr);
}

// Room for some packets and what the kernel wants to know of each.
class Batch {
public:
    explicit Batch(Place* remote = nullptr) {
        for (unsigned i = 0; i < kBatch; ++i) {
            vectors_[i] = {packets_[i].data(), kSize};
            headers_[i].msg_hdr.msg_iov = &vectors_[i];
            headers_[i].msg_hdr.msg_iovlen = 1;
            if (remote) headers_[i].msg_hdr.msg_name = &remote->address;
            if (remote) headers_[i].msg_hdr.msg_namelen = remote->size;
        }
    }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    void set(unsigned i, std::uint32_t number, std::uint32_t count) {
        std::memcpy(packets_[i].data(), &number, sizeof number);
        std::memcpy(packets_[i].data() + sizeof number, &count, sizeof count);
    }
    std::pair<std::uint32_t, std::uint32_t> get(unsigned i) const {
        std::uint32_t number = 0, count = 0;
        std::memcpy(&number, packets_[i].data(), sizeof number);
        std::memcpy(&count, packets_[i].data() + sizeof number, sizeof count);
        return {number, count};
    }
    bool whole(unsigned i) const { return headers_[i].msg_len == kSize; }

    // Returns how many of the first `count` are done with. For those behind there is no room, which is this
    // host's business: they were never on their way. What is refused for another reason is counted by it.
    unsigned send(int socket, unsigned count, std::map<int, unsigned>& refused) {
        unsigned at = 0;
        while (at < count) {
            const int went = sendmmsg(socket, &headers_[at], count - at, 0);
            if (went < 0 && errno == EAGAIN) break;
            if (went <= 0) ++refused[errno];
            at += went > 0 ? static_cast<unsigned>(went) : 1;
        }
        return at;
    }
    unsigned receive(int socket) {
        const int came = recvmmsg(socket, headers_.data(), kBatch, 0, nullptr);
        return came > 0 ? static_cast<unsigned>(came) : 0;
    }

private:
    std::array<std::array<char, kSize>, kBatch> packets_{};
    std::array<iovec, kBatch> vectors_{};
    std::array<mmsghdr, kBatch> headers_{};
};

class Stream {
public:
    // Listens on every address: which one a node has in a VRF is the route's business.
    Stream(const Place& remote, unsigned rate)
        : remote_(remote),
          socket_(socket(remote.address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
          pause_(std::chrono::nanoseconds(1s) / rate) {
        const int room = 16 << 20;  // what waits here because this process does was not lost on its way
        setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        setsockopt(socket_, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        const Place here = place(remote.address.ss_family == AF_INET ? "0.0.0.0" : "::", port_of(remote));
        fine_ = bind(socket_, reinterpret_cast<const sockaddr*>(&here.address), here.size) == 0;
    }
    ~Stream() { close(socket_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    int run() {
        if (!fine_) return std::perror("aronet-stream"), 2;
        if (!meet()) return std::fprintf(stderr, "nobody answers\n"), 2;
        const auto start = Clock::now();
        flow();
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        if (!part()) return std::fprintf(stderr, "the counterpart did not end\n"), 2;
        std::printf(
            "lost %u of %u, %u out of order, %u twice, %.0f a second sent, %u refused\n",
            *expected_ - came_,
            *expected_,
            late_,
            twice_,
            sent_ / took,
            all_refused()
        );
        print_lost();
        for (const auto& [error, count] : refused_)
            std::printf(" refused %u: %s\n", count, std::strerror(error));
        return came_ == *expected_ ? 0 : 1;
    }

private:
    // Some of them, as stretches: whether they were lost at once or one by one says why.
    void print_lost() {
        seen_.resize(*expected_, false);
        int stretches = 0;
        for (std::size_t i = 0; i < seen_.size() && stretches < 10; ++i) {
            if (seen_[i]) continue;
            const std::size_t first = i;
            while (i + 1 < seen_.size() && !seen_[i + 1]) ++i;
            std::printf(" lost %zu-%zu", first, i);
            if (++stretches == 10) std::printf(" ..");
        }
        if (stretches > 0) std::printf("\n");
    }

    unsigned all_refused() const {
        unsigned all = 0;
        for (const auto& [error, count] : refused_) all += count;
        return all;
    }

    bool meet() {
        const auto until = Clock::now() + kMeeting;
        while (!heard_ && Clock::now() < until) {
            say(kHello, 0);
            wait(socket_, Clock::now() + 20ms);
            listen();
        }
        for (int i = 0; i < 3; ++i) say(kHello, 0);
        refused_.clear();  // while it was not there yet
        return heard_;
    }

    void flow() {
        auto due = Clock::now(), turn = due;
        while (told_to_stop == 0) {
            wait(-1, turn);
            listen();
            const auto now = Clock::now();
            due = std::max<Clock::time_point>(due, now - kBehindMax);
            unsigned count = 0;
            for (; due <= now && count < kBatch; due += pause_) outgoing_.set(count++, sent_++, 0);
            const unsigned left = count - outgoing_.send(socket_, count, refused_);
            sent_ -= left;
            due -= pause_ * left;
            turn = std::max(due, now + kTurn);
        }
    }

    // Says how many they were until the counterpart has had time to hear it, and waits for its last ones.
    bool part() {
        const auto start = heard_at_ = Clock::now();
        const auto open = [&](Clock::time_point now) {
            if (now < start + kByes) return true;
            if (!expected_) return now < start + kParting;
            return came_ < *expected_ && now < heard_at_ + kQuiet;
        };
        while (open(Clock::now())) {
            say(kBye, sent_);
            wait(socket_, Clock::now() + 50ms);
            listen();
        }
        return expected_.has_value();
    }

    void say(std::uint32_t number, std::uint32_t count) {
        outgoing_.set(0, number, count);
        outgoing_.send(socket_, 1, refused_);
    }

    void listen() {
        while (const unsigned came = incoming_.receive(socket_)) {
            for (unsigned i = 0; i < came; ++i) {
                if (!incoming_.whole(i)) continue;
                heard_ = true;
                const auto [number, count] = incoming_.get(i);
                if (number == kBye) expected_ = count;
                if (number < kBye) take(number);
            }
        }
    }

    void take(std::uint32_t number) {
        heard_at_ = Clock::now();
        if (number >= seen_.size()) seen_.resize(number + 1, false);
        if (seen_[number]) {
            ++twice_;
            return;
        }
        seen_[number] = true;
        ++came_;
        if (number + 1 < seen_.size()) ++late_;
    }

    Place remote_;
    int socket_;
    Clock::duration pause_;
    Batch outgoing_{&remote_}, incoming_;
    std::uint32_t sent_ = 0, came_ = 0, late_ = 0, twice_ = 0;
    std::map<int, unsigned> refused_;  // by the reason
    std::optional<std::uint32_t> expected_;
    std::vector<bool> seen_;
    Clock::time_point heard_at_{};
    bool fine_ = false, heard_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: aronet-stream REMOTE PORT RATE\n");
        return 2;
    }
    std::signal(SIGTERM, [](int) { told_to_stop = 1; });
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[2]));
    const auto rate = static_cast<unsigned>(std::max(1, std::atoi(argv[3])));
    return Stream(place(argv[1], port), rate).run();
}
