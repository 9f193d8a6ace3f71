#pragma once

// recvmmsg and sendmmsg over buffers made once: up to 64 datagrams per call, each with the addresses, the
// traffic class and, outbound, the mark that go with it. Nothing is allocated per packet.

#include "base/address.hpp"
#include "daemon/descriptor.hpp"
#include "esp/packet.hpp"

#include <sys/socket.h>

#include <array>
#include <span>

namespace aronet::daemon {

inline constexpr std::size_t kBatchSize = 64;
inline constexpr std::size_t kSlotSize = 9472;  // the largest datagram or packet, with room around it
inline constexpr std::uint32_t kMtuMax = 9216;

// 0 or an errno: what the receiving side needs to be told with each datagram.
int ask_for_ancillary(int descriptor, base::Family family);

struct Slots {
    std::span<base::Byte> at(std::size_t i) { return std::span(bytes).subspan(i * kSlotSize, kSlotSize); }
    base::Bytes bytes = base::Bytes(kBatchSize * kSlotSize);
};

class ReceiveBatch {
public:
    ReceiveBatch();

    std::size_t receive(int descriptor);  // how many came; 0: none for now
    std::span<base::Byte> room(std::size_t i) { return slots_.at(i); }
    std::size_t size(std::size_t i) const { return messages_[i].msg_len; }
    bool truncated(std::size_t i) const { return messages_[i].msg_hdr.msg_flags & MSG_TRUNC; }
    base::Endpoint from(std::size_t i) const;
    base::Address to(std::size_t i);  // any(family) when the kernel did not say
    std::uint8_t traffic_class(std::size_t i);

private:
    using Control = std::array<char, 128>;

    Slots slots_;
    std::array<mmsghdr, kBatchSize> messages_{};
    std::array<iovec, kBatchSize> vectors_{};
    std::array<sockaddr_storage, kBatchSize> names_{};
    alignas(cmsghdr) std::array<Control, kBatchSize> controls_{};
};

// All datagrams of one batch go the same way.
struct Way {
    base::Endpoint to;
    base::Address from;  // pinned unless any()
    std::optional<std::uint32_t> mark;
};

class SendBatch {
public:
    SendBatch();

    void start(const Way& way);
    void add(const esp::Packet& packet);
    std::size_t size() const { return count_; }

    struct Outcome {
        std::size_t sent = 0, full = 0, too_big = 0, refused = 0;
    };
    Outcome send(int descriptor);  // never blocks; what does not go is dropped

private:
    using Control = std::array<char, 128>;

    void append_control(const void* value, std::size_t size, int level, int type);

    sockaddr_storage name_{};
    socklen_t name_size_ = 0;
    base::Family family_ = base::Family::v4;
    Control control_{};  // what every datagram carries; the traffic class comes last
    std::size_t control_size_ = 0;
    std::size_t count_ = 0;
    std::array<mmsghdr, kBatchSize> messages_{};
    std::array<iovec, kBatchSize> vectors_{};
    alignas(cmsghdr) std::array<Control, kBatchSize> controls_{};
};

}  // namespace aronet::daemon
