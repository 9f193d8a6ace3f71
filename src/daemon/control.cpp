#include "daemon/control.hpp"

#include "daemon/clock.hpp"
#include "daemon/log.hpp"
#include "overlay/document.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

namespace aronet::daemon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Stream = boost::beast::basic_stream<asio::local::stream_protocol>;

constexpr auto kPatience = std::chrono::seconds(10);      // for a request to arrive and an answer to be taken
constexpr auto kBodyPatience = std::chrono::seconds(60);  // for a large registry
constexpr auto kPause = std::chrono::seconds(1);          // while nobody can be accepted
constexpr std::size_t kWishMax = 4096;                    // of a body that is no registry

struct Path {
    const char* target;
    http::verb method;
    const char* verb;
    bool changes;
};
constexpr std::array<Path, 11> kPaths{{
    {"/v1/info", http::verb::get, "info", false},
    {"/v1/status", http::verb::get, "status", false},
    {"/v1/tunnels", http::verb::get, "tunnels", false},
    {"/v1/neighbours", http::verb::get, "neighbours", false},
    {"/v1/routes", http::verb::get, "routes", false},
    {"/v1/registry", http::verb::put, "registry", true},
    {"/v1/registry/plan", http::verb::put, "registry/plan", true},
    {"/v1/reload", http::verb::post, "reload", true},
    {"/v1/reload/plan", http::verb::post, "reload/plan", true},
    {"/v1/rekey", http::verb::post, "rekey", true},
    {"/v1/stop", http::verb::post, "stop", true},
}};

// Only a registry may be long: what else is asked is read on the thread that does everything.
bool is_too_long(http::request_parser<http::string_body>& parser) {
    if (parser.get().target().starts_with("/v1/registry")) return false;
    parser.body_limit(kWishMax);
    return parser.content_length().value_or(0) > kWishMax;
}

ControlResponse problem(int status, const std::string& text) {
    return {status, overlay::to_text({{"error", text}})};
}

// Reading is for whoever may open the socket, changing for root and the daemon's own user.
bool may_change(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

int sessions_allowed() {
    rlimit limit{};
    const bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    return known ? static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 8, 4, Control::kSessionsMax))
                 : Control::kSessionsMax;
}

bool is_listened_on(const std::string& path) {
    asio::io_context io;
    asio::local::stream_protocol::socket socket(io);
    boost::system::error_code error;
    socket.connect(asio::local::stream_protocol::endpoint(path), error);
    return !error;
}

asio::local::stream_protocol::acceptor listen(asio::io_context& io, const std::string& path) {
    if (is_listened_on(path)) throw std::runtime_error(path + ": another daemon listens here");
    unlink(path.c_str());
    const mode_t before = umask(0117);
    asio::local::stream_protocol::acceptor acceptor(io);
    try {
        acceptor.open();
        acceptor.bind(asio::local::stream_protocol::endpoint(path));
        acceptor.listen();
    } catch (const std::exception& error) {
        umask(before);
        throw std::runtime_error(path + ": " + error.what());
    }
    umask(before);
    return acceptor;
}

http::response<http::string_body> to_http(const ControlResponse& answer, unsigned version, bool keep_alive) {
    http::response<http::string_body> response(static_cast<http::status>(answer.status), version);
    response.set(http::field::content_type, "application/json");
    response.keep_alive(keep_alive);
    response.body() = answer.body + "\n";
    response.prepare_payload();
    return response;
}

// What there is to say to a request before its body has come. Nobody sends 64 MiB for nothing.
std::optional<ControlResponse> refuse(const http::request<http::string_body>& header, bool changer) {
    bool known = false;
    for (const Path& path : kPaths) {
        if (header.target() != path.target) continue;
        known = true;
        if (header.method() != path.method) continue;
        if (path.changes && !changer)
            return problem(403, "only root and the daemon's user may change anything");
        return std::nullopt;
    }
    return known ? problem(405, "another method is needed here") : problem(404, "there is no such path");
}

const char* verb_of(const http::request<http::string_body>& request) {
    const auto path = std::ranges::find_if(kPaths, [&](const Path& each) {
        return request.target() == each.target && request.method() == each.method;
    });
    return path->verb;
}

ControlResponse refusal(const boost::system::error_code& error) {
    if (error == http::error::body_limit) return problem(413, "the body is too long");
    if (error == http::error::header_limit) return problem(431, "the header is at most 8 KiB");
    return problem(400, "not a request: " + error.message());
}

// A place among those who only read, while there are any.
class Seat {
public:
    Seat(int& taken, int most) : taken_(taken), is_taken_(taken < most) { taken_ += is_taken_ ? 1 : 0; }
    ~Seat() { taken_ -= is_taken_ ? 1 : 0; }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    explicit operator bool() const { return is_taken_; }

private:
    int& taken_;
    bool is_taken_;
};

asio::awaitable<bool> say(Stream& stream, const http::response<http::string_body>& response) {
    stream.expires_after(kBodyPatience);
    auto [error, written] = co_await http::async_write(stream, response, asio::as_tuple(asio::use_awaitable));
    co_return !error;
}

}  // namespace

Control::Control(asio::io_context& io, std::string path, Answer answer)
    : io_(io),
      path_(std::move(path)),
      answer_(std::move(answer)),
      acceptor_(listen(io, path_)),
      sessions_(sessions_allowed()) {}

Control::~Control() { unlink(path_.c_str()); }

// A fixed number of workers instead of a coroutine for each caller: who comes when all are busy waits in the
// backlog.
asio::awaitable<void> Control::serve() {
    using Worker = decltype(asio::co_spawn(io_, work(), asio::deferred));
    std::vector<Worker> workers;
    for (int i = 0; i < sessions_; ++i) workers.push_back(asio::co_spawn(io_, work(), asio::deferred));
    co_await asio::experimental::make_parallel_group(std::move(workers))
        .async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
}

asio::awaitable<void> Control::work() {
    for (;;) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            co_await pause("nobody can be answered: " + error.message());
            continue;
        }
        std::string failed;  // a worker that threw would be missing for ever
        try {
            co_await converse(std::move(socket));
        } catch (const std::exception& e) {
            failed = e.what();
        }
        if (!failed.empty())
            co_await pause("somebody was not answered: " + failed);  // throws where cancelled
    }
}

// No descriptors, or no memory: asked again at once, the kernel would say the same, for ever.
asio::awaitable<void> Control::pause(std::string why) {
    if (refusals_.count(why, now())) write_log({base::Level::warning, path_ + ": " + why});
    asio::steady_timer timer(io_, kPause);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<void> Control::converse(Protocol::socket socket) {
    const bool changer = may_change(socket.native_handle());
    Stream stream(std::move(socket));
    int unlimited = 0;
    const Seat seat(changer ? unlimited : readers_, changer ? 1 : sessions_ * 3 / 4);
    if (!seat) {
        const auto full = to_http(problem(503, "too many ask at once: try again"), 11, false);
        co_await say(stream, full);
        co_return;
    }
    boost::beast::flat_buffer buffer(kHeaderMax + 64 * 1024);
    for (bool keep_alive = true; keep_alive;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(kHeaderMax);
        parser.body_limit(kBodyMax);
        stream.expires_after(kPatience);
        auto [header_error, unused] =
            co_await http::async_read_header(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
        auto error = header_error;
        std::optional<ControlResponse> answer;
        if (!error) answer = refuse(parser.get(), changer);
        if (!error && is_too_long(parser)) error = http::error::body_limit;
        if (!error && !answer && !parser.is_done()) {
            stream.expires_after(kBodyPatience);
            auto [body_error, more] =
                co_await http::async_read(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
            error = body_error;
        }
        if (error == http::error::end_of_stream || error == boost::beast::error::timeout) co_return;
        if (error && !answer) answer = refusal(error);
        if (!answer) {
            stream.expires_never();
            // A named value: GCC 12 destroys a temporary of a co_await expression twice (GCC bug 99576).
            ControlRequest wanted{verb_of(parser.get()), parser.get().body()};
            answer = co_await answer_(std::move(wanted));
        }
        keep_alive = !error && parser.is_done() && parser.get().keep_alive();
        const auto response = to_http(*answer, error ? 11 : parser.get().version(), keep_alive);
        const bool is_said = co_await say(stream, response);
        keep_alive = keep_alive && is_said;
    }
}

}  // namespace aronet::daemon
