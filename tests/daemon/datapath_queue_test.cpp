#include "daemon/datapath_queue.hpp"

#include <catch2/catch.hpp>

#include <poll.h>

using namespace aronet;
using namespace aronet::daemon;

namespace {

// Of the exchange and the flags, as the data plane hands it on.
DatapathQueue::Message ike(base::Byte exchange, base::Byte flags) {
    base::Bytes bytes(32, 0);
    bytes[22] = exchange;
    bytes[23] = flags;
    return DatapathQueue::Datagram{bytes, {}, {}, {}};
}

// How many are taken until one is not.
std::size_t fill(DatapathQueue& queue, const DatapathQueue::Message& message) {
    std::size_t taken = 0;
    while (queue.push(message)) ++taken;
    return taken;
}

}  // namespace

TEST_CASE("a flood of IKE_SA_INIT leaves room for what belongs to an SA, and both for notices") {
    DatapathQueue queue;
    CHECK(fill(queue, ike(34, 0x08)) == DatapathQueue::kOpeningLimit);
    CHECK(fill(queue, ike(34, 0x20)) > 300);  // answers
    CHECK(fill(queue, ike(35, 0x08)) == 0);
    CHECK(fill(queue, netlink::Notice{netlink::Lost{}}) > 1000);
    std::size_t waiting = 0;
    while (queue.pop()) ++waiting;
    CHECK(waiting == DatapathQueue::kLimit);
    pollfd idle{queue.descriptor(), POLLIN, 0};
    CHECK(poll(&idle, 1, 0) == 0);
    CHECK(fill(queue, ike(37, 0)) == DatapathQueue::kDatagramLimit);
}
