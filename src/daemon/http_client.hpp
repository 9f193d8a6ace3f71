#pragma once

// One question at a time to a web server, within limits of size and time, with the server's certificate
// checked. Follows no redirects and knows nothing of what is asked for.

#include "daemon/resolver.hpp"
#include "overlay/registry_source.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>

#include <string>
#include <vector>

namespace aronet::daemon {

struct HttpQuestion {
    overlay::Url url;
    overlay::Edition known;  // is not sent again; empty: whatever there is
    std::size_t size_max = 0;
};

class HttpClient {
public:
    static constexpr auto kConnecting = std::chrono::seconds(5);  // to one address
    static constexpr auto kAnswering = std::chrono::minutes(2);   // until the last octet

    // `authorities`: certificates (PEM) that are trusted; empty: those of the system. Throws if there are
    // none in it. `agent` is what we call ourselves, `mark` that of our packets, 0: none.
    HttpClient(
        boost::asio::io_context& io, const std::string& authorities, std::string agent, std::uint32_t mark = 0
    );

    boost::asio::awaitable<base::Result<overlay::HttpAnswer>> get(HttpQuestion question);
    boost::asio::awaitable<void> serve();  // resolves names, for ever

private:
    boost::asio::awaitable<std::vector<base::Address>> addresses_of(std::string host);
    void resolved(Resolver::Found found);

    std::string agent_;
    std::uint32_t mark_;
    boost::asio::ssl::context trust_;
    Resolver resolver_;
    std::vector<base::Address> found_;
    unsigned awaited_ = 0;  // answers about the host
    boost::asio::experimental::channel<void(boost::system::error_code)> all_found_;
};

}  // namespace aronet::daemon
