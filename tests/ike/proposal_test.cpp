#include "ike/proposal.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

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

TEST_CASE("a rekeying offers what is in use, so that a peer who agreed to it agrees again") {
    for (const Cipher cipher :
         {Cipher::aes_gcm_128, Cipher::aes_gcm_256, Cipher::chacha20_poly1305, Cipher::aes_cbc_192}) {
        for (const Prf prf : {Prf::hmac_sha2_256, Prf::hmac_sha2_384, Prf::hmac_sha2_512}) {
            const auto integrity = is_aead(cipher) ? Integrity::none : Integrity::hmac_sha2_384_192;
            const IkeCipherSuite suite{cipher, integrity, prf, DhGroup::ecp256};
            const auto choice = choose_ike(offer_ike_again(suite, aronet::base::Bytes(8, 1)), group::ecp256);
            REQUIRE(choice.has_value());
            CHECK(choice->suite == suite);
        }
    }
    for (const auto suite :
         {aronet::base::EspSuite::aes_gcm_256,
          aronet::base::EspSuite::chacha20_poly1305,
          aronet::base::EspSuite::aes_gcm_192,
          aronet::base::EspSuite::aes_cbc_256_sha512}) {
        SaPayload narrowed = offer_esp_again(0x1000, suite);
        const SaPayload whole = narrowed;
        for (Proposal& proposal : narrowed.proposals) {  // a peer that knows only this suite
            std::erase_if(proposal.transforms, [&](const Transform& transform) {
                const auto alone =
                    choose_esp({{Proposal{1, Protocol::esp, {0, 0, 16, 0}, {transform}, false}}});
                return transform.type == TransformType::encr && alone && alone->suite != suite;
            });
        }
        auto choice = choose_esp(narrowed, group::curve25519);
        REQUIRE(choice.has_value());
        CHECK(choice->suite == suite);
        CHECK(choice->group == DhGroup::curve25519);
        choice->answer.spi = {0, 0, 32, 0};
        CHECK(accept_esp(whole, {{choice->answer}}).has_value());
    }
}

namespace {

SaPayload ike_offer(std::vector<Transform> transforms) {
    return {{Proposal{1, Protocol::ike, {}, std::move(transforms), false}}};
}

constexpr Transform kPrf{TransformType::prf, prf_id::hmac_sha2_256, std::nullopt};
constexpr Transform kInteg{TransformType::integ, integ::hmac_sha2_256_128, std::nullopt};
constexpr Transform kNoInteg{TransformType::integ, integ::none, std::nullopt};
constexpr Transform kGroup{TransformType::ke, group::curve25519, std::nullopt};
constexpr Transform encryption(std::uint16_t id, std::optional<std::uint16_t> bits) {
    return {TransformType::encr, id, bits};
}

bool chosen(std::vector<Transform> transforms) {
    return choose_ike(ike_offer(std::move(transforms)), group::curve25519).has_value();
}

}  // namespace

TEST_CASE("A9: an IKE proposal is chosen only if it makes a whole suite") {
    const Transform gcm = encryption(encr::aes_gcm_16, 256), cbc = encryption(encr::aes_cbc, 128);
    CHECK(chosen({gcm, kPrf, kGroup}));
    CHECK(chosen({gcm, kNoInteg, kPrf, kGroup}));
    CHECK(chosen({cbc, kInteg, kPrf, kGroup}));
    CHECK_FALSE(chosen({}));
    CHECK_FALSE(chosen({kPrf, kGroup}));
    CHECK_FALSE(chosen({gcm, kGroup}));
    CHECK_FALSE(chosen({gcm, kPrf}));
    CHECK_FALSE(chosen({gcm, kInteg, kPrf, kGroup}));  // RFC 5282 8: AEAD goes without
    CHECK_FALSE(chosen({cbc, kPrf, kGroup}));
    CHECK_FALSE(chosen({cbc, kNoInteg, kPrf, kGroup}));
    for (const std::optional<std::uint16_t> bits :
         {std::optional<std::uint16_t>(),
          std::optional<std::uint16_t>(0),
          std::optional<std::uint16_t>(127),
          std::optional<std::uint16_t>(65535)}) {
        CHECK_FALSE(chosen({encryption(encr::aes_gcm_16, bits), kPrf, kGroup}));
        CHECK_FALSE(chosen({encryption(encr::aes_cbc, bits), kInteg, kPrf, kGroup}));
    }
    CHECK(chosen({encryption(encr::chacha20_poly1305, std::nullopt), kPrf, kGroup}));
    CHECK_FALSE(chosen({encryption(encr::chacha20_poly1305, 256), kPrf, kGroup}));
    SaPayload spoiled = ike_offer({gcm, kPrf, kGroup});
    spoiled.proposals[0].unusable = true;
    CHECK_FALSE(choose_ike(spoiled, group::curve25519).has_value());
    SaPayload foreign = ike_offer({gcm, kPrf, kGroup});
    foreign.proposals[0].protocol = Protocol::esp;
    CHECK_FALSE(choose_ike(foreign, group::curve25519).has_value());
}

TEST_CASE("A9: an ESP proposal needs an SPI beyond the reserved ones; extended numbers come last") {
    const auto with_spi = [](std::vector<std::uint8_t> spi) {
        SaPayload offer = offer_esp(0x1000);
        offer.proposals[0].spi = std::move(spi);
        return choose_esp(offer).has_value();
    };
    CHECK(with_spi({0, 0, 1, 0}));
    CHECK_FALSE(with_spi({0, 0, 0, 255}));
    CHECK_FALSE(with_spi({}));
    CHECK_FALSE(with_spi({1, 2, 3}));
    CHECK_FALSE(with_spi({1, 2, 3, 4, 5, 6, 7, 8}));
    SaPayload offer = offer_esp(0x1000);
    auto& transforms = offer.proposals[0].transforms;
    CHECK_FALSE(choose_esp(offer)->esn);
    transforms.back().id = esn::yes;
    CHECK(choose_esp(offer)->esn);
    transforms.push_back({TransformType::esn, esn::no, std::nullopt});
    CHECK_FALSE(choose_esp(offer)->esn);
}

TEST_CASE("an answer is accepted only if it takes one of each from what was offered") {
    const SaPayload offer = offer_esp(0x1000, DhGroup::curve25519);
    auto answer = SaPayload{{choose_esp(offer)->answer}};
    answer.proposals[0].spi = {0, 0, 0x20, 0};
    REQUIRE(accept_esp(offer, answer).has_value());
    CHECK(accept_esp(offer, answer)->spi == 0x2000);
    const auto refused = [&](auto change) {
        SaPayload changed = answer;
        change(changed);
        return !accept_esp(offer, changed).has_value();
    };
    CHECK(refused([](SaPayload& sa) { sa.proposals.push_back(sa.proposals[0]); }));
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].number = 2; }));
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].protocol = Protocol::ah; }));
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].spi = {0, 0, 0, 1}; }));
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].transforms[0].key_length = 128; }));
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].transforms.push_back(sa.proposals[0].transforms[0]); })
    );
    CHECK(refused([](SaPayload& sa) { sa.proposals[0].unusable = true; }));
}
