#pragma once

// The source of the registry on a real host: looks at a file or a URL when the Node wants it, says when a
// file has been touched, keeps a copy of what a URL gave. What takes long is done by the reader thread.

#include "daemon/http_client.hpp"
#include "overlay/kept_registry.hpp"
#include "overlay/node.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace aronet::daemon {

inline constexpr std::size_t kRegistryMax = 64 * 1024 * 1024;

struct RegistryPlace {
    std::string source;                // a path or a URL; empty: none
    std::vector<ike::PublicKey> keys;  // one of which has signed what is there; none: nobody has to
    std::string authorities;           // PEM of those who vouch for the server; empty: those of the system
    std::string copy;                  // path of the last good registry of a URL
    std::string agent;                 // what we call ourselves
    std::uint32_t mark = 0;            // of the questions; 0: none
};

overlay::RegistryLooked look_at_file(const RegistryPlace& place, const overlay::Edition& known);
overlay::RegistryLooked look_at_copy(const RegistryPlace& place);  // empty where there is none

class RegistryPort {
public:
    using Tell = std::function<void(overlay::Event)>;

    // Throws when the place is no place at all.
    RegistryPort(
        boost::asio::io_context& io, boost::asio::thread_pool& reader, RegistryPlace place, Tell tell
    );

    void look(overlay::LookAtRegistry wanted);  // at most one at a time; tells of one RegistryLooked
    boost::asio::awaitable<void> serve();       // for ever

private:
    boost::asio::awaitable<void> watch();
    boost::asio::awaitable<void> look_when_wanted();
    boost::asio::awaitable<overlay::RegistryLooked> look_there(overlay::Edition known);
    boost::asio::awaitable<overlay::RegistryLooked> look_at_url(overlay::Edition known);
    boost::asio::awaitable<base::Result<overlay::HttpAnswer>> ask(HttpQuestion question);

    boost::asio::io_context& io_;
    boost::asio::thread_pool& reader_;
    RegistryPlace place_;
    Tell tell_;
    std::optional<overlay::Url> url_;
    std::optional<HttpClient> client_;  // of a URL
    boost::asio::experimental::channel<void(boost::system::error_code, overlay::LookAtRegistry)> wanted_;
};

}  // namespace aronet::daemon
