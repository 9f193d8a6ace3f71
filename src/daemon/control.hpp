#pragma once

// The control socket: HTTP/1.1 with JSON bodies on a UNIX socket (docs/control.md). Knows paths, limits and
// who may do what; knows nothing of what the answers mean.

#include "base/log.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <functional>
#include <string>

namespace aronet::daemon {

struct ControlRequest {
    std::string verb;  // info, status, tunnels, neighbours, routes, registry, stop
    std::string body;
};
struct ControlResponse {
    int status = 200;  // of HTTP
    std::string body;  // JSON
};

class Control {
public:
    static constexpr int kSessionsMax =
        64;  // and an eighth of the descriptors there may be: tunnels need some
    static constexpr std::size_t kHeaderMax = 8 * 1024, kBodyMax = 64 * 1024 * 1024;

    using Answer = std::function<boost::asio::awaitable<ControlResponse>(ControlRequest)>;

    // Throws when the path cannot be bound or another process listens there. A socket nobody listens on is
    // replaced.
    Control(boost::asio::io_context& io, std::string path, Answer answer);
    ~Control();  // removes the socket file

    boost::asio::awaitable<void> serve();  // for ever

private:
    using Protocol = boost::asio::local::stream_protocol;
    boost::asio::awaitable<void> work();
    boost::asio::awaitable<void> pause(std::string why);
    boost::asio::awaitable<void> converse(Protocol::socket socket);

    boost::asio::io_context& io_;
    std::string path_;
    Answer answer_;
    Protocol::acceptor acceptor_;
    int sessions_;     // at once
    int readers_ = 0;  // of these, with callers who may change nothing: some are left for the others
    base::Drops refusals_;
};

}  // namespace aronet::daemon
