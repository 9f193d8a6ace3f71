#pragma once

// Reassembly of a fragmented message (RFC 7383 2.6) as a value: decrypted, authenticated fragments in, a
// message out. One message at a time and bounded, whoever sends; knows no clock: its owner clears what is
// late.

#include "ike/message.hpp"

#include <map>

namespace aronet::ike {

class Fragments {
public:
    static constexpr std::uint16_t kTotalMax = 64;
    static constexpr std::size_t kBytesMax = 16 * 1024;

    // Why a fragment with these numbers is worth no decryption: incomplete where it is there already,
    // bad_fragment where it cannot belong to anything. Nothing where it is welcome.
    std::optional<Drop> refuses(std::uint32_t message_id, std::uint16_t number, std::uint16_t total) const;
    // Adds a fragment of the message with this header. The message when it is complete, Drop::incomplete
    // while it is not, another reason when the fragment was refused. A larger total starts over, a smaller
    // one is ignored, a different message ID starts over.
    base::Result<Message, Drop> add(const Header& header, Fragment fragment);
    void clear();
    bool empty() const { return parts_.empty(); }

private:
    std::uint32_t message_id_ = 0;
    std::uint16_t total_ = 0;
    std::size_t bytes_ = 0;
    std::map<std::uint16_t, Fragment> parts_;
};

}  // namespace aronet::ike
