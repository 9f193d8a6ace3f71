// Every algorithm that we name, in a whole handshake with a peer that offers nothing else.

#include "stranger.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;

namespace {

struct Encryption {
    std::uint16_t id;
    std::optional<std::uint16_t> bits;
    bool aead;
    const char* name;
};
const Encryption kEncryptions[] = {
    {encr::aes_gcm_16, 128, true, "aes128gcm16"},
    {encr::aes_gcm_16, 192, true, "aes192gcm16"},
    {encr::aes_gcm_16, 256, true, "aes256gcm16"},
    {encr::chacha20_poly1305, std::nullopt, true, "chacha20poly1305"},
    {encr::aes_cbc, 128, false, "aes128"},
    {encr::aes_cbc, 192, false, "aes192"},
    {encr::aes_cbc, 256, false, "aes256"},
};

constexpr std::uint16_t kIntegrities[] = {
    integ::hmac_sha2_256_128, integ::hmac_sha2_384_192, integ::hmac_sha2_512_256};
constexpr std::uint16_t kPrfs[] = {prf_id::hmac_sha2_256, prf_id::hmac_sha2_384, prf_id::hmac_sha2_512};

}  // namespace

TEST_CASE("an IKE SA comes up with every cipher, integrity, PRF and group of ours") {
    for (const Encryption& encryption : kEncryptions) {
        for (const std::uint16_t integrity : kIntegrities) {
            for (const std::uint16_t prf : kPrfs) {
                for (const DhGroup group : {DhGroup::curve25519, DhGroup::ecp256}) {
                    Awaiting desk;
                    Proposal proposal;
                    proposal.transforms = {
                        {TransformType::encr, encryption.id, encryption.bits},
                        {TransformType::prf, prf, std::nullopt},
                        {TransformType::ke, static_cast<std::uint16_t>(group), std::nullopt}};
                    if (!encryption.aead)
                        proposal.transforms.push_back({TransformType::integ, integrity, std::nullopt});
                    desk.stranger.offer = {{proposal}};
                    desk.stranger.ke = generate(group, desk.stranger.random);
                    REQUIRE(desk.stranger.establish());
                    CHECK(desk.d.b.view().ike_suite == desk.stranger.suite.to_string());
                    CHECK(desk.d.b.view().ike_suite.starts_with(encryption.name));
                    CHECK(desk.stranger.request(ExchangeType::informational, {}).has_value());
                }
            }
        }
    }
}

TEST_CASE("a CHILD SA comes up with every suite of ours") {
    struct {
        Transform encryption;
        std::uint16_t integrity;
        const char* name;
    } const rows[] = {
        {{TransformType::encr, encr::aes_gcm_16, 128}, 0, "aes128gcm16"},
        {{TransformType::encr, encr::aes_gcm_16, 192}, 0, "aes192gcm16"},
        {{TransformType::encr, encr::aes_gcm_16, 256}, 0, "aes256gcm16"},
        {{TransformType::encr, encr::chacha20_poly1305, std::nullopt}, 0, "chacha20poly1305"},
        {{TransformType::encr, encr::aes_cbc, 128}, integ::hmac_sha2_256_128, "aes128-sha256"},
        {{TransformType::encr, encr::aes_cbc, 256}, integ::hmac_sha2_256_128, "aes256-sha256"},
        {{TransformType::encr, encr::aes_cbc, 256}, integ::hmac_sha2_512_256, "aes256-sha512"},
    };
    for (const auto& row : rows) {
        Awaiting desk;
        auto& transforms = desk.stranger.esp_offer.proposals[0].transforms;
        transforms = {row.encryption, {TransformType::esn, esn::no, std::nullopt}};
        if (row.integrity != 0) transforms.push_back({TransformType::integ, row.integrity, std::nullopt});
        REQUIRE(desk.stranger.init());
        const auto answer = desk.stranger.request(ExchangeType::ike_auth, desk.stranger.auth_payloads());
        REQUIRE(answer.has_value());
        const auto choice = accept_esp(desk.stranger.esp_offer, *answer->find<SaPayload>());
        REQUIRE(choice.has_value());
        CHECK(desk.d.b.view().esp_suite == row.name);
        const ChildKeys keys = derive_child_keys(
            desk.stranger.suite.prf, desk.stranger.keys->d, choice->suite, desk.stranger.nonces
        );
        const auto& [in, out] = desk.d.b.children.begin()->second;
        CHECK(in.key == keys.initiator_to_responder);
        CHECK(out.key == keys.responder_to_initiator);
        CHECK(in.key.size() == base::key_size(choice->suite));
    }
}
