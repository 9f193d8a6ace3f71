#pragma once

// One at a time, and of those who wait only the one that came last: what came before it would be undone at
// once.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace aronet::daemon {

class Latest {
public:
    explicit Latest(boost::asio::io_context& io) : io_(io) {}

    // While there is one, it is its owner's turn.
    class Turn {
    public:
        explicit Turn(Latest& line) : line_(line) {}
        ~Turn() { line_.next(); }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        Latest& line_;
    };

    // True: it is the caller's turn, who makes a Turn of it. False: somebody came later.
    boost::asio::awaitable<bool> turn() {
        if (!std::exchange(busy_, true)) co_return true;
        Place place(io_, 1);
        const Waiting waiting(*this, place);
        const bool mine = co_await place.async_receive(boost::asio::use_awaitable);
        co_return mine;
    }

private:
    void next() {
        busy_ = waiting_ != nullptr;
        if (busy_) std::exchange(waiting_, nullptr)->try_send(boost::system::error_code(), true);
    }
    using Place = boost::asio::experimental::channel<void(boost::system::error_code, bool)>;

    // For as long as the place is there.
    class Waiting {
    public:
        Waiting(Latest& line, Place& place) : line_(line), place_(place) {
            if (line_.waiting_ != nullptr) line_.waiting_->try_send(boost::system::error_code(), false);
            line_.waiting_ = &place;
        }
        ~Waiting() {
            if (line_.waiting_ == &place_) line_.waiting_ = nullptr;
        }
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;

    private:
        Latest& line_;
        Place& place_;
    };

    boost::asio::io_context& io_;
    bool busy_ = false;
    Place* waiting_ = nullptr;
};

}  // namespace aronet::daemon
