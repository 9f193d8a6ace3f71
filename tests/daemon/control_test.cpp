// The control socket against callers of every kind: the server runs in a thread of its own, the callers are
// raw sockets.

#include "daemon/control.hpp"

#include "has.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <thread>

using namespace aronet::daemon;

namespace {

boost::asio::awaitable<ControlResponse> echo(ControlRequest request) {
    ControlResponse response{
        200, "{\"verb\":\"" + request.verb + "\",\"size\":" + std::to_string(request.body.size()) + "}"};
    co_return response;
}

class Server {
public:
    Server()
        : path_(std::filesystem::temp_directory_path() / ("control-" + std::to_string(getpid()) + ".sock")) {
        control_ = std::make_unique<Control>(io_, path_, echo);
        boost::asio::co_spawn(io_, control_->serve(), boost::asio::detached);
        thread_ = std::thread([this] { io_.run(); });
    }
    ~Server() {
        io_.stop();
        thread_.join();
    }
    const std::string& path() const { return path_; }
    boost::asio::io_context& io() { return io_; }

private:
    std::string path_;
    boost::asio::io_context io_{1};
    std::unique_ptr<Control> control_;
    std::thread thread_;
};

class Caller {
public:
    Caller() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
    explicit Caller(const std::string& path) : Caller() { call(path); }
    ~Caller() { close(fd_); }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;

    void call(const std::string& path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    bool connected() const { return connected_; }
    void say(std::string_view text) {
        while (!text.empty()) {
            const ssize_t size = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            if (size <= 0) return;
            text.remove_prefix(static_cast<std::size_t>(size));
        }
    }
    // What comes until the server closes or nothing comes for `milliseconds`.
    std::string hear(int milliseconds = 1000) {
        std::string text;
        char buffer[4096];
        for (;;) {
            pollfd ready{fd_, POLLIN, 0};
            if (poll(&ready, 1, milliseconds) <= 0) return text;
            const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
            if (size <= 0) return text;
            text.append(buffer, static_cast<std::size_t>(size));
            milliseconds = 200;
        }
    }

private:
    int fd_;
    bool connected_ = false;
};

std::string ask(const std::string& path, const std::string& request) {
    Caller caller(path);
    caller.say(request);
    return caller.hear();
}

// Connects as somebody of the socket's group who is neither root nor the daemon's user.
std::unique_ptr<Caller> reader(const std::string& path) {
    std::unique_ptr<Caller> caller;
    std::thread([&] {
        REQUIRE(syscall(SYS_setresuid, 4202, 4202, 4202) == 0);  // of this thread alone
        caller = std::make_unique<Caller>(path);
    }).join();
    return caller;
}

std::string get(const std::string& target, const std::string& more = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}

}  // namespace

TEST_CASE("each path answers with its verb, wrong paths and methods are told apart") {
    Server server;
    for (const char* verb : {"info", "status", "tunnels", "neighbours", "routes"}) {
        const std::string answer = ask(server.path(), get(std::string("/v1/") + verb));
        CHECK(has(answer, "HTTP/1.1 200 OK"));
        CHECK(has(answer, "application/json"));
        CHECK(has(answer, std::string("\"verb\":\"") + verb + "\""));
    }
    CHECK(has(ask(server.path(), get("/v1/nothing")), "404 Not Found"));
    CHECK(has(ask(server.path(), get("/v1/stop")), "405 Method Not Allowed"));
    CHECK(has(ask(server.path(), "POST /v1/rekey HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"), "\"size\":2"));
    CHECK(has(ask(server.path(), "PUT /v1/registry HTTP/1.1\r\nContent-Length: 5\r\n\r\n[1,2]"), "\"size\":5")
    );
}

TEST_CASE("several requests on one connection are answered in their order") {
    Server server;
    Caller caller(server.path());
    caller.say(get("/v1/info") + get("/v1/status") + get("/v1/routes", "Connection: close\r\n"));
    const std::string text = caller.hear();
    const auto info = text.find("\"verb\":\"info\""), status = text.find("\"verb\":\"status\""),
               routes = text.find("\"verb\":\"routes\"");
    CHECK(info < status);
    CHECK(status < routes);
    CHECK(routes != std::string::npos);
}

TEST_CASE("rubbish, endless headers and bodies over the limit are refused, and the server goes on") {
    Server server;
    CHECK(
        has(ask(server.path(), std::string("\x16\x03\x01\x02\x00\x01garbage\r\n\r\n", 19)), "400 Bad Request")
    );
    CHECK(has(ask(server.path(), get("/v1/info", "X: " + std::string(20'000, 'a') + "\r\n")), "431"));
    CHECK(has(ask(server.path(), "PUT /v1/registry HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"), "413"));
    CHECK(has(ask(server.path(), "GET " + std::string(200'000, '/') + " HTTP/1.1\r\n\r\n"), "4"));
    {
        Caller gone(server.path());
        gone.say("GET /v1/in");
    }
    CHECK(has(ask(server.path(), get("/v1/info")), "200 OK"));
}

TEST_CASE("a hundred callers that say nothing do not keep anybody else out for long") {
    Server server;
    std::vector<std::unique_ptr<Caller>> silent;
    for (int i = 0; i < Control::kSessionsMax - 1; ++i)
        silent.push_back(std::make_unique<Caller>(server.path()));
    CHECK(has(ask(server.path(), get("/v1/info", "Connection: close\r\n")), "200 OK"));
    // With every place taken, the next one is served when the first of the silent ones has been given up on.
    for (int i = 0; i < 37; ++i) silent.push_back(std::make_unique<Caller>(server.path()));
    Caller late(server.path());
    REQUIRE(late.connected());
    late.say(get("/v1/status"));
    CHECK(has(late.hear(15'000), "200 OK"));
}

TEST_CASE("who may only read is told so before there is a body", "[native]") {
    Server server;
    for (const char* header :
         {"PUT /v1/registry HTTP/1.1\r\nContent-Length: 60000000\r\n\r\n",
          "POST /v1/rekey HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
          "POST /v1/stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n"}) {
        const auto caller = reader(server.path());
        REQUIRE(caller->connected());
        caller->say(header);
        const std::string answer = caller->hear();
        CHECK(has(answer, "403 Forbidden"));
        CHECK(has(answer, "only root and the daemon's user may change anything"));
    }
    const auto caller = reader(server.path());
    caller->say(get("/v1/status"));
    CHECK(has(caller->hear(), "200 OK"));
}

TEST_CASE("readers leave places for those who may change something", "[native]") {
    Server server;
    std::vector<std::unique_ptr<Caller>> silent;
    for (int i = 0; i < Control::kSessionsMax * 3 / 4; ++i) silent.push_back(reader(server.path()));
    const auto late = reader(server.path());
    CHECK(has(late->hear(), "503 Service Unavailable"));
    CHECK(has(ask(server.path(), get("/v1/status", "Connection: close\r\n")), "200 OK"));
    silent.pop_back();
    const auto next = reader(server.path());
    next->say(get("/v1/status"));
    CHECK(has(next->hear(), "200 OK"));
}

TEST_CASE(
    "without descriptors nobody is accepted and nothing is burnt, and then everybody is answered", "[native]"
) {
    Server server;
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    Caller caller;
    const int next = dup(0);
    close(next);
    const rlimit none{rlim_t(next), before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const std::clock_t start = std::clock();
    caller.call(server.path());
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    const std::clock_t burnt = std::clock() - start;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(burnt < CLOCKS_PER_SEC / 3);
    REQUIRE(caller.connected());
    caller.say(get("/v1/info"));
    CHECK(has(caller.hear(5000), "200 OK"));
}

TEST_CASE("a body that is no registry has 4 KiB, however its length is told") {
    Server server;
    const auto whole = [](std::size_t size) {
        return "POST /v1/rekey HTTP/1.1\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
               std::string(size, ' ');
    };
    CHECK(has(ask(server.path(), whole(4096)), "\"size\":4096"));
    CHECK(has(ask(server.path(), whole(4097)), "413"));
    const auto in_chunks = [](int count) {
        std::string text = "POST /v1/rekey HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        while (count-- > 0) text += "400\r\n" + std::string(0x400, ' ') + "\r\n";
        return text + "0\r\n\r\n";
    };
    CHECK(has(ask(server.path(), in_chunks(4)), "\"size\":4096"));
    CHECK(has(ask(server.path(), in_chunks(5)), "413"));
}

TEST_CASE("a large registry arrives whole") {
    Server server;
    const std::string body(5'000'000, ' ');
    const std::string answer =
        ask(server.path(), "PUT /v1/registry HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + body);
    CHECK(has(answer, "\"size\":5000000"));
}

TEST_CASE("the socket is for its owner and group, a stale one is replaced, a live one is left alone") {
    std::string path;
    {
        Server server;
        path = server.path();
        struct stat status {};
        REQUIRE(stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0660);
        boost::asio::io_context io;
        CHECK_THROWS_WITH(Control(io, path, echo), Catch::Contains("another daemon listens here"));
        CHECK(has(ask(path, get("/v1/info")), "200 OK"));
    }
    CHECK_FALSE(std::filesystem::exists(path));
    {
        const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        close(fd);  // the file stays, as after a crash
    }
    Server again;
    CHECK(has(ask(again.path(), get("/v1/info")), "200 OK"));
}
