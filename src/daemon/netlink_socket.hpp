#pragma once

// A netlink socket: datagrams in and out, nothing understood. What the kernel tells everybody of routes that
// were made by this socket does not come in.

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "daemon/netns.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <optional>
#include <span>

namespace aronet::daemon {

// Opened in the namespace and subscribed to the multicast groups.
base::Result<Descriptor> open_netlink(Netns& space, int protocol, std::span<const int> groups);

class NetlinkSocket {
public:
    NetlinkSocket(boost::asio::io_context& io, Descriptor descriptor);

    boost::asio::awaitable<void> readable();  // throws when cancelled
    struct Received {
        base::ByteView bytes;
        bool cut = false;  // it was larger than our buffer: the end is lost
    };
    // What has arrived, until the next call; nullopt: nothing more for now. `overrun` is set when the kernel
    // had to drop notices (ENOBUFS).
    std::optional<Received> receive(bool& overrun);
    std::uint32_t port();                        // the kernel's name for it
    void ignore_changes_of(std::uint32_t port);  // what was asked for under that name is not told here
    void forget();                               // wipes what was received last
    int send(base::ByteView bytes);              // 0 or an errno

private:
    boost::asio::posix::stream_descriptor socket_;
    base::Bytes buffer_;
    std::size_t received_ = 0;
};

}  // namespace aronet::daemon
