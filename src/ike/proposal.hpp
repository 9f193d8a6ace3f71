#pragma once

// What we offer, what we choose, and whether the answer is one of the things we offered (RFC 7296 2.7, 3.3).

#include "base/sa.hpp"
#include "ike/crypto.hpp"
#include "ike/payload.hpp"

#include <optional>

namespace aronet::ike {

struct IkeChoice {
    IkeCipherSuite suite;
    Proposal answer;  // echoes the number, one transform of each type
};
struct EspChoice {
    base::EspSuite suite = base::EspSuite::aes_gcm_256;
    bool esn = false;
    std::optional<DhGroup> group;  // PFS was negotiated
    Proposal answer;               // without an SPI of ours yet
    std::uint32_t spi = 0;         // the peer's
};

// `with_ecp256` adds group 19 behind 31: offered only after a NO_PROPOSAL_CHOSEN, since some peers would
// prefer it and cost a round trip. `spi` is empty in IKE_SA_INIT and the new SPI in a rekey.
SaPayload offer_ike(bool with_ecp256, Bytes spi = {});
// What an IKE SA uses now and nothing else, for its rekeying: the peer has agreed to it before.
SaPayload offer_ike_again(const IkeCipherSuite& present, Bytes spi);
// With `pfs` a key exchange of that group or none.
SaPayload offer_esp(std::uint32_t spi, std::optional<DhGroup> pfs = std::nullopt, Esn esn = Esn::no);
// And with the present suite where the peer had chosen another than we offer at first.
SaPayload offer_esp_again(
    std::uint32_t spi, base::EspSuite present, Esn esn = Esn::no, DhGroup pfs = DhGroup::curve25519
);

// Our preference over all of the peer's proposals; the group of its KE payload wins where it is in the
// proposal.
std::optional<IkeChoice> choose_ike(const SaPayload& offered, std::uint16_t ke_group);
// Extended sequence numbers are taken unasked where nothing else is offered.
std::optional<EspChoice> choose_esp(const SaPayload& offered, std::uint16_t ke_group = 0, Esn esn = Esn::no);

// In a rekeying the present PRF stays where it is offered: with another one, RFC 7296 2.18 derives the new
// keys by the new PRF but strongSwan by the old, and nobody could read the other.
std::optional<IkeChoice> choose_ike_again(const SaPayload& offered, std::uint16_t ke_group, Prf present);

// The answer must be exactly one proposal that takes one of each of the transforms we offered.
std::optional<IkeChoice> accept_ike(const SaPayload& offered, const SaPayload& answer);
std::optional<EspChoice> accept_esp(const SaPayload& offered, const SaPayload& answer);

}  // namespace aronet::ike
