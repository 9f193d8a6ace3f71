#pragma once

// The one way from the data plane's workers to the control thread: values in a bounded queue, and a
// descriptor that is readable while any wait.

#include "base/address.hpp"
#include "base/time.hpp"
#include "daemon/descriptor.hpp"
#include "netlink/change.hpp"

#include <deque>
#include <mutex>
#include <optional>
#include <variant>

namespace aronet::daemon {

class DatapathQueue {
public:
    struct Datagram {  // what is not ESP: IKE with its marker, or rubbish
        base::Bytes bytes;
        base::Endpoint from, to;
        base::Instant at;
    };
    using Message = std::variant<Datagram, netlink::Notice>;

    // How much may wait so that one more is taken. A flood of IKE_SA_INIT requests leaves room for what
    // belongs to an SA, and strangers cannot crowd out notices.
    static constexpr std::size_t kOpeningLimit = 512;
    static constexpr std::size_t kDatagramLimit = 1024;
    static constexpr std::size_t kLimit = 2 * kDatagramLimit;

    DatapathQueue();  // throws std::system_error

    bool push(Message message);  // false: full, and the message is lost
    std::optional<Message> pop();
    int descriptor() const { return wake_.get(); }

private:
    std::mutex mutex_;
    std::deque<Message> messages_;
    Descriptor wake_;
};

}  // namespace aronet::daemon
