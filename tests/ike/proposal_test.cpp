#include "ike/proposal.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

using namespace aronet::ike;

namespace {

SaPayload offer_of(std::vector<std::uint16_t> prfs) {
    SaPayload offer = offer_ike(false);
    auto& transforms = offer.proposals.front().transforms;
    std::erase_if(transforms, [](const Transform& t) { return t.type == TransformType::prf; });
    for (const std::uint16_t id : prfs) transforms.push_back({TransformType::prf, id, std::nullopt});
    return offer;
}

}  // namespace

TEST_CASE("a rekeying of the IKE SA keeps the present PRF where it is offered") {
    const SaPayload both = offer_of({prf_id::hmac_sha2_512, prf_id::hmac_sha2_256});
    REQUIRE(choose_ike(both, group::curve25519)->suite.prf == Prf::hmac_sha2_512);
    CHECK(choose_ike_again(both, group::curve25519, Prf::hmac_sha2_256)->suite.prf == Prf::hmac_sha2_256);
    CHECK(choose_ike_again(both, group::curve25519, Prf::hmac_sha2_384)->suite.prf == Prf::hmac_sha2_512);
}
