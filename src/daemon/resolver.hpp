#pragma once

// Names to addresses by c-ares on the one io_context: no thread, every address of the family, in the order
// given, and how long that holds.

#include "base/address.hpp"
#include "base/time.hpp"
#include "daemon/descriptor.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <functional>
#include <set>
#include <string>
#include <vector>

struct ares_channeldata;
struct ares_addrinfo;

namespace aronet::daemon {

class Resolver {
public:
    struct Found {
        std::vector<base::Address> addresses;  // none: it failed
        base::Duration lifetime{};             // the shortest of the answer's
    };
    // Called once for each question, from within resolve() or serve().
    using Answer = std::function<void(const std::string& name, base::Family family, Found)>;

    Resolver(boost::asio::io_context& io, Answer answer);
    ~Resolver();

    void resolve(const std::string& name, base::Family family);
    boost::asio::awaitable<void> serve();  // for ever

private:
    struct Question {
        Resolver* resolver;
        std::string name;
        base::Family family;
    };
    static void answered(void* question, int status, int timeouts, ares_addrinfo* result);
    static void watch(void* resolver, int socket, int readable, int writable);
    void set_timeout();

    Answer answer_;
    boost::asio::posix::stream_descriptor epoll_;  // c-ares' sockets and the time-out behind one descriptor
    Descriptor timer_;
    std::set<int> watched_;
    ares_channeldata* channel_ = nullptr;
};

}  // namespace aronet::daemon
