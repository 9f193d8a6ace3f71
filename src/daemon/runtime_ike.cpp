// The sockets of IKE: where the kernel does the ESP they are ours, or were another process's of ours, and
// outlive us; else the data plane reads them and hands on what is IKE.

#include "daemon/log.hpp"
#include "daemon/runtime.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>

#include <cstring>

namespace aronet::daemon {
namespace {

using boost::asio::awaitable;
using boost::asio::use_awaitable;
using namespace boost::asio::experimental::awaitable_operators;

// After so many datagrams of one socket it is everybody else's turn: a flood must not stop the clock.
constexpr int kFair = 64;

std::string name_of(const overlay::IkePort& where) {
    return (where.first == base::Family::v4 ? "ike-ipv4-" : "ike-ipv6-") + std::to_string(where.second);
}

}  // namespace

void Runtime::open_ike_sockets() {
    if (!ports_.kernel_datapath) custody_.end();  // the ports would not be free
    for (const overlay::IkePort& where : ports_.ike) {
        Descriptor kept = ports_.kernel_datapath ? custody_.take(name_of(where)) : Descriptor();
        if (kept) {
            setsockopt(kept.get(), SOL_SOCKET, SO_MARK, &ports_.mark, sizeof ports_.mark);
            use_ike(where, std::move(kept));
            continue;
        }
        auto descriptor = open_ike(where);
        if (!descriptor) throw std::runtime_error(descriptor.error().text);
        use_ike(where, std::move(*descriptor));
    }
    custody_.drop_others();
    if (!custody_.why().empty())
        write_log({base::Level::warning, custody_.why() + ": traffic will stop while the daemon restarts"});
}

base::Result<Descriptor> Runtime::open_ike(const overlay::IkePort& where) {
    UdpOptions options;
    options.family = where.first;
    options.port = where.second;
    options.esp_in_udp = ports_.kernel_datapath;
    options.past_policies = true;
    options.mark = ports_.mark;
    return open_udp(kernel_.space(netlink::Space::underlay), options);
}

void Runtime::use_ike(const overlay::IkePort& where, Descriptor descriptor) {
    if (datapath_) {
        if (const int error = datapath_->add_socket(descriptor.get(), where.second, where.first))
            write_log({base::Level::error, name_of(where) + " cannot be read: " + std::strerror(error)});
    } else {
        custody_.keep(name_of(where), descriptor.get());
    }
    ike_.try_emplace(where, io_, std::move(descriptor), where.second);
    ports_changed_.try_send(boost::system::error_code());
}

void Runtime::leave_ike(const overlay::IkePort& where) {
    if (datapath_) {
        datapath_->remove_socket(where.second, where.first);
        ike_.erase(where);
        return;
    }
    custody_.drop(name_of(where));
    ike_.at(where).close();
    closed_.push_back(ike_.extract(where));
    ports_changed_.try_send(boost::system::error_code());
}

// Before anything changes: nothing does where one cannot be opened.
void Runtime::open_new_ports(const std::set<overlay::IkePort>& wanted, overlay::Problems& problems) {
    opened_.clear();
    for (const overlay::IkePort& where : wanted) {
        if (ike_.contains(where)) continue;
        auto descriptor = open_ike(where);
        if (descriptor) {
            opened_.emplace(where, std::move(*descriptor));
        } else {
            problems.add({ports_.config_path, 0, 0, "endpoints", descriptor.error().text, false});
        }
    }
}

void Runtime::perform(overlay::Configured& action) {
    start_log(action.log_level, action.log_format);
    std::set<overlay::IkePort> present;
    for (const auto& [where, socket] : ike_) present.insert(where);
    for (const overlay::IkePort& where : present) {
        if (!action.ike.contains(where)) leave_ike(where);
    }
    for (const overlay::IkePort& where : action.ike) {
        if (present.contains(where)) continue;
        const auto found = opened_.find(where);
        auto descriptor =
            found == opened_.end() ? open_ike(where) : base::Result<Descriptor>(std::move(found->second));
        if (descriptor) {
            use_ike(where, std::move(*descriptor));
        } else {
            write_log({base::Level::error, descriptor.error().text});
        }
    }
}

awaitable<void> Runtime::receive_ike() {
    for (;;) {
        closed_.clear();
        auto either = lasting_(receive_ike_everywhere()) || ports_changed_.async_receive(use_awaitable);
        co_await std::move(either);
        lasting_.rethrow();
    }
}

awaitable<void> Runtime::receive_ike_everywhere() {
    using Reader =
        decltype(boost::asio::co_spawn(io_, receive_ike(ike_.begin()->second), boost::asio::deferred));
    std::vector<Reader> readers;
    for (auto& [key, socket] : ike_)
        readers.push_back(boost::asio::co_spawn(io_, receive_ike(socket), boost::asio::deferred));
    if (readers.empty()) co_return co_await forever();
    auto all = boost::asio::experimental::make_parallel_group(std::move(readers));
    const auto [order, failures] =
        co_await all.async_wait(boost::asio::experimental::wait_for_one_error(), use_awaitable);
    for (const std::exception_ptr& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
    co_await forever();  // all of them are closed
}

awaitable<void> Runtime::receive_ike(UdpSocket& socket) {
    for (;;) {
        const bool is_open = co_await socket.readable();
        if (!is_open) co_return;
        int taken = 0;
        while (const auto arrival = socket.receive()) {
            feed(overlay::IkeDatagram{arrival->bytes, arrival->from, arrival->to});
            if (++taken % kFair == 0) co_await boost::asio::post(io_, use_awaitable);
        }
    }
}

awaitable<void> Runtime::receive_from_datapath() {
    boost::asio::posix::stream_descriptor queue(
        io_, fcntl(datapath_->queue_descriptor(), F_DUPFD_CLOEXEC, 0)
    );
    for (;;) {
        co_await queue.async_wait(queue.wait_read, use_awaitable);
        int taken = 0;
        while (const auto message = datapath_->pop()) {
            if (const auto* datagram = std::get_if<Datapath::Datagram>(&*message)) {
                feed(overlay::IkeDatagram{datagram->bytes, datagram->from, datagram->to});
            } else {
                feed(std::get<netlink::Notice>(*message));
            }
            if (++taken % kFair == 0) co_await boost::asio::post(io_, use_awaitable);
        }
    }
}

awaitable<void> Runtime::receive_datagrams() {
    if (datapath_) {
        co_await receive_from_datapath();
    } else {
        co_await receive_ike();
    }
}

}  // namespace aronet::daemon
