#include "netlink/wire.hpp"

#include <algorithm>

namespace aronet::netlink {
namespace {

constexpr std::size_t kUsualRequest = 1024;  // an SA fits, so that no copies of its keys stay behind

}  // namespace

Builder::Builder(std::uint16_t type, std::uint16_t flags) {
    bytes_.reserve(kUsualRequest);
    auto& message = header<nlmsghdr>();
    message.nlmsg_type = type;
    message.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

Byte* Builder::append(std::size_t size) {
    const std::size_t before = bytes_.size();
    bytes_.resize(before + MNL_ALIGN(size));
    return bytes_.data() + before;
}

void Builder::put(std::uint16_t type, const void* bytes, std::size_t size) {
    const nlattr attribute{static_cast<std::uint16_t>(sizeof(nlattr) + size), type};
    Byte* out = append(sizeof attribute + size);
    std::memcpy(out, &attribute, sizeof attribute);
    if (size > 0) std::memcpy(out + sizeof attribute, bytes, size);
}

void Builder::nest(std::uint16_t type, const std::function<void()>& inside) {
    const std::size_t start = bytes_.size();
    append(sizeof(nlattr));
    inside();
    const nlattr whole{
        static_cast<std::uint16_t>(bytes_.size() - start), static_cast<std::uint16_t>(type | NLA_F_NESTED)};
    std::memcpy(bytes_.data() + start, &whole, sizeof whole);
}

Bytes Builder::take() {
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
    return std::move(bytes_);
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
    if (bytes.empty()) return;
    std::vector<std::uint32_t> aligned;
    const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(nlmsghdr) != 0) {
        aligned.resize((bytes.size() + 3) / 4);
        std::memcpy(aligned.data(), bytes.data(), bytes.size());
        message = reinterpret_cast<const nlmsghdr*>(aligned.data());
    }
    int left = static_cast<int>(bytes.size());
    // libmnl compares lengths as signed numbers: one over 2^31 would pass.
    while (mnl_nlmsg_ok(message, left) && message->nlmsg_len <= static_cast<std::uint32_t>(left)) {
        each(message);
        message = mnl_nlmsg_next(message, &left);
    }
}

}  // namespace aronet::netlink
