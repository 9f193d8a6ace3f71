#include "esp/drop.hpp"

namespace aronet::esp {

std::string_view to_string(Drop reason) {
    switch (reason) {
        case Drop::none: return "none";
        case Drop::no_association: return "no outbound SA";
        case Drop::not_ip: return "not an IP packet";
        case Drop::no_room: return "no room for header and trailer";
        case Drop::sequence_exhausted: return "sequence numbers exhausted";
        case Drop::cipher_refused: return "cipher refused";
        case Drop::too_short: return "too short";
        case Drop::unaligned: return "unaligned ciphertext";
        case Drop::unknown_spi: return "unknown SPI";
        case Drop::replay_old: return "older than the replay window";
        case Drop::replay_duplicate: return "replayed";
        case Drop::bad_icv: return "integrity check failed";
        case Drop::bad_padding: return "bad padding";
        case Drop::dummy: return "dummy packet";
        case Drop::bad_next_header: return "bad next header";
        case Drop::bad_inner_length: return "bad inner length";
        case Drop::congestion_lost: return "congestion mark without ECN inside";
    }
    return "?";
}

}  // namespace aronet::esp
