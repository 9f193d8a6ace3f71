#include "daemon/state_file.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

namespace aronet::daemon {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFileMax = 64u << 20, kSmall = 64u << 10;
constexpr base::Duration kRetry = 10s;  // with a full disk

// Another one after each start of the machine.
std::string boot() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    file >> id;
    return id;
}

// Another one for each network namespace that there ever was; its inode's number may be given again.
std::uint64_t space() {
    const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0) return cookie;
    struct stat status {};
    return stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

// Of what the file speaks: what this kernel has, here.
std::string header() { return "aronet state 1 " + boot() + " " + std::to_string(space()) + "\n"; }

// A tab is in no key, a line break in nothing.
std::string line_of(const std::string& key, const std::string& value) { return key + "\t" + value + "\n"; }

bool is_fit(const std::string& text) { return text.find_first_of("\t\n") == std::string::npos; }

// Otherwise errno says why: of a write that was cut short the next one does.
bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}

}  // namespace

StateFile::StateFile(std::string path) : path_(std::move(path)) {
    read();
    write_anew();
}

void StateFile::read() {
    const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status {};
    if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    if (status.st_uid != geteuid() || (status.st_mode & 077) != 0) return;  // it may be anybody's
    if (status.st_size > static_cast<off_t>(kFileMax)) return;
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    if (boot().empty() || !text.starts_with(header())) return;
    // The last line may have been cut off, and another put behind it.
    std::istringstream lines(text.substr(header().size()));
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
        const auto tab = line.find('\t');
        if (tab == std::string::npos) continue;
        const std::string key = line.substr(0, tab), value = line.substr(tab + 1);
        if (key.empty()) {
            contents_.clear();
        } else if (value.empty()) {
            contents_.erase(key);
        } else {
            contents_[key] = value;
        }
    }
}

void StateFile::keep(const overlay::Remember& what) {
    if (!is_fit(what.key) || !is_fit(what.value)) return;
    if (what.key.empty()) {
        contents_.clear();
    } else if (what.value.empty()) {
        contents_.erase(what.key);
    } else {
        contents_[what.key] = what.value;
    }
    unwritten_ += line_of(what.key, what.value);
}

void StateFile::flush(base::Instant now) {
    if (unwritten_.empty()) return;
    if (whole_ && size_ + unwritten_.size() <= std::max(kSmall, 4 * live_) && append()) return;
    unwritten_.clear();
    if (!whole_ && now < retry_at_) return;
    if (!write_anew()) retry_at_ = now + kRetry;
}

bool StateFile::append() {
    const bool written = write_all(file_.get(), unwritten_);
    size_ += unwritten_.size();
    unwritten_.clear();
    return written;
}

// Beside the old one, which is good until then. Where there is no room for both the old one goes first: it
// is not true any more, and nobody is to go on by it.
bool StateFile::write_anew() {
    whole_ = write_beside();
    if (!whole_) {
        file_.close();
        unlink(path_.c_str());
        whole_ = write_beside();
    }
    return whole_;
}

bool StateFile::write_beside() {
    const std::string beside = path_ + ".new";
    std::string text = header();
    for (const auto& [key, value] : contents_) text += line_of(key, value);
    unlink(beside.c_str());
    Descriptor file(
        open(beside.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)
    );
    const bool fine = file && write_all(file.get(), text) && rename(beside.c_str(), path_.c_str()) == 0;
    why_ = fine ? "" : path_ + ": " + std::strerror(errno);
    if (!fine) {
        unlink(beside.c_str());
        return false;
    }
    file_ = std::move(file);
    size_ = live_ = text.size();
    unwritten_.clear();
    return true;
}

void StateFile::remove() {
    unlink(path_.c_str());
    whole_ = false;
    unwritten_.clear();
}

}  // namespace aronet::daemon
