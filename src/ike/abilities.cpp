#include "ike/abilities.hpp"

#include <algorithm>

namespace aronet::ike {
namespace {

base::Bytes ours() {
    const base::ByteView name = base::as_bytes("aronet");
    return {name.begin(), name.end()};
}

}  // namespace

bool can_ed25519(const Message& message) {
    const auto* algorithms = message.find_notify(notify::signature_hash_algorithms);
    if (algorithms == nullptr) return false;
    base::Reader in(algorithms->data);
    while (!in.failed() && in.left() != 0) {
        if (in.u16() == kHashIdentity) return true;
    }
    return false;
}

NotifyPayload offer_shared_link() { return make_notify(notify::shared_link, ours()); }

bool offers_shared_link(const Message& message) {
    const auto* said = message.find_notify(notify::shared_link);
    return said != nullptr && said->data == ours();
}

bool offers_group(const SaPayload& offer, std::uint16_t group) {
    return std::any_of(offer.proposals.begin(), offer.proposals.end(), [&](const Proposal& proposal) {
        return std::any_of(
            proposal.transforms.begin(),
            proposal.transforms.end(),
            [&](const Transform& transform) {
                return transform.type == TransformType::ke && transform.id == group;
            }
        );
    });
}

bool ends_sa(const NotifyPayload& error) {
    return error.type == notify::authentication_failed || error.type == notify::invalid_syntax ||
           error.type == notify::unsupported_critical_payload;
}

std::string notify_name(std::uint16_t type) {
    switch (type) {
        case notify::unsupported_critical_payload:
            return "UNSUPPORTED_CRITICAL_PAYLOAD";
        case notify::invalid_ike_spi:
            return "INVALID_IKE_SPI";
        case notify::invalid_major_version:
            return "INVALID_MAJOR_VERSION";
        case notify::invalid_syntax:
            return "INVALID_SYNTAX";
        case notify::invalid_message_id:
            return "INVALID_MESSAGE_ID";
        case notify::invalid_spi:
            return "INVALID_SPI";
        case notify::no_proposal_chosen:
            return "NO_PROPOSAL_CHOSEN";
        case notify::invalid_ke_payload:
            return "INVALID_KE_PAYLOAD";
        case notify::authentication_failed:
            return "AUTHENTICATION_FAILED";
        case notify::single_pair_required:
            return "SINGLE_PAIR_REQUIRED";
        case notify::no_additional_sas:
            return "NO_ADDITIONAL_SAS";
        case notify::internal_address_failure:
            return "INTERNAL_ADDRESS_FAILURE";
        case notify::failed_cp_required:
            return "FAILED_CP_REQUIRED";
        case notify::ts_unacceptable:
            return "TS_UNACCEPTABLE";
        case notify::invalid_selectors:
            return "INVALID_SELECTORS";
        case notify::temporary_failure:
            return "TEMPORARY_FAILURE";
        case notify::child_sa_not_found:
            return "CHILD_SA_NOT_FOUND";
        default:
            return "notify " + std::to_string(type);
    }
}

}  // namespace aronet::ike
