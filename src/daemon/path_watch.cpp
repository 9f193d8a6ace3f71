#include "daemon/path_watch.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>

namespace aronet::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEntries = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;
constexpr std::uint32_t kContents = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;
constexpr int kLinksMax = 40;  // as Linux follows them
constexpr int kFair = 16;      // after so many reads it is everybody else's turn

// Whatever is looked up on the way to a file, as (directory, name), the directories without symbolic links:
// up to the file, or to what is not there.
std::vector<std::pair<std::string, std::string>> way_to(const std::string& path) {
    std::error_code error;
    const fs::path whole = fs::absolute(path, error);
    std::deque<fs::path> ahead(whole.begin(), whole.end());
    std::vector<std::pair<std::string, std::string>> way;
    fs::path at = "/";
    for (int links = 0; !ahead.empty();) {
        const fs::path name = ahead.front();
        ahead.pop_front();
        if (name.empty() || name == "." || name == "/") continue;
        if (name == "..") {
            at = at.parent_path();
            continue;
        }
        way.emplace_back(at.string(), name.string());
        const auto kind = fs::symlink_status(at / name, error).type();
        if (kind == fs::file_type::symlink) {
            const fs::path target = fs::read_symlink(at / name, error);
            if (error || ++links > kLinksMax) break;
            if (target.is_absolute()) at = "/";
            ahead.insert(ahead.begin(), target.begin(), target.end());
        } else if (kind == fs::file_type::directory) {
            at /= name;
        } else {
            break;
        }
    }
    return way;
}

}  // namespace

PathWatch::PathWatch(boost::asio::io_context& io, std::vector<std::string> paths)
    : paths_(std::move(paths)), inotify_(io) {
    const int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (descriptor < 0) {
        error_ = std::strerror(errno);
        return;
    }
    inotify_.assign(descriptor);
    follow();
}

std::map<std::string, PathWatch::Names> PathWatch::ways() const {
    std::map<std::string, Names> all;
    for (const std::string& path : paths_) {
        for (auto& [directory, name] : way_to(path)) all[directory].insert(std::move(name));
    }
    return all;
}

// What changes while it is followed is followed once more: then nothing is missed between.
void PathWatch::follow() {
    std::map<std::string, Names> followed;
    for (int tries = 0; tries < 3; ++tries) {
        auto now_there = ways();
        if (now_there == followed) return;
        followed = std::move(now_there);
        std::map<int, Names> watched;
        error_.clear();
        for (const auto& [directory, names] : followed) {
            const int watch =
                inotify_add_watch(inotify_.native_handle(), directory.c_str(), kEntries | kContents);
            if (watch >= 0) watched[watch].insert(names.begin(), names.end());
            if (watch < 0 && errno != ENOENT) error_ = directory + ": " + std::strerror(errno);
        }
        for (const auto& [watch, names] : watched_) {
            if (!watched.contains(watch)) inotify_rm_watch(inotify_.native_handle(), watch);
        }
        watched_ = std::move(watched);
    }
}

// Whether something was among them that matters.
bool PathWatch::take_notices() {
    bool matters = false;
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    for (int reads = 0; reads < kFair; ++reads) {
        const ssize_t size = read(inotify_.native_handle(), buffer.data(), buffer.size());
        if (size <= 0) break;
        for (const char* at = buffer.data(); at < buffer.data() + size;) {
            inotify_event event;
            std::memcpy(&event, at, sizeof event);
            const std::string name = event.len > 0 ? at + sizeof event : "";
            at += sizeof event + event.len;
            const auto watch = watched_.find(event.wd);
            const bool lost = (event.mask & (IN_Q_OVERFLOW | IN_UNMOUNT | IN_IGNORED)) != 0;
            matters = matters || (event.mask & IN_Q_OVERFLOW) != 0 ||
                      (watch != watched_.end() && (lost || watch->second.contains(name)));
        }
    }
    return matters;
}

boost::asio::awaitable<void> PathWatch::changes() {
    do {
        co_await inotify_.async_wait(inotify_.wait_read, boost::asio::use_awaitable);
    } while (!take_notices());
    follow();
}

}  // namespace aronet::daemon
