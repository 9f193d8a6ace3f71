#include "netlink/wire.hpp"

#include <algorithm>

namespace aronet::netlink {
namespace {

// Larger than any request of ours: six attributes of a policy, or an SA with its keys and a window of 4096
// packets.
constexpr std::size_t kRequestMax = 8192;

}  // namespace

Builder::Builder(std::uint16_t type, std::uint16_t flags)
    : buffer_(kRequestMax / sizeof(std::uint64_t)), message_(mnl_nlmsg_put_header(buffer_.data())) {
    message_->nlmsg_type = type;
    message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

void Builder::nest(std::uint16_t type, const std::function<void()>& inside) {
    nlattr* start = mnl_attr_nest_start(message_, type);
    inside();
    mnl_attr_nest_end(message_, start);
}

Bytes Builder::take() {
    const auto* bytes = reinterpret_cast<const Byte*>(buffer_.data());
    return {bytes, bytes + message_->nlmsg_len};
}

Attributes::Attributes(const nlmsghdr* message, std::size_t header_size) {
    const std::size_t size = mnl_nlmsg_get_payload_len(message), skip = MNL_ALIGN(header_size);
    if (size <= skip) return;
    read({static_cast<const Byte*>(mnl_nlmsg_get_payload(message)) + skip, size - skip});
}

Attributes::Attributes(ByteView nested) { read(nested); }

void Attributes::read(ByteView bytes) {
    while (bytes.size() >= sizeof(nlattr)) {
        nlattr header;
        std::memcpy(&header, bytes.data(), sizeof header);
        if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return;
        const auto type = static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK);
        list_.emplace_back(type, bytes.subspan(sizeof header, header.nla_len - sizeof header));
        bytes = bytes.subspan(std::min<std::size_t>(MNL_ALIGN(header.nla_len), bytes.size()));
    }
}

std::optional<ByteView> Attributes::find(std::uint16_t type) const {
    const auto found = std::find_if(list_.rbegin(), list_.rend(), [&](const auto& attribute) {
        return attribute.first == type;
    });
    return found == list_.rend() ? std::nullopt : std::optional(found->second);
}

std::string Attributes::text(std::uint16_t type) const {
    const ByteView bytes = find(type).value_or(ByteView());
    return {bytes.begin(), std::find(bytes.begin(), bytes.end(), Byte{0})};
}

void for_each_message(ByteView bytes, const std::function<void(const nlmsghdr*)>& each) {
    std::vector<std::uint64_t> aligned((bytes.size() + 7) / 8);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<Byte*>(aligned.data()));
    int left = static_cast<int>(bytes.size());
    const auto* message = reinterpret_cast<const nlmsghdr*>(aligned.data());
    // libmnl compares lengths as signed numbers: one over 2^31 would pass.
    while (mnl_nlmsg_ok(message, left) && message->nlmsg_len <= static_cast<std::uint32_t>(left)) {
        each(message);
        message = mnl_nlmsg_next(message, &left);
    }
}

}  // namespace aronet::netlink
