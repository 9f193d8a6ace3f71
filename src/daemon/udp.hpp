#pragma once

// UDP sockets as IKE and Babel need them: bound once, told for each datagram where it came in and when, able
// to say where it goes out. Nothing is interpreted here.

#include "base/address.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "daemon/netns.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <memory>
#include <optional>
#include <string>

namespace aronet::daemon {

struct Arrival {
    base::ByteView bytes;     // in the socket's buffers: valid until the next receive()
    base::Endpoint from, to;  // to.port is the socket's own
    std::uint32_t interface_index = 0;
    base::Instant at;
};

struct UdpOptions {
    base::Family family = base::Family::v6;
    std::uint16_t port = 0;
    std::string device;          // SO_BINDTODEVICE, or empty
    bool esp_in_udp = false;     // the kernel takes the ESP packets out (RFC 3948)
    bool past_policies = false;  // no IPsec policy of anybody applies to this socket (needs CAP_NET_ADMIN)
    std::uint32_t mark = 0;      // of what it sends (needs CAP_NET_ADMIN); 0: none
    // Hop limit 1, traffic class CS6, no multicast loop, told of refusals: routing protocols.
    bool link_scope = false;
    int receive_buffer = 4 << 20;
};

// An open and bound descriptor; also for sockets that somebody else reads.
base::Result<Descriptor> open_udp(Netns& space, const UdpOptions& options);

// Where nobody listens, says the host there.
struct Refusal {
    base::Address there;
    std::uint32_t interface_index = 0;
};

class UdpSocket {
public:
    UdpSocket(boost::asio::io_context& io, Descriptor descriptor, std::uint16_t port);
    ~UdpSocket();

    boost::asio::awaitable<bool> readable();  // false: it was closed meanwhile
    std::optional<Arrival> receive();         // nullopt: nothing more for now
    std::optional<Refusal> refusal();         // likewise; only with UdpOptions::link_scope
    // from any(): the route decides. Interface 0: likewise. False when it was not sent; UDP may lose.
    bool send(
        const base::Address& from,
        const base::Endpoint& to,
        std::uint32_t interface_index,
        base::ByteView bytes
    );
    int descriptor() { return socket_.native_handle(); }
    void close() { socket_.close(); }  // cancels who waits for it

private:
    boost::asio::posix::stream_descriptor socket_;
    std::uint16_t port_;
    struct Batch;
    std::unique_ptr<Batch> batch_;
};

// A socket that only sends, from one address of a link to a group on it, by the port of `beside`, which is
// open and bound to any address. It knows its way, where one for all links looks it up for every datagram;
// the kernel's search is as long as there are links.
Descriptor open_to_group(
    Netns& space,
    int beside,
    const UdpOptions& options,
    const base::Address& from,
    const base::Address& group,
    std::uint32_t interface_index
);

// 0 or an errno; ENOMEM when the socket may not join more groups (net.core.optmem_max).
int join_group(int descriptor, const base::Address& group, std::uint32_t interface_index);
void leave_group(
    int descriptor, const base::Address& group, std::uint32_t interface_index
);  // if it is in it

}  // namespace aronet::daemon
