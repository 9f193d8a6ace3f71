#include "daemon/resolver.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <ares.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <stdexcept>

namespace aronet::daemon {
namespace {

base::Address address_of(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
        return *base::Address::from_bytes({reinterpret_cast<const base::Byte*>(&v4->sin_addr), 4});
    }
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    return *base::Address::from_bytes({reinterpret_cast<const base::Byte*>(&v6->sin6_addr), 16});
}

void control(int epoll, int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll, operation, fd, &event);
}

}  // namespace

Resolver::Resolver(boost::asio::io_context& io, Answer answer, std::uint32_t mark)
    : answer_(std::move(answer)),
      mark_(mark),
      epoll_(io, epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)) {
    control(epoll_.native_handle(), EPOLL_CTL_ADD, timer_.get(), EPOLLIN);
    const int status = open();
    if (status != ARES_SUCCESS) throw std::runtime_error(std::string("resolver: ") + ares_strerror(status));
}

int Resolver::open() {
    const Edition present = edition();
    ares_options options{};
    options.timeout = 2000;  // ms
    options.tries = 3;
    options.sock_state_cb = &Resolver::watch;
    options.sock_state_cb_data = this;
    ares_channeldata* made = nullptr;
    const int status =
        ares_init_options(&made, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) return status;
    channel_ = made;
    if (mark_ != 0) ares_set_socket_configure_callback(made, &Resolver::prepare, this);
    read_ = present;
    return status;
}

Resolver::~Resolver() {
    answer_ = nullptr;
    ares_destroy(channel_);
}

void Resolver::resolve(const std::string& name, base::Family family) {
    reopen_if_changed();
    ask(std::make_unique<Question>(Question{this, name, family}));
    set_timeout();
}

void Resolver::ask(std::unique_ptr<Question> question) {
    ares_addrinfo_hints hints{};
    hints.ai_family = question->family == base::Family::v4 ? AF_INET : AF_INET6;
    hints.ai_flags = ARES_AI_NOSORT;
    const std::string name = question->name;
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &Resolver::answered, question.release());
}

// A channel reads the file once. What the old one still waits for is asked on the new one.
void Resolver::reopen_if_changed() {
    if (answering_ || edition() == read_) return;  // c-ares is not done with the channel that answers
    ares_channeldata* const old = channel_;
    if (open() == ARES_SUCCESS) ares_destroy(old);
}

Resolver::Edition Resolver::edition() {
    struct stat status {};
    if (stat("/etc/resolv.conf", &status) != 0) return {};
    return {status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

void Resolver::answered(void* arg, int status, int, ares_addrinfo* result) {
    std::unique_ptr<Question> question(static_cast<Question*>(arg));
    if (status == ARES_EDESTRUCTION && question->resolver->answer_)
        return question->resolver->ask(std::move(question));
    Found found;
    if (status == ARES_SUCCESS) {
        int lifetime = std::numeric_limits<int>::max();
        for (const auto* node = result->nodes; node != nullptr; node = node->ai_next) {
            found.addresses.push_back(address_of(node->ai_addr));
            lifetime = std::min(lifetime, node->ai_ttl);
        }
        for (const auto* alias = result->cnames; alias != nullptr; alias = alias->next)
            lifetime = std::min(lifetime, alias->ttl);
        found.lifetime = std::chrono::seconds(std::max(lifetime, 0));
    }
    if (result != nullptr) ares_freeaddrinfo(result);
    Resolver& self = *question->resolver;
    if (!self.answer_) return;
    self.answering_ = true;
    self.answer_(question->name, question->family, std::move(found));
    self.answering_ = false;
}

// Before it is connected: where it leads is decided then.
int Resolver::prepare(int socket, int, void* arg) {
    const auto& mark = static_cast<const Resolver*>(arg)->mark_;
    return setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0 ? 0 : -1;
}

void Resolver::watch(void* arg, int socket, int readable, int writable) {
    auto& self = *static_cast<Resolver*>(arg);
    const std::uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    const int epoll = self.epoll_.native_handle();
    if (events == 0) {
        if (self.watched_.erase(socket) > 0) control(epoll, EPOLL_CTL_DEL, socket, 0);
    } else {
        control(epoll, self.watched_.insert(socket).second ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, events);
    }
}

void Resolver::set_timeout() {
    timeval left{};
    itimerspec spec{};
    if (ares_timeout(channel_, nullptr, &left) != nullptr) {
        // Zero would disarm the timer.
        spec.it_value = {left.tv_sec, std::max<long>(left.tv_usec * 1000, 1)};
    }
    timerfd_settime(timer_.get(), 0, &spec, nullptr);
}

boost::asio::awaitable<void> Resolver::serve() {
    for (;;) {
        co_await epoll_.async_wait(epoll_.wait_read, boost::asio::use_awaitable);
        std::array<epoll_event, 16> events;
        const int count = epoll_wait(epoll_.native_handle(), events.data(), int(events.size()), 0);
        for (int i = 0; i < count; ++i) {
            const auto& event = events[static_cast<std::size_t>(i)];
            if (event.data.fd == timer_.get()) {
                std::uint64_t expirations = 0;
                [[maybe_unused]] const auto size = read(timer_.get(), &expirations, sizeof expirations);
                ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            } else {
                const bool in = (event.events & ~std::uint32_t(EPOLLOUT)) != 0,
                           out = (event.events & EPOLLOUT) != 0;
                ares_process_fd(
                    channel_, in ? event.data.fd : ARES_SOCKET_BAD, out ? event.data.fd : ARES_SOCKET_BAD
                );
            }
        }
        set_timeout();
    }
}

}  // namespace aronet::daemon
