// One of two processes with a tunnel's worth of IKE between each of so many pairs of identities: the engine
// behind the daemon's own sockets and clock, and a data plane that installs at once. bench/ike runs two and
// measures them.
//
//   ike-peers a|b COUNT OWN-ADDRESS PEER-ADDRESS [limited]
//
// `limited`: as many attempts at once and as many half-open SAs as a daemon has, cookies as it asks for them.
// `b` only answers. `a` begins when it reads a line and says `up SECONDS` once everybody has a child to send
// on.

#include "daemon/clock.hpp"
#include "daemon/entropy.hpp"
#include "daemon/udp.hpp"
#include "ike/engine.hpp"
#include "ike/known_answers.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <sodium.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace aronet;

namespace {

constexpr std::uint16_t kPort = 12025;

base::Secret key_of(const std::string& side) {
    const base::Bytes bytes(32, static_cast<base::Byte>(side == "a" ? 1 : 2));
    return base::Secret(base::ByteView(bytes));
}

ike::EngineConfig configuration(const std::string& side, bool limited) {
    ike::EngineConfig config;
    config.private_key = key_of(side);
    if (limited) return config;
    // As many at once as charon's are, and no cookies, as it has none here.
    config.concurrent_per_endpoint = 64;
    config.cookie_threshold = config.cookie_threshold_per_source = config.half_open_max_per_source = 1024;
    return config;
}

class Side {
public:
    Side(
        boost::asio::io_context& io,
        std::string name,
        std::size_t count,
        std::string own,
        std::string other,
        bool limited
    )
        : io_(io),
          name_(std::move(name)),
          count_(count),
          own_(*base::Address::parse(own)),
          other_(*base::Address::parse(other)),
          random_(daemon::entropy().view()),
          engine_(configuration(name_, limited), random_),
          socket_(io, open(), kPort),
          alarm_(io) {
        if (name_ == "b") connect();
    }

    void run() {
        boost::asio::co_spawn(io_, listen(), boost::asio::detached);
        boost::asio::co_spawn(io_, keep_time(), boost::asio::detached);
        io_.run();
    }

    void connect() {
        const std::string theirs = name_ == "a" ? "b" : "a";
        const ike::PublicKey their_key = ike::public_key_of(key_of(theirs));
        began_ = daemon::now();
        for (std::size_t i = 1; i <= count_; ++i) {
            ike::Peer peer;
            peer.id = peer.if_id = peer.reqid = static_cast<ike::PeerId>(i);
            peer.local = {"acme", name_ + std::to_string(i), "0", false};
            peer.remote = {"acme", theirs + std::to_string(i), "0", false};
            peer.remote_keys = {their_key};
            peer.local_address = own_;
            peer.initiate_first = name_ == "a";
            if (peer.initiate_first) peer.remote_endpoint = base::Endpoint{other_, kPort};
            engine_.connect(peer, daemon::now(), actions_);
            perform();
        }
        alarm_.set(next());
    }

private:
    static daemon::Descriptor open() {
        daemon::UdpOptions options;
        options.family = base::Family::v4;
        options.port = kPort;
        daemon::Netns here;
        auto descriptor = daemon::open_udp(here, options);
        if (!descriptor) throw std::runtime_error(descriptor.error().text);
        return std::move(*descriptor);
    }

    boost::asio::awaitable<void> listen() {
        for (;;) {
            co_await socket_.readable();
            while (const auto arrival = socket_.receive()) {
                engine_.handle({arrival->bytes, arrival->from, arrival->to}, daemon::now(), actions_);
                perform();
            }
            alarm_.set(next());
        }
    }

    boost::asio::awaitable<void> keep_time() {
        for (;;) {
            co_await alarm_.rings();
            engine_.tick(daemon::now(), actions_);
            perform();
            alarm_.set(next());
        }
    }

    std::optional<base::Instant> next() const {
        const auto deadline = engine_.deadline();
        return deadline ? std::optional(deadline->at) : std::nullopt;
    }

    void perform() {
        while (!actions_.empty()) {
            for (const ike::Action& action : std::exchange(actions_, {})) {
                if (const auto* send = std::get_if<ike::Send>(&action)) {
                    socket_.send(send->from.address, send->to, 0, send->bytes);
                } else if (const auto* child = std::get_if<ike::ChildUp>(&action)) {
                    engine_.installed(child->child, daemon::now(), actions_);
                } else if (std::holds_alternative<ike::Switch>(action) && ++up_ == count_) {
                    const std::chrono::duration<double> took = daemon::now() - began_;
                    std::printf("up %.4f\n", took.count());
                    std::fflush(stdout);
                }
            }
        }
    }

    boost::asio::io_context& io_;
    std::string name_;
    std::size_t count_, up_ = 0;
    base::Address own_, other_;
    base::Random random_;
    ike::Engine engine_;
    ike::Actions actions_;
    daemon::UdpSocket socket_;
    daemon::Alarm alarm_;
    base::Instant began_{};
};

}  // namespace

int main(int argc, char** argv) {
    // As the daemon does before it meets a peer.
    const bool limited = argc == 6 && argv[5] == std::string("limited");
    if ((argc != 5 && !limited) || sodium_init() < 0 || !ike::broken_algorithm().empty()) return 2;
    boost::asio::io_context io(1);
    Side side(io, argv[1], std::strtoul(argv[2], nullptr, 10), argv[3], argv[4], limited);
    std::puts("ready");
    std::fflush(stdout);
    if (argv[1] == std::string("a")) {
        if (std::getchar() == EOF) return 1;
        side.connect();
    }
    side.run();
}
