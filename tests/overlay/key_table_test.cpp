// The rows by their columns; that Wireshark decrypts with them tests/daemon/decoding_test.cpp shows.

#include "overlay/key_table.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

base::Secret octets(std::size_t size, base::Byte first) {
    base::Secret key(size);
    for (std::size_t i = 0; i < size; ++i) key.mutable_view()[i] = static_cast<base::Byte>(first + i);
    return key;
}

ike::KeysMade keys(ike::Cipher cipher, ike::Integrity integrity) {
    ike::KeysMade made{0x0102030405060708, 0xf1f2f3f4f5f6f7f8, {}, octets(4, 1), octets(4, 0x11), {}, {}};
    made.suite.cipher = cipher;
    made.suite.integrity = integrity;
    if (integrity != ike::Integrity::none) {
        made.ai = octets(2, 0x21);
        made.ar = octets(2, 0x31);
    }
    return made;
}

}  // namespace

TEST_CASE("a row for an IKE SA has its SPIs, keys and algorithms in Wireshark's words") {
    CHECK(
        ike_row(keys(ike::Cipher::aes_gcm_256, ike::Integrity::none)) ==
        "0102030405060708,f1f2f3f4f5f6f7f8,01020304,11121314,\"AES-GCM-256 with 16 octet ICV [RFC5282]\",,,"
        "\"NONE [RFC4306]\""
    );
    CHECK(
        ike_row(keys(ike::Cipher::aes_cbc_128, ike::Integrity::hmac_sha2_256_128)) ==
        "0102030405060708,f1f2f3f4f5f6f7f8,01020304,11121314,\"AES-CBC-128 [RFC3602]\",2122,3132,"
        "\"HMAC_SHA2_256_128 [RFC4868]\""
    );
    CHECK(ike_row(keys(ike::Cipher::chacha20_poly1305, ike::Integrity::none)).empty());
}
