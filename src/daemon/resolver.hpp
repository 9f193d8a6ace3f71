#pragma once

// Names to addresses by c-ares on the one io_context: no thread, every address of the family, in the order
// given, and how long that holds. Whom to ask is read again when /etc/resolv.conf has changed.

#include "base/address.hpp"
#include "base/time.hpp"
#include "daemon/descriptor.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <functional>
#include <memory>
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

    // `mark`: of its packets; 0: none.
    Resolver(boost::asio::io_context& io, Answer answer, std::uint32_t mark = 0);
    ~Resolver();

    void resolve(const std::string& name, base::Family family);
    boost::asio::awaitable<void> serve();  // for ever

private:
    struct Question {
        Resolver* resolver;
        std::string name;
        base::Family family;
    };
    int open();  // an error of c-ares, with which the channel before stays
    void reopen_if_changed();
    void ask(std::unique_ptr<Question> question);
    static void answered(void* question, int status, int timeouts, ares_addrinfo* result);
    static int prepare(int socket, int type, void* resolver);
    static void watch(void* resolver, int socket, int readable, int writable);
    void set_timeout();

    Answer answer_;
    std::uint32_t mark_;
    boost::asio::posix::stream_descriptor epoll_;  // c-ares' sockets and the time-out behind one descriptor
    Descriptor timer_;
    std::set<int> watched_;
    ares_channeldata* channel_ = nullptr;
    bool answering_ = false;
    struct Edition {  // of the file
        std::uint64_t device = 0, inode = 0;
        std::int64_t seconds = 0, nanoseconds = 0;
        bool operator==(const Edition&) const = default;
    };
    static Edition edition();
    Edition read_;
};

}  // namespace aronet::daemon
