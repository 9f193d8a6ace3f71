#pragma once

// Parts of a process that all have to go on: the first that fails is the end of all of them. By itself an
// operand of || that throws is out of the group, and the others go on without it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <utility>

namespace aronet::daemon {

class Lasting {
public:
    // Ends when `part` does, with whatever it does; what it throws is kept, unless it was cancelled.
    boost::asio::awaitable<void> operator()(boost::asio::awaitable<void> part) {
        const auto state = co_await boost::asio::this_coro::cancellation_state;
        try {
            co_await std::move(part);
        } catch (...) {
            if (state.cancelled() == boost::asio::cancellation_type::none) broke(std::current_exception());
        }
    }

    void broke(std::exception_ptr why) {
        if (!why_) why_ = std::move(why);
    }
    bool is_broken() const { return why_ != nullptr; }
    void rethrow() const {  // what was thrown first, if anything was
        if (why_) std::rethrow_exception(why_);
    }

private:
    std::exception_ptr why_;
};

}  // namespace aronet::daemon
