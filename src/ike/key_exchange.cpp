// The Diffie-Hellman groups of ike/crypto.hpp: Curve25519 (RFC 8031) and the 256-bit random ECP group (RFC
// 5903).

#include "ike/crypto.hpp"
#include "ike/openssl.hpp"

#include <sodium.h>

#include <algorithm>

namespace aronet::ike {
namespace {

constexpr std::size_t kScalar = 32;

// The private key is drawn from `random`, not from OpenSSL's generator: equal seeds must give equal runs.
struct P256 {
    Group group{EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)};
    BigNumberContext context{BN_CTX_secure_new()};

    BigNumber number(ByteView bytes) const {
        return BigNumber(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    }
    bool is_scalar(const BIGNUM* number) const {
        return !BN_is_zero(number) && BN_cmp(number, EC_GROUP_get0_order(group.get())) < 0;
    }
    // x | y, as the KE payload has it (RFC 5903 7).
    Bytes coordinates(const EC_POINT* point) const {
        Bytes out(2 * kScalar);
        const BigNumber x(BN_new()), y(BN_new());
        base::ensure(
            EC_POINT_get_affine_coordinates(group.get(), point, x.get(), y.get(), context.get()) == 1,
            "a point that is not infinity has coordinates"
        );
        BN_bn2binpad(x.get(), out.data(), kScalar);
        BN_bn2binpad(y.get(), out.data() + kScalar, kScalar);
        return out;
    }
};

KeyPair generate_p256(base::Random& random) {
    const P256 curve;
    KeyPair pair{DhGroup::ecp256, Secret(kScalar), {}};
    BigNumber scalar;
    do {
        random.fill(pair.private_key.mutable_view());
        scalar = curve.number(pair.private_key.view());
    } while (!curve.is_scalar(scalar.get()));
    const Point point(EC_POINT_new(curve.group.get()));
    base::ensure(
        EC_POINT_mul(curve.group.get(), point.get(), scalar.get(), nullptr, nullptr, curve.context.get()) ==
            1,
        "the generator can be multiplied"
    );
    pair.public_value = curve.coordinates(point.get());
    return pair;
}

std::optional<Secret> shared_p256(const KeyPair& own, ByteView peer_value) {
    const P256 curve;
    const BigNumber x = curve.number(peer_value.first(kScalar)), y = curve.number(peer_value.last(kScalar));
    const Point peer(EC_POINT_new(curve.group.get())), shared(EC_POINT_new(curve.group.get()));
    // Refuses a point that is not on the curve; the cofactor is 1, so every other one is of full order.
    if (EC_POINT_set_affine_coordinates(
            curve.group.get(), peer.get(), x.get(), y.get(), curve.context.get()
        ) != 1) {
        return std::nullopt;
    }
    const BigNumber scalar = curve.number(own.private_key.view());
    if (EC_POINT_mul(
            curve.group.get(), shared.get(), nullptr, peer.get(), scalar.get(), curve.context.get()
        ) != 1 ||
        EC_POINT_is_at_infinity(curve.group.get(), shared.get()) == 1) {
        return std::nullopt;
    }
    Bytes both = curve.coordinates(shared.get());
    Secret secret(ByteView(both).first(kScalar));
    base::wipe(both);
    return secret;
}

KeyPair generate_x25519(base::Random& random) {
    KeyPair pair{DhGroup::curve25519, Secret(kScalar), Bytes(kScalar)};
    random.fill(pair.private_key.mutable_view());
    crypto_scalarmult_base(pair.public_value.data(), pair.private_key.view().data());
    return pair;
}

std::optional<Secret> shared_x25519(const KeyPair& own, ByteView peer_value) {
    Secret secret(kScalar);
    // Fails when the result is all zeros: the peer sent a point of small order.
    if (crypto_scalarmult(secret.mutable_view().data(), own.private_key.view().data(), peer_value.data()) !=
        0) {
        return std::nullopt;
    }
    return secret;
}

}  // namespace

std::size_t public_value_size(DhGroup group) { return group == DhGroup::ecp256 ? 64 : 32; }

KeyPair generate(DhGroup group, base::Random& random) {
    return group == DhGroup::ecp256 ? generate_p256(random) : generate_x25519(random);
}

std::optional<Secret> shared_secret(const KeyPair& own, ByteView peer_value) {
    if (peer_value.size() != public_value_size(own.group)) return std::nullopt;
    return own.group == DhGroup::ecp256 ? shared_p256(own, peer_value) : shared_x25519(own, peer_value);
}

}  // namespace aronet::ike
