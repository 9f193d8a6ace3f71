#pragma once

// Who answers the Node's Changes on a real host: netlink sessions for links, routes and SAs, files for
// sysctls, mounts for namespaces, and the user data plane where the kernel has no ESP. Changes keep their
// order across all of these.

#include "base/time.hpp"
#include "daemon/datapath.hpp"
#include "daemon/netlink_socket.hpp"
#include "daemon/netns.hpp"
#include "netlink/session.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace aronet::daemon {

class Kernel {
public:
    // With a datapath, tunnels are its TUN devices and SAs are its own. It outlives the kernel. The overlay's
    // namespace, if it has one, was handed over or is made when it is wanted.
    Kernel(boost::asio::io_context& io, Datapath* datapath, Netns overlay);

    void perform(netlink::Change change, base::Instant now);  // with the next take_notices()
    void tick(base::Instant now);
    std::optional<base::Deadline> deadline() const;

    // Sends what there is to send. Notices since the last call, oldest first.
    std::vector<netlink::Notice> take_notices(base::Instant now);

    // Reads one channel for ever; `woken` is called after each batch of notices.
    boost::asio::awaitable<void> receive(netlink::Channel channel, std::function<void()> woken);
    // Watches over the name of the overlay's namespace, once there is one.
    boost::asio::awaitable<void> watch_name(std::function<void()> woken);

    Netns& space(netlink::Space which) { return which == netlink::Space::overlay ? overlay_ : here_; }

private:
    NetlinkSocket& socket(netlink::Channel channel) { return *sockets_[static_cast<std::size_t>(channel)]; }
    void advance(base::Instant now);
    void flush(base::Instant now);
    void remove_devices();
    bool is_of_device(const netlink::Wish& wish) const;  // about the removal of one of the data plane
    bool is_local(const netlink::Wish& wish) const;
    void perform_here(netlink::Change change, base::Instant now);
    void perform_in_datapath(netlink::Change change, base::Instant now);
    netlink::Counters read_counters() const;
    void done(netlink::ChangeId id, int error, const char* text = nullptr);

    bool is_there(netlink::Space which) const;
    int enter_overlay(const std::string& name);
    int name_overlay(const std::string& name);
    int leave_overlay(const std::string& name);
    void add_tunnel(netlink::Change change, base::Instant now);
    int remove_tunnel(const std::string& name);
    int get_sysctl(const netlink::GetSysctl& wish);
    int set_sysctl(const netlink::SetSysctl& wish);
    int clamp_segments(const netlink::ClampSegments& wish);

    boost::asio::io_context& io_;
    Datapath* datapath_;
    netlink::Session session_;
    netlink::SessionOutput output_;
    std::array<std::unique_ptr<NetlinkSocket>, netlink::kChannels> sockets_;
    Netns here_, overlay_;  // the latter once there is one
    Descriptor filter_;     // nfnetlink: its table is there while this is open
    std::string overlay_name_;
    using Bell = boost::asio::experimental::channel<void(boost::system::error_code)>;
    Bell overlay_entered_, overlay_named_;
    std::deque<netlink::Change> waiting_;  // behind something that must happen first
    std::size_t devices_gone_ = 0;         // of the next that wait: they only have to be closed
    base::Duration worked_{};              // since the last tick(), on what is not netlink
    std::vector<netlink::Notice> notices_;
    std::map<std::string, std::uint32_t> tunnels_;  // of the datapath: name → if_id
};

}  // namespace aronet::daemon
