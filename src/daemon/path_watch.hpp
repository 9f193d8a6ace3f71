#pragma once

// Notices that a path may name something else, or something changed, by inotify: a file that is written,
// replaced by a rename or removed, a directory on the way that comes or goes, a symbolic link on the way that
// is turned elsewhere. Says when, not what.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace aronet::daemon {

class PathWatch {
public:
    PathWatch(boost::asio::io_context& io, std::vector<std::string> paths);

    boost::asio::awaitable<void> changes();              // until there is one; only where it works
    bool works() const { return inotify_.is_open(); }    // else a limit of the system is reached
    const std::string& error() const { return error_; }  // why not everything is noticed; empty: it is

private:
    using Names = std::set<std::string>;

    void follow();
    std::map<std::string, Names> ways() const;
    bool take_notices();

    std::vector<std::string> paths_;
    boost::asio::posix::stream_descriptor inotify_;
    std::map<int, Names> watched_;  // by watch descriptor: what matters of its directory
    std::string error_;
};

}  // namespace aronet::daemon
