#pragma once

// Babel's UDP socket: one for all interfaces of the overlay, told apart by the interface a packet came in on.

#include "daemon/udp.hpp"
#include "netlink/kernel.hpp"

#include <boost/asio/experimental/channel.hpp>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace aronet::daemon {

class BabelPort {
public:
    using Received = std::function<void(const std::string& link, const Arrival&)>;
    using Refused = std::function<void(const std::string& link, const base::Address& there)>;

    explicit BabelPort(boost::asio::io_context& io);

    // Opens the socket in the namespace, bound to the VRF if there is one, which is up; another one when the
    // VRF was made anew. Returns what went wrong, or "". The namespace is used for as long as the port lives.
    std::string open(Netns& space, const std::string& vrf);

    void link_up(const std::string& name, std::uint32_t index);
    void link_gone(const std::string& name);  // whoever wants to hear it says so again when it is back
    bool knows(const std::string& link) const { return index_of_.contains(link); }
    void listen(const std::string& link);  // once it is there, until it is gone
    // From exactly this address: a MAC depends on it (RFC 8967 4.1).
    bool send(
        const std::string& link, const base::Address& from, const base::Address& to, base::ByteView bytes
    );

    boost::asio::awaitable<void> receive(Received received, Refused refused);  // for ever, once it is open
    void take();  // what is there by now, within reason

private:
    bool take(int most);
    void take_refusals();
    void forget(const std::string& link);
    void join_if_wanted(const std::string& name, std::uint32_t index);
    void join(std::uint32_t index);
    bool send_to_group(const std::string& link, const base::Address& from, base::ByteView bytes);
    bool add_holder();

    boost::asio::io_context& io_;
    boost::asio::experimental::channel<void(boost::system::error_code)> opened_;
    std::unique_ptr<UdpSocket> socket_, former_;  // the latter until nobody waits for it any more
    Netns* space_ = nullptr;
    std::uint32_t vrf_ = 0;  // the index it is bound to
    Received received_;
    Refused refused_;
    std::vector<Descriptor> holders_;  // each joins as many groups as the kernel lets one socket join
    std::set<std::string> wanted_;
    struct Way {  // to the group
        base::Address from;
        Descriptor socket;  // none: the kernel would not, or there are only so many
    };
    std::map<std::string, Way> ways_;
    std::map<std::string, std::uint32_t> index_of_;
    std::map<std::uint32_t, std::string> name_of_;
};

}  // namespace aronet::daemon
