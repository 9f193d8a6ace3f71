#include "daemon/registry_port.hpp"

#include "daemon/descriptor.hpp"
#include "daemon/elsewhere.hpp"
#include "daemon/files.hpp"
#include "daemon/lasting.hpp"
#include "daemon/log.hpp"
#include "daemon/path_watch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace aronet::daemon {
namespace {

using boost::asio::awaitable;
using boost::asio::use_awaitable;
using namespace boost::asio::experimental::awaitable_operators;
using overlay::Edition;
using overlay::RegistryLooked;

constexpr std::size_t kSignatureMax = 4096;
constexpr const char* kSignatureEnding = ".sig";
constexpr const char* kNone = "none";  // where there is no file

// What a file is told again by: where it lies on the disk, and when it was changed.
std::string identity_of(const struct stat& file) {
    std::string words;
    for (const auto number :
         {std::uint64_t(file.st_dev),
          std::uint64_t(file.st_ino),
          std::uint64_t(file.st_size),
          std::uint64_t(file.st_mtim.tv_sec),
          std::uint64_t(file.st_mtim.tv_nsec),
          std::uint64_t(file.st_ctim.tv_sec),
          std::uint64_t(file.st_ctim.tv_nsec)}) {
        words += std::to_string(number) + " ";
    }
    return words;
}

std::string identity_of(const std::string& path) {
    struct stat file {};
    return stat(path.c_str(), &file) == 0 ? identity_of(file) : kNone;
}

base::Error unreadable() { return {std::string("cannot be read: ") + std::strerror(errno)}; }
base::Error too_large(std::size_t most) {
    return {"larger than " + (most < kRegistryMax ? std::to_string(most) + " octets" : "64 MiB")};
}

// Never waits for anybody who might write, and never takes more than it may.
base::Result<std::string> read_regular(const std::string& path, std::size_t most) {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!file) return unreadable();
    struct stat status {};
    if (fstat(file.get(), &status) != 0) return unreadable();
    if (!S_ISREG(status.st_mode)) return base::Error{"cannot be read: it is not a regular file"};
    if (status.st_size > static_cast<off_t>(most)) return too_large(most);
    std::string text(static_cast<std::size_t>(status.st_size) + 1, '\0');
    for (std::size_t size = 0;;) {
        const ssize_t count = read(file.get(), text.data() + size, text.size() - size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unreadable();
        size += static_cast<std::size_t>(count);
        if (size > most) return too_large(most);
        if (count == 0) {
            text.resize(size);
            return {boost::system::in_place_value, std::move(text)};
        }
        if (size == text.size()) text.resize(std::min(2 * size, most + 1));
    }
}

RegistryLooked failed(std::string why, bool is_refused = false) {
    RegistryLooked looked;
    looked.error = std::move(why);
    looked.is_refused = is_refused;
    return looked;
}

// What went through all checks, or was known before and still lies there, is kept.
void keep_copy(const RegistryPlace& place, const overlay::RegistryText& read, RegistryLooked& looked) {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::path(place.copy).parent_path();
    if (std::filesystem::create_directories(folder, error))
        std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
    const std::string copy = overlay::encode_copy(read, place.source);
    const auto old = read_regular(place.copy, copy.size());
    const bool is_there = old && *old == copy;
    looked.copy_error = is_there ? "" : replace_file(place.copy, copy);
    // Then the next answer has to have all of it again.
    if (!looked.copy_error->empty()) looked.edition = {"", "", looked.edition.version};
}

// For the reader thread, where an exception would end the process.
template <class Work>
awaitable<RegistryLooked> away(Work work) {
    RegistryLooked looked;
    try {
        looked = work();
    } catch (const std::exception& problem) {
        looked = failed(problem.what());
    }
    co_return looked;
}

HttpQuestion question_of(const overlay::Url& url, const Edition& known) { return {url, known, kRegistryMax}; }

}  // namespace

RegistryLooked look_at_file(const RegistryPlace& place, const Edition& known) {
    const std::string& path = place.source;
    const bool is_signed = !place.keys.empty();
    overlay::RegistryText read;
    // First: what is changed while it is read is another one the next time.
    read.edition.tag = identity_of(path) + (is_signed ? identity_of(path + kSignatureEnding) : "");
    if (read.edition.tag == known.tag) return {};
    auto text = read_regular(path, kRegistryMax);
    if (!text) return failed(text.error().text, !read.edition.tag.starts_with(kNone));
    read.text = std::move(*text);
    if (is_signed) {
        auto signature = read_regular(path + kSignatureEnding, kSignatureMax);
        if (!signature)
            return failed("the signature " + path + kSignatureEnding + ": " + signature.error().text, true);
        read.signature = std::move(*signature);
    }
    return overlay::accept(read, path, place.keys, known.version);
}

RegistryLooked look_at_copy(const RegistryPlace& place) {
    RegistryLooked looked;
    const auto file = read_regular(place.copy, kRegistryMax + 64 * 1024);
    if (file) {
        auto copy = overlay::decode_copy(*file, place.source);
        if (copy) {
            looked = overlay::accept(*copy, place.copy, place.keys, "");
        } else {
            looked = failed("not a whole copy of what was at " + place.source);
        }
    } else if (identity_of(place.copy) != kNone) {
        looked = failed(file.error().text);
    }
    if (!looked.error.empty()) {  // that is no error of the source, which is asked for all of it
        const std::string words = place.copy + ": not used: " + looked.error;
        looked = {};
        looked.notes.push_back({base::Level::warning, words});
    }
    looked.is_copy = true;
    return looked;
}

RegistryPort::RegistryPort(
    boost::asio::io_context& io, boost::asio::thread_pool& reader, RegistryPlace place, Tell tell
)
    : io_(io), reader_(reader), place_(std::move(place)), tell_(std::move(tell)), wanted_(io, 1) {
    if (!overlay::Url::is_meant(place_.source)) return;
    const auto url = overlay::Url::parse(place_.source);
    if (!url) throw std::runtime_error(place_.source + ": " + url.error().text);
    url_ = *url;
    client_.emplace(io_, place_.authorities, place_.agent, place_.mark);
}

void RegistryPort::look(overlay::LookAtRegistry wanted) {
    wanted_.try_send(boost::system::error_code(), std::move(wanted));
}

awaitable<void> RegistryPort::serve() {
    Lasting lasting;
    auto both = client_ ? lasting(look_when_wanted()) || lasting(client_->serve())
                        : lasting(look_when_wanted()) || lasting(watch());
    co_await std::move(both);
    lasting.rethrow();
}

awaitable<void> RegistryPort::watch() {
    std::vector<std::string> paths;
    if (!place_.source.empty()) paths.push_back(place_.source);
    if (!place_.source.empty() && !place_.keys.empty()) paths.push_back(place_.source + kSignatureEnding);
    PathWatch watch(io_, std::move(paths));
    std::string told;
    tell_(overlay::RegistryTouched{});  // perhaps, since it was read at the start
    while (watch.works()) {
        if (watch.error() != std::exchange(told, watch.error()) && !told.empty())
            write_log({base::Level::warning, "the registry's file is only looked at now and then: " + told});
        co_await watch.changes();
        tell_(overlay::RegistryTouched{});
    }
    write_log({base::Level::warning, "the registry's file is only looked at now and then: " + watch.error()});
    boost::asio::steady_timer never(io_, boost::asio::steady_timer::time_point::max());
    co_await never.async_wait(use_awaitable);
}

awaitable<void> RegistryPort::look_when_wanted() {
    for (;;) {
        overlay::LookAtRegistry wanted = co_await wanted_.async_receive(use_awaitable);
        RegistryLooked looked = co_await look_there(std::move(wanted.known));
        tell_(std::move(looked));
    }
}

awaitable<RegistryLooked> RegistryPort::look_there(Edition known) {
    if (url_) {
        RegistryLooked from_url = co_await look_at_url(std::move(known));
        co_return from_url;
    }
    auto work = [this, known = std::move(known)] { return look_at_file(place_, known); };
    awaitable<RegistryLooked> job = away(std::move(work));
    RegistryLooked looked = co_await elsewhere(reader_, std::move(job));
    co_return looked;
}

// Follows redirects. An answer that is none of a registry is an error.
awaitable<base::Result<overlay::HttpAnswer>> RegistryPort::ask(HttpQuestion question) {
    const bool conditional = !question.known.tag.empty() || !question.known.date.empty();
    for (unsigned redirects = 0;; ++redirects) {
        HttpQuestion once = question;
        base::Result<overlay::HttpAnswer> answer = co_await client_->get(std::move(once));
        if (!answer) co_return answer;
        const overlay::Verdict verdict = overlay::judge(*answer, question.url, conditional, redirects);
        if (const auto* refused = std::get_if<overlay::Refused>(&verdict)) answer = base::Error{refused->why};
        const auto* next = std::get_if<overlay::Url>(&verdict);
        if (next == nullptr) co_return answer;
        question.url = *next;
    }
}

awaitable<RegistryLooked> RegistryPort::look_at_url(Edition known) {
    RegistryLooked looked;
    HttpQuestion question = question_of(*url_, known);
    base::Result<overlay::HttpAnswer> answer = co_await ask(std::move(question));
    if (!answer) looked = failed(answer.error().text);
    if (!answer || answer->status == 304) co_return looked;
    overlay::RegistryText read;
    read.text = std::move(answer->body);
    read.edition = {answer->etag, answer->last_modified, ""};
    if (!place_.keys.empty()) {
        HttpQuestion beside = question_of(url_->beside(kSignatureEnding), {});
        beside.size_max = kSignatureMax;
        base::Result<overlay::HttpAnswer> signature = co_await ask(std::move(beside));
        if (!signature) looked = failed("the signature: " + signature.error().text, true);
        if (!signature) co_return looked;
        read.signature = std::move(signature->body);
    }
    auto work = [this, read = std::move(read), known = std::move(known)] {
        RegistryLooked checked = overlay::accept(read, place_.source, place_.keys, known.version);
        if (!checked.is_refused) keep_copy(place_, read, checked);
        return checked;
    };
    awaitable<RegistryLooked> job = away(std::move(work));
    looked = co_await elsewhere(reader_, std::move(job));
    co_return looked;
}

}  // namespace aronet::daemon
