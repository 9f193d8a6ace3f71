#include "ike/fragments.hpp"

namespace aronet::ike {

base::Result<Message, Drop> Fragments::add(const Header& header, Fragment fragment) {
    if (fragment.total == 0 || fragment.total > kTotalMax || fragment.number == 0 ||
        fragment.number > fragment.total) {
        return Drop::bad_fragment;
    }
    if (header.message_id != message_id_ || fragment.total > total_) {
        clear();
        message_id_ = header.message_id;
        total_ = fragment.total;
    } else if (fragment.total < total_) {
        return Drop::bad_fragment;
    }
    if (bytes_ + fragment.content.size() > kBytesMax) {
        clear();
        return Drop::bad_fragment;
    }
    const std::size_t size = fragment.content.size();
    const std::uint16_t number = fragment.number;
    if (parts_.try_emplace(number, std::move(fragment)).second) bytes_ += size;
    if (parts_.size() < total_) return Drop::incomplete;

    Bytes chain;
    for (const auto& part : parts_)
        chain.insert(chain.end(), part.second.content.begin(), part.second.content.end());
    const std::uint8_t first_payload = parts_.begin()->second.first_payload;
    clear();
    auto message = decode_chain(header, first_payload, chain);
    base::wipe(chain);
    return message;
}

void Fragments::clear() {
    parts_.clear();
    total_ = 0;
    bytes_ = 0;
}

bool Fragments::has(std::uint32_t message_id, std::uint16_t number, std::uint16_t total) const {
    return message_id == message_id_ && total == total_ && parts_.contains(number);
}

}  // namespace aronet::ike
