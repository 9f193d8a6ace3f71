#include "daemon/datapath_queue.hpp"

#include <sys/eventfd.h>

#include <system_error>

namespace aronet::daemon {
namespace {

// By the exchange type and the response flag behind the marker and both SPIs (RFC 7296 3.1).
bool is_opening(const DatapathQueue::Datagram& datagram) {
    const base::Bytes& bytes = datagram.bytes;
    return bytes.size() > 23 && bytes[22] == 34 && (bytes[23] & 0x20) == 0;
}

std::size_t limit_of(const DatapathQueue::Message& message) {
    const auto* datagram = std::get_if<DatapathQueue::Datagram>(&message);
    if (datagram == nullptr) return DatapathQueue::kLimit;
    return is_opening(*datagram) ? DatapathQueue::kOpeningLimit : DatapathQueue::kDatagramLimit;
}

}  // namespace

DatapathQueue::DatapathQueue() : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

bool DatapathQueue::push(Message message) {
    const std::scoped_lock lock(mutex_);
    if (messages_.size() >= limit_of(message)) return false;
    messages_.push_back(std::move(message));
    if (messages_.size() == 1) eventfd_write(wake_.get(), 1);
    return true;
}

std::optional<DatapathQueue::Message> DatapathQueue::pop() {
    const std::scoped_lock lock(mutex_);
    if (messages_.empty()) return std::nullopt;
    Message first = std::move(messages_.front());
    messages_.pop_front();
    eventfd_t ignored = 0;
    if (messages_.empty()) eventfd_read(wake_.get(), &ignored);
    return first;
}

}  // namespace aronet::daemon
