#include "ike/fragments.hpp"

namespace aronet::ike {

std::optional<Drop> Fragments::refuses(std::uint32_t message_id, std::uint16_t number, std::uint16_t total)
    const {
    if (number == 0 || number > total || total > kTotalMax) return Drop::bad_fragment;
    if (message_id != message_id_ || total > total_) return std::nullopt;
    if (total < total_) return Drop::bad_fragment;
    return parts_.contains(number) ? std::optional(Drop::incomplete) : std::nullopt;
}

base::Result<Message, Drop> Fragments::add(const Header& header, Fragment fragment) {
    if (const auto why = refuses(header.message_id, fragment.number, fragment.total)) return *why;
    if (header.message_id != message_id_ || fragment.total > total_) {
        clear();
        message_id_ = header.message_id;
        total_ = fragment.total;
    }
    if (bytes_ + fragment.content.size() > kBytesMax) {
        clear();
        return Drop::bad_fragment;
    }
    bytes_ += fragment.content.size();
    const std::uint16_t number = fragment.number;
    parts_.emplace(number, std::move(fragment));
    if (parts_.size() < total_) return Drop::incomplete;

    Bytes chain;
    chain.reserve(bytes_);
    for (const auto& [at, part] : parts_) chain.insert(chain.end(), part.content.begin(), part.content.end());
    const std::uint8_t first_payload = parts_.begin()->second.first_payload;
    clear();
    auto message = decode_chain(header, first_payload, chain);
    base::wipe(chain);
    return message;
}

void Fragments::clear() {
    for (auto& [number, part] : parts_) base::wipe(part.content);
    parts_.clear();
    total_ = 0;
    bytes_ = 0;
}

}  // namespace aronet::ike
