#pragma once

// Reassembly of a fragmented message (RFC 7383 2.6) as a value: decrypted, authenticated fragments in, a
// message out.

#include "ike/message.hpp"

#include <map>

namespace aronet::ike {

class Fragments {
public:
    static constexpr std::uint16_t kTotalMax = 64;
    static constexpr std::size_t kBytesMax = 64 * 1024;

    // Adds a fragment of the message with this header. The message when it is complete, Drop::incomplete
    // while it is not, another reason when the fragment was refused. A larger total starts over, a smaller
    // one is ignored, a different message ID starts over.
    base::Result<Message, Drop> add(const Header& header, Fragment fragment);
    void clear();
    // Worth no second decryption.
    bool has(std::uint32_t message_id, std::uint16_t number, std::uint16_t total) const;

private:
    std::uint32_t message_id_ = 0;
    std::uint16_t total_ = 0;
    std::size_t bytes_ = 0;
    std::map<std::uint16_t, Fragment> parts_;
};

}  // namespace aronet::ike
