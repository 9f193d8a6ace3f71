#include "ike/keys.hpp"

namespace aronet::ike {
namespace {

constexpr std::array<base::Byte, 7> kEd25519Algorithm{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

IkeKeys expand(
    const IkeCipherSuite& suite,
    const Secret& skeyseed,
    const Nonces& nonces,
    std::uint64_t spi_i,
    std::uint64_t spi_r
) {
    const std::size_t d = output_size(suite.prf), a = key_size(suite.integrity), e = key_size(suite.cipher);
    const Secret stream = prf_plus(
        suite.prf,
        skeyseed.view(),
        {nonces.initiator, nonces.responder, ike_spi_bytes(spi_i), ike_spi_bytes(spi_r)},
        3 * d + 2 * a + 2 * e
    );
    base::Reader in(stream.view());
    const auto take = [&](std::size_t size) { return Secret(in.take(size)); };
    IkeKeys keys;
    keys.d = take(d);
    keys.ai = take(a);
    keys.ar = take(a);
    keys.ei = take(e);
    keys.er = take(e);
    keys.pi = take(d);
    keys.pr = take(d);
    return keys;
}

}  // namespace

IkeKeys derive_ike_keys(
    const IkeCipherSuite& suite,
    const Nonces& nonces,
    const Secret& dh,
    std::uint64_t spi_i,
    std::uint64_t spi_r
) {
    Bytes key = nonces.initiator;
    key.insert(key.end(), nonces.responder.begin(), nonces.responder.end());
    const Secret skeyseed = prf(suite.prf, key, {dh.view()});
    return expand(suite, skeyseed, nonces, spi_i, spi_r);
}

IkeKeys derive_rekeyed_keys(
    Prf old_prf,
    const Secret& old_d,
    const IkeCipherSuite& suite,
    const Nonces& nonces,
    const Secret& dh,
    std::uint64_t spi_i,
    std::uint64_t spi_r
) {
    const Secret skeyseed = prf(old_prf, old_d.view(), {dh.view(), nonces.initiator, nonces.responder});
    return expand(suite, skeyseed, nonces, spi_i, spi_r);
}

PpkKeys mix_ppk(Prf which, ByteView ppk, const IkeKeys& keys) {
    const auto mix = [&](const Secret& key) { return prf_plus(which, ppk, {key.view()}, key.size()); };
    return {mix(keys.d), mix(keys.pi), mix(keys.pr)};
}

ChildKeys derive_child_keys(
    Prf prf, const Secret& d, base::EspSuite suite, const Nonces& nonces, const Secret& dh
) {
    const std::size_t size = base::key_size(suite);
    const Secret stream = prf_plus(prf, d.view(), {dh.view(), nonces.initiator, nonces.responder}, 2 * size);
    return {Secret(stream.view().first(size)), Secret(stream.view().subspan(size))};
}

Bytes signed_octets(
    Prf which, ByteView own_init_message, ByteView peer_nonce, const Secret& sk_p, ByteView id_body
) {
    Bytes octets(own_init_message.begin(), own_init_message.end());
    octets.insert(octets.end(), peer_nonce.begin(), peer_nonce.end());
    const Secret maced_id = prf(which, sk_p.view(), {id_body});
    octets.insert(octets.end(), maced_id.view().begin(), maced_id.view().end());
    return octets;
}

Bytes make_auth_data(const SigningKey& key, ByteView octets) {
    Bytes data(1, static_cast<base::Byte>(kEd25519Algorithm.size()));
    data.insert(data.end(), kEd25519Algorithm.begin(), kEd25519Algorithm.end());
    const Signature signature = sign(key, octets);
    data.insert(data.end(), signature.begin(), signature.end());
    return data;
}

bool verify_auth_data(const PublicKey& key, ByteView octets, ByteView auth_data) {
    base::Reader in(auth_data);
    if (in.u8() != kEd25519Algorithm.size()) return false;
    const ByteView algorithm = in.take(kEd25519Algorithm.size());
    const ByteView signature = in.rest();
    return std::equal(
               algorithm.begin(), algorithm.end(), kEd25519Algorithm.begin(), kEd25519Algorithm.end()
           ) &&
           signature.size() == 64 && verify(key, octets, signature);
}

Secret shared_key_auth_data(Prf which, ByteView shared_secret, ByteView octets) {
    const Secret padded = prf(which, shared_secret, {base::as_bytes("Key Pad for IKEv2")});
    return prf(which, padded.view(), {octets});
}

}  // namespace aronet::ike
