#include "ike/proposal.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace aronet::ike {
namespace {

using base::EspSuite;

// A transform of the wire and what it stands for, in our order of preference (docs/ike.md, proposals).
template <class T>
struct Known {
    std::uint16_t id;
    std::optional<std::uint16_t> key_length;
    T value;
};

constexpr std::array<Known<Cipher>, 7> kCiphers{{
    {encr::aes_gcm_16, 256, Cipher::aes_gcm_256},
    {encr::chacha20_poly1305, std::nullopt, Cipher::chacha20_poly1305},
    {encr::aes_gcm_16, 128, Cipher::aes_gcm_128},
    {encr::aes_gcm_16, 192, Cipher::aes_gcm_192},
    {encr::aes_cbc, 256, Cipher::aes_cbc_256},
    {encr::aes_cbc, 192, Cipher::aes_cbc_192},
    {encr::aes_cbc, 128, Cipher::aes_cbc_128},
}};
constexpr std::array<Known<Prf>, 3> kPrfs{{
    {prf_id::hmac_sha2_512, std::nullopt, Prf::hmac_sha2_512},
    {prf_id::hmac_sha2_256, std::nullopt, Prf::hmac_sha2_256},
    {prf_id::hmac_sha2_384, std::nullopt, Prf::hmac_sha2_384},
}};
constexpr std::array<Known<Integrity>, 3> kIntegrities{{
    {integ::hmac_sha2_512_256, std::nullopt, Integrity::hmac_sha2_512_256},
    {integ::hmac_sha2_256_128, std::nullopt, Integrity::hmac_sha2_256_128},
    {integ::hmac_sha2_384_192, std::nullopt, Integrity::hmac_sha2_384_192},
}};
constexpr std::array<Known<DhGroup>, 2> kGroups{{
    {group::curve25519, std::nullopt, DhGroup::curve25519},
    {group::ecp256, std::nullopt, DhGroup::ecp256},
}};

// An ESP suite is a pair of transforms, so it has rows of its own.
struct EspRow {
    EspSuite suite;
    std::uint16_t encryption;
    std::optional<std::uint16_t> key_length;
    std::uint16_t integrity;
};
constexpr std::array<EspRow, 7> kEspSuites{{
    {EspSuite::aes_gcm_256, encr::aes_gcm_16, 256, integ::none},
    {EspSuite::chacha20_poly1305, encr::chacha20_poly1305, std::nullopt, integ::none},
    {EspSuite::aes_gcm_128, encr::aes_gcm_16, 128, integ::none},
    {EspSuite::aes_gcm_192, encr::aes_gcm_16, 192, integ::none},
    {EspSuite::aes_cbc_256_sha512, encr::aes_cbc, 256, integ::hmac_sha2_512_256},
    {EspSuite::aes_cbc_256_sha256, encr::aes_cbc, 256, integ::hmac_sha2_256_128},
    {EspSuite::aes_cbc_128_sha256, encr::aes_cbc, 128, integ::hmac_sha2_256_128},
}};

bool contains(
    const Proposal& proposal, TransformType type, std::uint16_t id, std::optional<std::uint16_t> key = {}
) {
    return std::find(proposal.transforms.begin(), proposal.transforms.end(), Transform{type, id, key}) !=
           proposal.transforms.end();
}

bool contains(const Proposal& proposal, TransformType type) {
    return std::any_of(
        proposal.transforms.begin(),
        proposal.transforms.end(),
        [&](const Transform& transform) { return transform.type == type; }
    );
}

template <class T, std::size_t N>
const Known<T>* first_in(const Proposal& proposal, TransformType type, const std::array<Known<T>, N>& rows) {
    for (const Known<T>& row : rows) {
        if (contains(proposal, type, row.id, row.key_length)) return &row;
    }
    return nullptr;
}

template <class T, std::size_t N>
const Known<T>& row_of(T value, const std::array<Known<T>, N>& rows) {
    return *std::find_if(rows.begin(), rows.end(), [&](const Known<T>& row) { return row.value == value; });
}

// A type may be left out when NONE would do, and NONE may be said (RFC 7296 3.3.3).
bool allows_no(const Proposal& proposal, TransformType type) {
    return !contains(proposal, type) || contains(proposal, type, 0);
}

std::optional<IkeChoice> choose_from(
    const Proposal& offered, const Known<Cipher>& cipher, std::uint16_t ke_group
) {
    const auto* prf = first_in(offered, TransformType::prf, kPrfs);
    const auto* group = first_in(offered, TransformType::ke, kGroups);
    for (const auto& row : kGroups) {
        if (row.id == ke_group && contains(offered, TransformType::ke, ke_group)) group = &row;
    }
    const auto* integrity =
        is_aead(cipher.value) ? nullptr : first_in(offered, TransformType::integ, kIntegrities);
    if (prf == nullptr || group == nullptr) return std::nullopt;
    if (is_aead(cipher.value) ? !allows_no(offered, TransformType::integ) : integrity == nullptr)
        return std::nullopt;

    IkeChoice choice;
    choice.suite = {
        cipher.value, integrity != nullptr ? integrity->value : Integrity::none, prf->value, group->value};
    choice.answer = {offered.number, Protocol::ike, {}, {}, false};
    auto& transforms = choice.answer.transforms;
    transforms.push_back({TransformType::encr, cipher.id, cipher.key_length});
    if (integrity != nullptr) transforms.push_back({TransformType::integ, integrity->id, std::nullopt});
    transforms.push_back({TransformType::prf, prf->id, std::nullopt});
    transforms.push_back({TransformType::ke, group->id, std::nullopt});
    return choice;
}

std::optional<std::uint32_t> esp_spi(const Proposal& proposal) {
    base::Reader in(proposal.spi);
    const std::uint32_t spi = in.u32();
    // 0 to 255 are reserved (RFC 4303 2.1).
    if (!in.done() || spi < 256) return std::nullopt;
    return spi;
}

// Nothing where what is offered is not what we want. A proposal that says nothing means "no" (RFC
// 7296 3.3.3).
std::optional<bool> choose_esn(const Proposal& offered, Esn wanted) {
    const bool yes = contains(offered, TransformType::esn, esn::yes);
    const bool no = contains(offered, TransformType::esn, esn::no) || !contains(offered, TransformType::esn);
    if (wanted == Esn::required ? !yes : !yes && !no) return std::nullopt;
    return wanted == Esn::no ? !no : yes;
}

std::optional<EspChoice> choose_from(
    const Proposal& offered, const EspRow& row, std::uint16_t ke_group, Esn wanted_esn
) {
    const auto spi = esp_spi(offered);
    if (!spi || !contains(offered, TransformType::encr, row.encryption, row.key_length)) return std::nullopt;
    const bool integrity_fits = row.integrity == integ::none
                                    ? allows_no(offered, TransformType::integ)
                                    : contains(offered, TransformType::integ, row.integrity);
    const auto extended = choose_esn(offered, wanted_esn);
    if (!integrity_fits || !extended) return std::nullopt;

    EspChoice choice;
    choice.suite = row.suite;
    choice.esn = *extended;
    choice.spi = *spi;
    choice.answer = {offered.number, Protocol::esp, {}, {}, false};
    auto& transforms = choice.answer.transforms;
    transforms.push_back({TransformType::encr, row.encryption, row.key_length});
    if (row.integrity != integ::none)
        transforms.push_back({TransformType::integ, row.integrity, std::nullopt});
    if (contains(offered, TransformType::ke)) {
        const auto* group = first_in(offered, TransformType::ke, kGroups);
        for (const auto& known : kGroups) {
            if (known.id == ke_group && contains(offered, TransformType::ke, ke_group)) group = &known;
        }
        const bool none = contains(offered, TransformType::ke, group::none);
        if (group == nullptr && !none) return std::nullopt;
        const bool with_group = group != nullptr && (ke_group == group->id || !none);
        if (with_group) choice.group = group->value;
        transforms.push_back({TransformType::ke, with_group ? group->id : group::none, std::nullopt});
    }
    if (contains(offered, TransformType::esn))
        transforms.push_back({TransformType::esn, choice.esn ? esn::yes : esn::no, std::nullopt});
    return choice;
}

std::uint32_t count(const Proposal& proposal, TransformType type) {
    std::uint32_t n = 0;
    for (const Transform& transform : proposal.transforms) n += transform.type == type ? 1 : 0;
    return n;
}

// The proposal of ours that the answer takes, or nothing when it is no choice out of it.
const Proposal* chosen_proposal(const SaPayload& offered, const SaPayload& answer) {
    if (answer.proposals.size() != 1) return nullptr;
    const Proposal& chosen = answer.proposals.front();
    if (chosen.unusable) return nullptr;
    for (const TransformType type :
         {TransformType::encr,
          TransformType::prf,
          TransformType::integ,
          TransformType::ke,
          TransformType::esn}) {
        if (count(chosen, type) > 1) return nullptr;
    }
    for (const Proposal& proposal : offered.proposals) {
        if (proposal.number != chosen.number || proposal.protocol != chosen.protocol) continue;
        for (const Transform& transform : chosen.transforms) {
            const bool none = transform.type == TransformType::integ && transform.id == integ::none;
            if (!none && !contains(proposal, transform.type, transform.id, transform.key_length))
                return nullptr;
        }
        return &proposal;
    }
    return nullptr;
}

}  // namespace

SaPayload offer_ike(bool with_ecp256, Bytes spi) {
    Proposal proposal{1, Protocol::ike, std::move(spi), {}, false};
    proposal.transforms = {
        {TransformType::encr, encr::aes_gcm_16, 256},
        {TransformType::encr, encr::chacha20_poly1305, std::nullopt},
        {TransformType::prf, prf_id::hmac_sha2_512, std::nullopt},
        {TransformType::prf, prf_id::hmac_sha2_256, std::nullopt},
        {TransformType::prf, prf_id::hmac_sha2_384, std::nullopt},
        {TransformType::ke, group::curve25519, std::nullopt},
    };
    if (with_ecp256) proposal.transforms.push_back({TransformType::ke, group::ecp256, std::nullopt});
    return {{proposal}};
}

SaPayload offer_ike_again(const IkeCipherSuite& present, Bytes spi) {
    Proposal proposal{1, Protocol::ike, std::move(spi), {}, false};
    const auto& cipher = row_of(present.cipher, kCiphers);
    proposal.transforms.push_back({TransformType::encr, cipher.id, cipher.key_length});
    if (!is_aead(present.cipher)) {
        proposal.transforms.push_back({TransformType::integ, row_of(present.integrity, kIntegrities).id, {}});
    }
    proposal.transforms.push_back({TransformType::prf, row_of(present.prf, kPrfs).id, {}});
    proposal.transforms.push_back({TransformType::ke, row_of(present.group, kGroups).id, {}});
    return {{proposal}};
}

SaPayload offer_esp(std::uint32_t spi, std::optional<DhGroup> pfs, Esn wanted_esn) {
    Proposal proposal{1, Protocol::esp, {}, {}, false};
    base::Writer(proposal.spi).u32(spi);
    proposal.transforms = {
        {TransformType::encr, encr::aes_gcm_16, 256},
        {TransformType::encr, encr::chacha20_poly1305, std::nullopt},
    };
    if (pfs) {
        proposal.transforms.push_back({TransformType::ke, row_of(*pfs, kGroups).id, std::nullopt});
        proposal.transforms.push_back({TransformType::ke, group::none, std::nullopt});
    }
    if (wanted_esn != Esn::no) proposal.transforms.push_back({TransformType::esn, esn::yes, std::nullopt});
    if (wanted_esn != Esn::required)
        proposal.transforms.push_back({TransformType::esn, esn::no, std::nullopt});
    return {{proposal}};
}

SaPayload offer_esp_again(std::uint32_t spi, base::EspSuite present, Esn wanted_esn, DhGroup pfs) {
    SaPayload offer = offer_esp(spi, pfs, wanted_esn);
    const auto row = std::find_if(kEspSuites.begin(), kEspSuites.end(), [&](const EspRow& each) {
        return each.suite == present;
    });
    if (contains(offer.proposals.front(), TransformType::encr, row->encryption, row->key_length))
        return offer;
    Proposal second = offer.proposals.front();
    second.number = 2;
    std::erase_if(second.transforms, [](const Transform& each) { return each.type == TransformType::encr; });
    second.transforms.push_back({TransformType::encr, row->encryption, row->key_length});
    if (row->integrity != integ::none)
        second.transforms.push_back({TransformType::integ, row->integrity, std::nullopt});
    offer.proposals.push_back(std::move(second));
    return offer;
}

std::optional<IkeChoice> choose_ike(const SaPayload& offered, std::uint16_t ke_group) {
    for (const auto& cipher : kCiphers) {
        for (const Proposal& proposal : offered.proposals) {
            if (proposal.unusable || proposal.protocol != Protocol::ike) continue;
            if (!contains(proposal, TransformType::encr, cipher.id, cipher.key_length)) continue;
            if (auto choice = choose_from(proposal, cipher, ke_group)) return choice;
        }
    }
    return std::nullopt;
}

std::optional<IkeChoice> choose_ike_again(const SaPayload& offered, std::uint16_t ke_group, Prf present) {
    SaPayload narrowed = offered;
    for (Proposal& proposal : narrowed.proposals) {
        std::erase_if(proposal.transforms, [&](const Transform& transform) {
            if (transform.type != TransformType::prf) return false;
            return std::none_of(std::begin(kPrfs), std::end(kPrfs), [&](const auto& known) {
                return known.value == present && known.id == transform.id;
            });
        });
    }
    if (auto choice = choose_ike(narrowed, ke_group)) return choice;
    return choose_ike(offered, ke_group);
}

std::optional<EspChoice> choose_esp(const SaPayload& offered, std::uint16_t ke_group, Esn wanted_esn) {
    for (const EspRow& row : kEspSuites) {
        for (const Proposal& proposal : offered.proposals) {
            if (proposal.unusable || proposal.protocol != Protocol::esp) continue;
            if (auto choice = choose_from(proposal, row, ke_group, wanted_esn)) return choice;
        }
    }
    return std::nullopt;
}

std::optional<IkeChoice> accept_ike(const SaPayload& offered, const SaPayload& answer) {
    const Proposal* proposal = chosen_proposal(offered, answer);
    if (proposal == nullptr) return std::nullopt;
    const Proposal& chosen = answer.proposals.front();
    if (chosen.spi.size() != proposal->spi.size()) return std::nullopt;
    return choose_ike(answer, group::none);
}

std::optional<EspChoice> accept_esp(const SaPayload& offered, const SaPayload& answer) {
    const Proposal* proposal = chosen_proposal(offered, answer);
    if (proposal == nullptr) return std::nullopt;
    const Proposal& chosen = answer.proposals.front();
    const auto ke =
        std::find_if(chosen.transforms.begin(), chosen.transforms.end(), [](const Transform& transform) {
            return transform.type == TransformType::ke;
        });
    auto choice = choose_esp(answer, ke == chosen.transforms.end() ? group::none : ke->id);
    // An answer that says nothing means "no", which may not have been on offer.
    if (choice && !choice->esn && !contains(*proposal, TransformType::esn, esn::no)) return std::nullopt;
    return choice;
}

}  // namespace aronet::ike
