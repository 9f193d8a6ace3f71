// Any bytes as an IKE message: the header, the payload chain, and what is inside SK once the key is known.
// Whatever is accepted must encode back to the same payloads.

#include "ike/fragments.hpp"
#include "ike/message.hpp"
#include "ike/proposal.hpp"

#include <algorithm>
#include <cstdlib>

using namespace aronet;
using namespace aronet::ike;

namespace {

// Proposals and selectors of kinds that we do not know are passed over, so such a message is not written as
// it was read.
bool is_written_as_read(const Message& message) {
    return std::none_of(message.payloads.begin(), message.payloads.end(), [](const Payload& payload) {
        return std::holds_alternative<SaPayload>(payload) || std::holds_alternative<TsPayload>(payload);
    });
}

void check_round_trip(const Message& message) {
    if (!is_written_as_read(message)) return;
    const Bytes bytes = encode(message.header, message.payloads);
    const auto raw = parse(bytes);
    if (!raw) std::abort();
    const auto again = decode(*raw);
    if (!again || again->payloads.size() != message.payloads.size()) std::abort();
    for (std::size_t i = 0; i < message.payloads.size(); ++i) {
        if (!(again->payloads[i] == message.payloads[i])) std::abort();
    }
}

void choose(const Message& message) {
    const auto* sa = message.find<SaPayload>();
    if (sa == nullptr) return;
    (void)choose_ike(*sa, group::curve25519);
    (void)choose_esp(*sa, group::none);
    (void)accept_ike(offer_ike(true), *sa);
    (void)accept_esp(offer_esp(0x1000), *sa);
}

// The same bytes as the plaintext of a sealed message, so that the fuzzer reaches behind the integrity check.
void check_inside(ByteView bytes, const IkeCipherSuite& suite) {
    const Bytes key(key_size(suite.cipher), 7), integrity(key_size(suite.integrity), 9);
    if (bytes.empty()) return;
    const auto chain = decode_chain({}, bytes[0], bytes.subspan(1));
    if (!chain) return;
    choose(*chain);
    if (!is_written_as_read(*chain)) return;
    std::uint64_t iv = 1;
    base::Random random = base::Random::from_number(1);
    const Sealer sealer{&suite, key, integrity, &iv, &random};
    const Opener opener{&suite, key, integrity};
    Fragments fragments;
    for (const Bytes& part : seal_in_fragments(chain->header, chain->payloads, sealer, 300)) {
        const auto raw = parse(part);
        if (!raw) std::abort();
        if (!is_fragment(*raw)) {
            if (!open(*raw, opener)) std::abort();
        } else if (auto fragment = open_fragment(*raw, opener)) {
            (void)fragments.add(raw->header, std::move(*fragment));
        } else {
            std::abort();
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    const IkeCipherSuite aead,
        cbc{Cipher::aes_cbc_128, Integrity::hmac_sha2_256_128, Prf::hmac_sha2_256, DhGroup::curve25519};
    if (const auto raw = parse(bytes)) {
        const Bytes key(64, 7);
        for (const IkeCipherSuite& suite : {aead, cbc}) {
            const Opener opener{
                &suite,
                ByteView(key).first(key_size(suite.cipher)),
                ByteView(key).first(key_size(suite.integrity))};
            (void)open(*raw, opener);
            (void)open_fragment(*raw, opener);
        }
        if (const auto message = decode(*raw)) {
            check_round_trip(*message);
            choose(*message);
        }
    }
    check_inside(bytes, aead);
    check_inside(bytes, cbc);
    return 0;
}
