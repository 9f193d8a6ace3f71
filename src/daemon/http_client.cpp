#include "daemon/http_client.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <stdexcept>

namespace aronet::daemon {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using Secured = asio::ssl::stream<beast::tcp_stream>;
using boost::system::error_code;

constexpr auto kTold = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kHeaderMax = 16 * 1024;
constexpr std::size_t kTagMax = 1024;  // a longer one is not kept

asio::ip::address to_asio(const base::Address& address) {
    const base::ByteView bytes = address.bytes();
    if (address.is_v4()) {
        asio::ip::address_v4::bytes_type v4{};
        std::copy(bytes.begin(), bytes.end(), v4.begin());
        return asio::ip::address_v4(v4);
    }
    asio::ip::address_v6::bytes_type v6{};
    std::copy(bytes.begin(), bytes.end(), v6.begin());
    return asio::ip::address_v6(v6);
}

std::string words_of(const error_code& error) {
    if (error == beast::error::timeout) return "no answer in time";
    if (error == http::error::header_limit) return "the header of the answer is too large";
    if (error == http::error::partial_message || error == asio::ssl::error::stream_truncated)
        return "the answer ends in the middle";
    if (error == http::error::end_of_stream) return "the server hung up without an answer";
    return base::printable(error.message());
}

base::Error failure(const std::string& what, const error_code& error) { return {what + words_of(error)}; }

// The name or the address has to be that of the certificate.
bool expect(Secured& stream, const std::string& host) {
    SSL* const ssl = stream.native_handle();
    if (base::Address::parse(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

base::Error not_secured(Secured& stream, const error_code& error) {
    const long verdict = SSL_get_verify_result(stream.native_handle());
    if (verdict == X509_V_OK) return failure("TLS: ", error);
    return {std::string("the certificate is not trusted: ") + X509_verify_cert_error_string(verdict)};
}

http::request<http::empty_body> to_wire(const HttpQuestion& question, const std::string& agent) {
    http::request<http::empty_body> request(http::verb::get, question.url.target, 11);
    request.set(http::field::host, question.url.authority());
    request.set(http::field::user_agent, agent);
    request.set(http::field::accept, "*/*");
    if (!question.known.tag.empty()) request.set(http::field::if_none_match, question.known.tag);
    if (!question.known.date.empty()) request.set(http::field::if_modified_since, question.known.date);
    request.keep_alive(false);
    return request;
}

overlay::HttpAnswer from_wire(http::response<http::string_body> response) {
    const auto field = [&](http::field name, std::size_t longest) {
        const auto text = response[name];
        return text.size() <= longest ? std::string(text) : std::string();
    };
    overlay::HttpAnswer answer;
    answer.status = response.result_int();
    answer.etag = field(http::field::etag, kTagMax);
    answer.last_modified = field(http::field::last_modified, kTagMax);
    answer.location = field(http::field::location, kHeaderMax);
    answer.body = std::move(response.body());
    return answer;
}

// GCC 12 destroys a temporary of a co_await expression twice (GCC bug 99576): everything below has a name.

// Marked before it is connected: where it leads is decided then.
error_code open_marked(beast::tcp_stream& stream, const asio::ip::tcp::endpoint& to, std::uint32_t mark) {
    error_code error;
    if (mark == 0) return error;
    stream.socket().open(to.protocol(), error);
    const asio::detail::socket_option::integer<SOL_SOCKET, SO_MARK> option(static_cast<int>(mark));
    if (!error) stream.socket().set_option(option, error);
    return error;
}

awaitable<error_code> connect(
    beast::tcp_stream& stream,
    const std::vector<base::Address>& addresses,
    std::uint16_t port,
    std::uint32_t mark
) {
    error_code last = asio::error::host_not_found;
    for (const base::Address& address : addresses) {
        const asio::ip::tcp::endpoint endpoint(to_asio(address), port);
        stream.close();
        last = open_marked(stream, endpoint, mark);
        if (last) continue;
        stream.expires_after(HttpClient::kConnecting);
        const auto [error] = co_await stream.async_connect(endpoint, kTold);
        last = error;
        if (!error) break;
    }
    co_return last;
}

template <class Stream>
awaitable<base::Result<overlay::HttpAnswer>> converse(
    Stream& stream, const HttpQuestion& question, const std::string& agent
) {
    const http::request<http::empty_body> request = to_wire(question, agent);
    const auto [write_error, written] = co_await http::async_write(stream, request, kTold);
    base::Result<overlay::HttpAnswer> outcome = failure("", write_error);
    if (!write_error) {
        beast::flat_buffer buffer(kHeaderMax + 64 * 1024);
        http::response_parser<http::string_body> parser;
        parser.header_limit(kHeaderMax);
        parser.body_limit(question.size_max);
        const auto [error, size] = co_await http::async_read(stream, buffer, parser, kTold);
        if (error == http::error::body_limit) {
            outcome =
                base::Error{"the answer has more than " + std::to_string(question.size_max) + " octets"};
        } else if (error) {
            outcome = failure("", error);
        } else {
            outcome = from_wire(parser.release());
        }
    }
    co_return outcome;
}

}  // namespace

HttpClient::HttpClient(
    asio::io_context& io, const std::string& authorities, std::string agent, std::uint32_t mark
)
    : agent_(std::move(agent)),
      mark_(mark),
      trust_(asio::ssl::context::tls_client),
      resolver_(
          io,
          [this](const std::string&, base::Family, Resolver::Found found) { resolved(std::move(found)); },
          mark
      ),
      all_found_(io, 1) {
    error_code error;
    if (authorities.empty()) {
        trust_.set_default_verify_paths(error);
    } else {
        trust_.add_certificate_authority(asio::buffer(authorities), error);
    }
    if (error) throw std::runtime_error("registry.ca_file: " + error.message());
    trust_.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_min_proto_version(trust_.native_handle(), TLS1_2_VERSION);
}

awaitable<void> HttpClient::serve() { co_await resolver_.serve(); }

void HttpClient::resolved(Resolver::Found found) {
    found_.insert(found_.end(), found.addresses.begin(), found.addresses.end());
    if (--awaited_ == 0) all_found_.try_send(error_code());
}

awaitable<std::vector<base::Address>> HttpClient::addresses_of(std::string host) {
    found_.clear();
    if (const auto address = base::Address::parse(host)) {
        found_.push_back(*address);
    } else {
        awaited_ = 2;
        resolver_.resolve(host, base::Family::v6);
        resolver_.resolve(host, base::Family::v4);
        co_await all_found_.async_receive(asio::use_awaitable);
    }
    co_return std::move(found_);
}

awaitable<base::Result<overlay::HttpAnswer>> HttpClient::get(HttpQuestion question) {
    const std::vector<base::Address> addresses = co_await addresses_of(question.url.host);
    base::Result<overlay::HttpAnswer> outcome = base::Error{"the name does not resolve"};
    if (addresses.empty()) co_return outcome;
    const auto executor = co_await asio::this_coro::executor;
    Secured secured(executor, trust_);
    beast::tcp_stream& plain = secured.next_layer();
    const error_code unconnected = co_await connect(plain, addresses, question.url.port, mark_);
    if (unconnected) {
        outcome = failure("cannot be reached: ", unconnected);
        co_return outcome;
    }
    plain.expires_after(kAnswering);
    if (!question.url.secure) {
        outcome = co_await converse(plain, question, agent_);
        co_return outcome;
    }
    if (!expect(secured, question.url.host)) co_return outcome;
    const auto [error] = co_await secured.async_handshake(Secured::client, kTold);
    if (error) {
        outcome = not_secured(secured, error);
    } else {
        outcome = co_await converse(secured, question, agent_);
    }
    co_return outcome;
}

}  // namespace aronet::daemon
