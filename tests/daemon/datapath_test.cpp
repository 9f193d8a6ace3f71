#include "daemon/datapath.hpp"

#include "daemon/netns.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

using namespace aronet;
using daemon::Datapath;
using daemon::Descriptor;

namespace {

constexpr std::uint16_t kPort = 12025;

base::Endpoint endpoint(const char* address, std::uint16_t port = kPort) {
    return {*base::Address::parse(address), port};
}

int shell(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); }

bool within(std::chrono::milliseconds limit, const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(2))) {
        if (holds()) return true;
        if (std::chrono::steady_clock::now() > end) return false;
    }
}

// A network namespace of the test's own, by name, so that `ip` finds it too.
class Namespace {
public:
    explicit Namespace(std::string name) : name_(std::move(name)) {
        shell("ip netns del " + name_);
        REQUIRE(daemon::make_namespace(name_) == 0);
        fd_ = daemon::open_namespace(name_);
        REQUIRE(bool(fd_));
        run("ip link set lo up");
    }
    ~Namespace() { shell("ip netns del " + name_); }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;

    void run(const std::string& command) const {
        INFO(command);
        REQUIRE(try_run(command) == 0);
    }
    int try_run(const std::string& command) const { return shell("ip netns exec " + name_ + " " + command); }
    int fd() const { return fd_.get(); }
    int add_tunnel(Datapath& plane, const std::string& name, std::uint32_t if_id, std::uint32_t mtu) const {
        int error = -1;
        daemon::inside_namespace(fd(), [&] { error = plane.add_tunnel(name, if_id, mtu); });
        return error;
    }
    const std::string& name() const { return name_; }

    Descriptor udp_socket(const base::Endpoint& local) const {
        Descriptor made;
        daemon::inside_namespace(fd(), [&] {
            const bool v4 = local.address.is_v4();
            made =
                Descriptor(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            sockaddr_storage name{};
            if (v4) {
                auto& in = reinterpret_cast<sockaddr_in&>(name);
                in.sin_family = AF_INET;
                in.sin_port = htons(local.port);
                std::memcpy(&in.sin_addr, local.address.bytes().data(), 4);
            } else {
                auto& in6 = reinterpret_cast<sockaddr_in6&>(name);
                in6.sin6_family = AF_INET6;
                in6.sin6_port = htons(local.port);
                std::memcpy(&in6.sin6_addr, local.address.bytes().data(), 16);
                const int on = 1;
                setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
            }
            if (bind(made.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) made.close();
        });
        REQUIRE(bool(made));
        return made;
    }

private:
    std::string name_;
    Descriptor fd_;
};

base::Sa association(
    base::Direction direction, std::uint32_t spi, const base::Endpoint& from, const base::Endpoint& to
) {
    base::Sa sa;
    sa.direction = direction;
    sa.source = from;
    sa.destination = to;
    sa.spi = spi;
    sa.if_id = 9;
    base::Bytes key(base::key_size(sa.suite), static_cast<base::Byte>(spi));
    sa.key = base::Secret(base::ByteView(key));
    return sa;
}

// One end: a namespace with an underlay address on a veth, a data plane and the tunnel `mesh`.
struct End {
    End(std::string name, bool first) : space(std::move(name)), number(first ? "1" : "2") {}

    void open() {
        v4 = space.udp_socket({base::Address::any(base::Family::v4), kPort});
        v6 = space.udp_socket({base::Address::any(base::Family::v6), kPort});
        REQUIRE(plane.add_socket(v4.get(), kPort, base::Family::v4) == 0);
        REQUIRE(plane.add_socket(v6.get(), kPort, base::Family::v6) == 0);
        REQUIRE(space.add_tunnel(plane, "mesh", 9, 1400) == 0);
        space.run("ip link set mesh up");
        space.run("ip addr add 10.9.0." + number + "/24 dev mesh");
        space.run("ip addr add fd09::" + number + "/64 dev mesh nodad");
    }
    void key(std::uint32_t in, std::uint32_t out, const base::Endpoint& own, const base::Endpoint& peer) {
        REQUIRE(plane.add_sa(association(base::Direction::in, in, peer, own)) == 0);
        REQUIRE(plane.add_sa(association(base::Direction::out, out, own, peer)) == 0);
        REQUIRE(plane.set_outbound(9, out, own.address, peer.address) == 0);
    }
    std::uint64_t drops(std::string_view reason) const {
        for (const auto& [name, count] : plane.drops())
            if (name == reason) return count;
        return 0;
    }
    Datapath::SaCounters counters(base::Direction direction) const {
        for (const auto& sa : plane.counters())
            if (sa.direction == direction) return sa;
        return {};
    }
    std::optional<Datapath::Message> next_message() {
        pollfd waiting{plane.queue_descriptor(), POLLIN, 0};
        poll(&waiting, 1, 2000);
        return plane.pop();
    }

    Namespace space;
    std::string number;
    Descriptor v4, v6;
    Datapath plane;
};

struct TwoEnds {
    TwoEnds() {
        REQUIRE(shell("ip link add under netns esp-a type veth peer name under netns esp-b") == 0);
        for (End* end : {&a, &b}) {
            end->space.run("ip link set under up");
            end->space.run("ip addr add 192.0.2." + end->number + "/24 dev under");
            end->space.run("ip addr add 2001:db8::" + end->number + "/64 dev under nodad");
            end->open();
        }
    }
    void key(const base::Endpoint& at_a, const base::Endpoint& at_b) {
        a.key(0xa001, 0xb001, at_a, at_b);
        b.key(0xb001, 0xa001, at_b, at_a);
    }

    End a{"esp-a", true};
    End b{"esp-b", false};
};

bool has(const Namespace& space, const std::string& command) { return space.try_run(command) == 0; }

void send_raw(const Descriptor& socket, const base::Bytes& bytes, const char* to) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(kPort);
    inet_pton(AF_INET, to, &name.sin_addr);
    REQUIRE(
        sendto(
            socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&name), sizeof name
        ) == static_cast<ssize_t>(bytes.size())
    );
}

// Sealed by hand with the key of the SA, as A would: an IPv4 header without payload.
base::Bytes sealed(const base::Sa& sa, std::uint64_t sequence) {
    auto random = base::Random::from_number(sequence);
    const auto out = esp::OutboundSa::make(sa, random);
    out->skip_to(sequence - 1);
    base::Bytes buffer(256);
    const base::Bytes header{0x45, 0, 0, 20, 0, 1, 0, 0, 64, 59, 0x66, 0xd9, 10, 9, 0, 1, 10, 9, 0, 2};
    std::copy(header.begin(), header.end(), buffer.begin() + esp::kHeadroom);
    esp::Packet packet;
    packet.room = buffer;
    packet.at = esp::kHeadroom;
    packet.size = header.size();
    out->seal(packet, base::Instant{});
    REQUIRE(packet.drop == esp::Drop::none);
    return {packet.bytes().begin(), packet.bytes().end()};
}

base::Sa from_a_to_b(base::Direction direction, std::uint32_t spi) {
    return association(direction, spi, endpoint("192.0.2.1"), endpoint("192.0.2.2"));
}

base::Bytes sealed_for_b(std::uint64_t sequence, base::Byte key_byte = 0x01) {
    auto sa = from_a_to_b(base::Direction::out, 0xb001);
    for (auto& byte : sa.key.mutable_view()) byte = key_byte;
    return sealed(sa, sequence);
}

}  // namespace

TEST_CASE("two data planes carry both families over both families", "[native]") {
    TwoEnds ends;
    const bool over_v4 = GENERATE(true, false);
    if (over_v4)
        ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    else
        ends.key(endpoint("2001:db8::1"), endpoint("2001:db8::2"));
    CHECK(has(ends.a.space, "ping -c 3 -i 0.1 -W 2 10.9.0.2"));
    CHECK(has(ends.b.space, "ping -c 3 -i 0.1 -W 2 fd09::1"));
    CHECK(has(ends.a.space, "ping -c 2 -i 0.1 -W 2 -s 1372 -M do 10.9.0.2"));
    const auto in = ends.b.counters(base::Direction::in);
    CHECK(in.packets >= 5);
    CHECK(in.drops == 0);
    CHECK(in.last_used);
}

TEST_CASE("a TCP stream crosses the data plane", "[native]") {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    std::thread server([&] { ends.b.space.try_run("iperf3 -s -1"); });
    CHECK(within(std::chrono::seconds(3), [&] {
        return has(ends.b.space, "sh -c 'ss -ltn | grep -q :5201'");
    }));
    CHECK(has(ends.a.space, "iperf3 -c 10.9.0.2 -n 20M"));
    server.join();
    CHECK(ends.b.counters(base::Direction::in).bytes > 15'000'000);
    CHECK(ends.b.drops("replayed") == 0);
    CHECK(ends.b.drops("integrity check failed") == 0);
}

TEST_CASE("a tunnel without an SA keeps its link up, and drops and counts", "[native]") {
    TwoEnds ends;
    CHECK(has(ends.a.space, "sh -c 'ip link show mesh | grep -q LOWER_UP'"));
    CHECK_FALSE(has(ends.a.space, "ping -c 1 -W 1 10.9.0.2"));
    CHECK(ends.a.drops("no outbound SA") >= 1);
}

TEST_CASE("row 30: replayed, forged and unknown packets are dropped and counted", "[native]") {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    const auto packet = sealed_for_b(1000);
    send_raw(ends.a.v4, packet, "192.0.2.2");
    send_raw(ends.a.v4, packet, "192.0.2.2");
    CHECK(within(std::chrono::seconds(2), [&] { return ends.b.drops("replayed") == 1; }));
    send_raw(ends.a.v4, sealed_for_b(1001, 0x77), "192.0.2.2");
    CHECK(within(std::chrono::seconds(2), [&] { return ends.b.drops("integrity check failed") == 1; }));
    CHECK(ends.b.counters(base::Direction::in).drops == 2);
    auto unknown = packet;
    unknown[0] = 0x55;
    send_raw(ends.a.v4, unknown, "192.0.2.2");
    CHECK(within(std::chrono::seconds(2), [&] { return ends.b.drops("unknown SPI") == 1; }));
    CHECK(ends.b.counters(base::Direction::in).packets == 1);
}

TEST_CASE("IKE goes to the control thread, keepalives go nowhere", "[native]") {
    TwoEnds ends;
    send_raw(ends.a.v4, {0xff}, "192.0.2.2");
    send_raw(ends.a.v4, {0, 0, 0, 0, 1, 2, 3, 4, 5}, "192.0.2.2");
    send_raw(ends.a.v4, {9, 9, 9}, "192.0.2.2");
    for (const base::Bytes& expected : {base::Bytes{0, 0, 0, 0, 1, 2, 3, 4, 5}, base::Bytes{9, 9, 9}}) {
        const auto message = ends.b.next_message();
        REQUIRE(message);
        const auto* datagram = std::get_if<Datapath::Datagram>(&*message);
        REQUIRE(datagram);
        CHECK(datagram->bytes == expected);
        CHECK(datagram->from == endpoint("192.0.2.1"));
        CHECK(datagram->to == endpoint("192.0.2.2"));
    }
    CHECK_FALSE(ends.b.plane.pop());
    pollfd idle{ends.b.plane.queue_descriptor(), POLLIN, 0};
    CHECK(poll(&idle, 1, 0) == 0);
}

TEST_CASE(
    "a peer behind a NAT that rebinds is reported once, and the SA moves without starting anew", "[native]"
) {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    CHECK(has(ends.a.space, "ping -c 1 -W 2 10.9.0.2"));
    const Descriptor other = ends.a.space.udp_socket(endpoint("0.0.0.0", 40777));
    send_raw(other, sealed_for_b(500), "192.0.2.2");
    send_raw(other, sealed_for_b(501), "192.0.2.2");
    const auto message = ends.b.next_message();
    REQUIRE(message);
    const auto* notice = std::get_if<netlink::Notice>(&*message);
    REQUIRE(notice);
    const auto* mapping = std::get_if<netlink::Mapping>(notice);
    REQUIRE(mapping);
    CHECK(mapping->id == base::SaId{*base::Address::parse("192.0.2.2"), 0xb001});
    CHECK(mapping->peer == endpoint("192.0.2.1", 40777));
    CHECK(within(std::chrono::seconds(2), [&] { return ends.b.counters(base::Direction::in).packets >= 3; }));
    CHECK_FALSE(ends.b.plane.pop());

    const auto before = ends.b.counters(base::Direction::out).packets;
    REQUIRE(
        ends.b.plane.move_sa(
            {*base::Address::parse("192.0.2.1"), 0xa001}, endpoint("192.0.2.2"), endpoint("192.0.2.1", 40777)
        ) == 0
    );
    ends.b.space.try_run("ping -c 1 -W 1 10.9.0.1");
    base::Bytes received(200);
    CHECK(recv(other.get(), received.data(), received.size(), 0) > 8);
    CHECK(esp::decode_header(received)->sequence == before + 1);
}

TEST_CASE("the outer packet carries the inner traffic class", "[native]") {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    const Descriptor watcher = ends.b.space.udp_socket(endpoint("192.0.2.2", 40000));
    const int on = 1;
    setsockopt(watcher.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    REQUIRE(
        ends.a.plane.add_sa(
            association(base::Direction::out, 0xb001, endpoint("192.0.2.1"), endpoint("192.0.2.2", 40000))
        ) == 0
    );
    ends.a.space.try_run("ping -c 1 -W 1 -Q 0xb8 10.9.0.2");
    char bytes[256], space[128];
    iovec vector{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    REQUIRE(recvmsg(watcher.get(), &message, 0) > 0);
    const cmsghdr* control = CMSG_FIRSTHDR(&message);
    REQUIRE(control);
    CHECK(*CMSG_DATA(control) == 0xb8);
}

TEST_CASE("a removed tunnel is gone at once and may come again", "[native]") {
    const Namespace space("esp-c");
    Datapath plane;
    for (int i = 0; i < 20; ++i) {
        REQUIRE(space.add_tunnel(plane, "mesh", 9, 1400) == 0);
        CHECK(space.add_tunnel(plane, "mesh", 9, 1400) == 0);
        CHECK(space.add_tunnel(plane, "other", 9, 1400) == EEXIST);
        CHECK(space.add_tunnel(plane, "mesh", 10, 1400) == EEXIST);
        CHECK(has(space, "ip link show mesh"));
        REQUIRE(plane.remove_tunnel(9) == 0);
        CHECK_FALSE(has(space, "ip link show mesh"));
    }
    CHECK(plane.remove_tunnel(9) == 0);
    CHECK(space.add_tunnel(plane, "mesh", 9, 65000) == EMSGSIZE);
    CHECK(space.add_tunnel(plane, "a-name-that-is-too-long", 9, 1400) == EINVAL);
}

TEST_CASE("a device that somebody else removes stops nothing and can be made again", "[native]") {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    REQUIRE(ends.b.space.add_tunnel(ends.b.plane, "more", 10, 1400) == 0);
    ends.b.space.run("ip link del more");
    REQUIRE(ends.b.space.add_tunnel(ends.b.plane, "more", 10, 1400) == 0);
    ends.b.space.run("ip link show more");
    CHECK(has(ends.a.space, "ping -c 1 -W 2 10.9.0.2"));
    CHECK(ends.b.plane.remove_tunnel(10) == 0);
}

// Removing waits for the thread to know: a wake-up that is lost would be waited for here for ever.
TEST_CASE("sockets that come and go without a pause keep nobody waiting") {
    const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::atomic<bool> is_done = false;
    std::thread alarm([&] {
        if (!within(std::chrono::seconds(30), [&] { return is_done.load(); })) std::abort();
    });
    Datapath plane;
    for (int i = 0; i < 20'000; ++i) {
        REQUIRE(plane.add_socket(socket.get(), kPort, base::Family::v4) == 0);
        plane.remove_socket(kPort, base::Family::v4);
    }
    is_done = true;
    alarm.join();
}

TEST_CASE("SAs are added, switched and removed under traffic", "[native]") {
    TwoEnds ends;
    const auto at_a = endpoint("192.0.2.1"), at_b = endpoint("192.0.2.2");
    ends.key(at_a, at_b);
    int lost = -1;
    std::thread traffic([&] { lost = ends.a.space.try_run("ping -q -c 100 -i 0.01 -W 1 10.9.0.2"); });
    for (std::uint32_t i = 1; i <= 40; ++i) {
        for (End* end : {&ends.a, &ends.b}) {
            const bool first = end == &ends.a;
            const auto& own = first ? at_a : at_b;
            const auto& peer = first ? at_b : at_a;
            const std::uint32_t in = (first ? 0xa001 : 0xb001) + i, out = (first ? 0xb001 : 0xa001) + i;
            REQUIRE(end->plane.add_sa(association(base::Direction::in, in, peer, own)) == 0);
            REQUIRE(end->plane.add_sa(association(base::Direction::out, out, own, peer)) == 0);
        }
        REQUIRE(ends.a.plane.set_outbound(9, 0xb001 + i, at_a.address, at_b.address) == 0);
        REQUIRE(ends.b.plane.set_outbound(9, 0xa001 + i, at_b.address, at_a.address) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        for (End* end : {&ends.a, &ends.b}) {
            end->plane.remove_sa({at_a.address, 0xa001 + i - 1});
            end->plane.remove_sa({at_b.address, 0xb001 + i - 1});
        }
    }
    traffic.join();
    CHECK(lost == 0);
    CHECK(ends.b.drops("unknown SPI") == 0);
    CHECK(ends.a.plane.counters().size() == 2);
}

TEST_CASE(
    "what comes under an SA that has just been added is known, however busy the worker is", "[native]"
) {
    TwoEnds ends;
    ends.key(endpoint("192.0.2.1"), endpoint("192.0.2.2"));
    const auto old = sealed_for_b(1000);
    constexpr std::uint32_t kRekeyings = 300;
    for (std::uint32_t spi = 0xc001; spi <= 0xc000 + kRekeyings; ++spi) {
        for (int i = 0; i < 200; ++i) send_raw(ends.a.v4, old, "192.0.2.2");
        const auto packet = sealed(from_a_to_b(base::Direction::out, spi), 1);
        REQUIRE(ends.b.plane.add_sa(from_a_to_b(base::Direction::in, spi)) == 0);
        send_raw(ends.a.v4, packet, "192.0.2.2");
    }
    const auto came = [&] {
        std::uint64_t packets = 0;
        for (const auto& sa : ends.b.plane.counters())
            if (sa.id.spi > 0xc000) packets += sa.packets;
        return packets;
    };
    CHECK(within(std::chrono::seconds(5), [&] { return came() == kRekeyings; }));
    CHECK(ends.b.drops("unknown SPI") == 0);
}
