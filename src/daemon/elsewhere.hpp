#pragma once

// Work that takes long, done by another thread while the loop goes on.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace aronet::daemon {

// Is not cancelled: who is cancelled meanwhile goes on, and learns of it, when the work is done. (A
// cancellation would be handed to the other thread, and come there when what it is for is gone: Boost 1.81.)
template <class T>
boost::asio::awaitable<T> elsewhere(boost::asio::thread_pool& pool, boost::asio::awaitable<T> work) {
    auto uncancelled =
        boost::asio::bind_cancellation_slot(boost::asio::cancellation_slot(), boost::asio::use_awaitable);
    T done = co_await boost::asio::co_spawn(pool, std::move(work), std::move(uncancelled));
    co_return done;
}

}  // namespace aronet::daemon
