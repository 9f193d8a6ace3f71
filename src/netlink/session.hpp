#pragma once

// One conversation with the kernel over netlink: Changes become requests, replies and multicasts become
// Notices. Pure: the shell owns the sockets and only moves bytes. Keeps changes in order, resolves link names
// to indexes, moves tunnel interfaces between namespaces, batches requests, and holds at most kWindow changes
// in flight.

#include "base/time.hpp"
#include "netlink/change.hpp"

#include <memory>
#include <optional>
#include <span>

namespace aronet::netlink {

// The sockets a session talks through. Without a namespace `overlay_route` is never used. Nothing is sent on
// `xfrm_notices`: what the kernel says of every SA and policy that changes comes apart from its answers, so
// that the shell can leave out what we have changed ourselves.
enum class Channel : std::uint8_t { underlay_route, overlay_route, xfrm, xfrm_notices };
inline constexpr std::size_t kChannels = 4;

// The multicast groups (RTNLGRP_*, XFRMNLGRP_*) the shell subscribes a channel's socket to.
std::span<const int> groups(Channel channel);

struct Outgoing {
    Channel channel;
    base::Bytes bytes;                    // one datagram with one or more netlink messages
    std::optional<std::size_t> open_end;  // where its last message is, if that may do without an answer
};

struct SessionOutput {
    std::vector<Outgoing> send;
    std::vector<Notice> notices;
    void clear() {
        send.clear();
        notices.clear();
    }
};

class Session {
public:
    static constexpr std::size_t kWindow = kBurst;
    static constexpr base::Duration kAnswerTime = std::chrono::seconds(5);

    Session();
    ~Session();

    // The name that the kernel has for the socket of `xfrm`: changes of SAs and policies are told with the
    // name that stands in the request for them, and are not heard again from `xfrm_notices`.
    void use_port(std::uint32_t of_xfrm);
    // The descriptor of the overlay's namespace, for moving links; the overlay_route socket lives in it.
    void use_overlay(int namespace_fd);

    void handle(Change change, base::Instant now, SessionOutput& out);  // not the namespace and sysctl wishes
    void handle(Channel channel, base::ByteView bytes, base::Instant now, SessionOutput& out);
    void lost(Channel channel, base::Instant now, SessionOutput& out);  // the socket said ENOBUFS
    void tick(
        base::Instant now, SessionOutput& out
    );  // changes without an answer for kAnswerTime fail with ETIMEDOUT
    std::optional<base::Deadline> deadline() const;
    bool idle() const;  // nothing in flight, nothing waiting

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace aronet::netlink
