#include "daemon/client.hpp"

#include "daemon/exit_status.hpp"
#include "daemon/files.hpp"
#include "daemon/table.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <sys/socket.h>
#include <sys/time.h>

#include <filesystem>
#include <iostream>
#include <thread>

namespace aronet::daemon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using nlohmann::json;

constexpr int kPatience = 60;  // seconds

std::string find_socket(const std::string& given) {
    if (!given.empty()) return given;
    const char* variable = std::getenv("RUNTIME_DIR");
    const std::filesystem::path directory =
        variable != nullptr && *variable != '\0' ? variable : "/var/run/aronet";
    std::vector<std::string> sockets;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().extension() == ".sock") sockets.push_back(entry.path().string());
    }
    return sockets.size() == 1 ? sockets.front() : (directory / "aronet.sock").string();
}

struct Reply {
    int exit_status = exit_status::ok;  // not ok: already complained of
    unsigned http_status = 0;
    std::string body;
};

Reply fail(const boost::system::error_code& error, const std::string& path) {
    if (error == asio::error::access_denied)
        return {
            complain(
                exit_status::permission,
                path + ": permission denied: asking is for root, the daemon's user and its group"
            ),
            0,
            {}};
    if (error == asio::error::timed_out || error == asio::error::would_block ||
        error == asio::error::try_again) {
        return {
            complain(exit_status::timeout, path + ": no answer within " + std::to_string(kPatience) + " s"),
            0,
            {}};
    }
    const bool absent =
        error == asio::error::connection_refused || error == boost::system::errc::no_such_file_or_directory;
    if (absent) return {complain(exit_status::not_running, "no daemon is running at " + path), 0, {}};
    return {complain(exit_status::failure, path + ": " + error.message()), 0, {}};
}

Reply ask(const ClientOptions& options, http::verb method, const std::string& target, std::string body = {}) {
    const std::string path = find_socket(options.socket);
    asio::io_context io;
    asio::local::stream_protocol::socket socket(io);
    boost::system::error_code error;
    socket.connect(asio::local::stream_protocol::endpoint(path), error);
    if (error) return fail(error, path);
    const timeval patience{kPatience, 0};
    setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    http::request<http::string_body> request(method, target, 11);
    request.set(http::field::host, "aronet");
    request.keep_alive(false);
    request.body() = std::move(body);
    request.prepare_payload();
    http::write(socket, request, error);
    const auto unsent = error;  // a request that is refused early is answered all the same
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::size_t{1} << 30);
    http::read(socket, buffer, parser, error);
    if (error) return fail(unsent ? unsent : error, path);
    return {exit_status::ok, parser.get().result_int(), parser.get().body()};
}

// What the daemon refused, in its words.
int refused(const Reply& reply) {
    const json answer = json::parse(reply.body, nullptr, false);
    if (answer.is_discarded()) return complain(exit_status::failure, "the daemon answered with nonsense");
    if (answer.contains("problems")) {
        for (const json& problem : answer.at("problems")) std::cerr << problem.get<std::string>() << "\n";
    }
    const std::string text = answer.value("error", "refused");
    if (reply.http_status == 403) return complain(exit_status::permission, text);
    const int unusable = answer.value("refused", "registry") == "configuration" ? exit_status::bad_config
                                                                                : exit_status::bad_registry;
    return complain(reply.http_status == 422 ? unusable : exit_status::failure, text);
}

std::string names(const json& list) {
    std::string text;
    for (const json& name : list)
        text += (text.empty() ? "" : ", ") + base::printable(name.get<std::string>());
    return text.empty() ? "none" : text;
}

void show_difference(const json& registry) {
    std::cout << "added:   " << names(registry.at("added")) << "\nremoved: " << names(registry.at("removed"))
              << "\naltered: " << names(registry.at("altered")) << "\n";
}

int show_changes(const json& answer) {
    for (const json& line : answer.at("changes")) std::cout << line.get<std::string>() << "\n";
    return exit_status::ok;
}

}  // namespace

int show(const ClientOptions& options, const std::string& verb) {
    const Reply reply = ask(options, http::verb::get, "/v1/" + verb);
    if (reply.exit_status != exit_status::ok) return reply.exit_status;
    if (reply.http_status != 200) return refused(reply);
    const json answer = json::parse(reply.body, nullptr, false);
    if (answer.is_discarded()) return complain(exit_status::failure, "the daemon answered with nonsense");
    std::cout << (options.json ? answer.dump(2) + "\n" : as_text(verb, answer));
    const bool degraded = verb == "status" && answer.value("state", "") != "ready";
    return degraded ? exit_status::not_ready : exit_status::ok;
}

int stop(const ClientOptions& options, bool keep) {
    const std::string path = find_socket(options.socket);
    const json wish{{"keep", keep}};
    const Reply reply = ask(options, http::verb::post, "/v1/stop", keep ? wish.dump() : "");
    if (reply.exit_status != exit_status::ok) return reply.exit_status;
    if (reply.http_status != 200) return refused(reply);
    for (int i = 0; i < 100 && std::filesystem::exists(path); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));  // tidy: the client waits, not the daemon
    }
    return std::filesystem::exists(path) ? complain(exit_status::timeout, "it is still there")
                                         : exit_status::ok;
}

int rekey(const ClientOptions& options, const std::string& peer, bool ike) {
    const json wish{{"peer", peer}, {"ike", ike}};
    const Reply reply =
        ask(options, http::verb::post, "/v1/rekey", wish.dump(-1, ' ', false, json::error_handler_t::replace)
        );
    if (reply.exit_status != exit_status::ok) return reply.exit_status;
    return reply.http_status == 200 ? exit_status::ok : refused(reply);
}

int reload(const ClientOptions& options, bool is_trial) {
    const Reply reply = ask(options, http::verb::post, is_trial ? "/v1/reload/plan" : "/v1/reload");
    if (reply.exit_status != exit_status::ok) return reply.exit_status;
    if (reply.http_status != 200) return refused(reply);
    const json answer = json::parse(reply.body, nullptr, false);
    if (options.json) {
        std::cout << answer.dump(2) << "\n";
        return exit_status::ok;
    }
    if (is_trial) return show_changes(answer);
    std::cout << "changed: " << names(answer.at("changed")) << "\n";
    if (!answer.at("registry").is_null()) show_difference(answer.at("registry"));
    return exit_status::ok;
}

int load(const ClientOptions& options, const std::string& registry_path, bool is_trial) {
    const auto text = read_file(registry_path);
    if (!text) return complain(exit_status::bad_registry, registry_path + ": " + text.error().text);
    const Reply reply = ask(options, http::verb::put, is_trial ? "/v1/registry/plan" : "/v1/registry", *text);
    if (reply.exit_status != exit_status::ok) return reply.exit_status;
    if (reply.http_status != 200) return refused(reply);
    const json answer = json::parse(reply.body, nullptr, false);
    if (options.json) {
        std::cout << answer.dump(2) << "\n";
    } else if (is_trial) {
        return show_changes(answer);
    } else {
        show_difference(answer);
    }
    return exit_status::ok;
}

}  // namespace aronet::daemon
