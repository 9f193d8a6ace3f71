#include "esp/cipher.hpp"

#include "esp/fixtures.hpp"

#include <openssl/hmac.h>

using namespace aronet::esp;
using namespace aronet::esp::test;
using aronet::base::Direction;
using aronet::base::from_hex;
using aronet::base::to_hex;

namespace {

struct Vector {
    const char* name;
    EspSuite suite;
    std::string key, spi, high, low, iv, plaintext, ciphertext;  // high: empty without ESN
};

const Vector kVectors[] = {
    {"RFC 7634 appendix A",
     EspSuite::chacha20_poly1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3",
     "01020304",
     "",
     "00000005",
     "1011121314151617",
     "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
     "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
     "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7"
     "2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
     "76aaa8266b7fb0f7b11b369907e1ad43"},
    {"draft-mcgrew-gcm-test-01, 128 bits with ESN",
     EspSuite::aes_gcm_128,
     "4c80cdefbb5d10da906ac73c3613a6342e443b68",
     "00004321",
     "87654321",
     "00000000",
     "4956ed7e3b244cfe",
     "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f7564700373"
     "69700963796265726369747902646b000021000101020201",
     "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d"
     "15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4"},
    {"draft-mcgrew-gcm-test-01, 192 bits",
     EspSuite::aes_gcm_192,
     "feffe9928665731c6d6a8f9467308308feffe9928665731ccafebabe",
     "0000a5f8",
     "",
     "0000000a",
     "facedbaddecaf888",
     "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
     "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77"
     "95457b9652037f5318027b5b4cd7a636"},
    {"draft-mcgrew-gcm-test-01, 256 bits",
     EspSuite::aes_gcm_256,
     "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344",
     "4a2cbfe3",
     "",
     "00000002",
     "0102030405060708",
     "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402"
     "01020201",
     "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99d"
     "ef842d8eb335f4eecfdbf831824b4c4915956c96"},
};

std::optional<std::uint32_t> number(const std::string& hex) {
    if (hex.empty()) return std::nullopt;
    return static_cast<std::uint32_t>(std::stoul(hex, nullptr, 16));
}

}  // namespace

TEST_CASE("the published vectors are sealed and opened octet for octet") {
    for (const auto& vector : kVectors) {
        INFO(vector.name);
        const auto key = *from_hex(vector.key);
        auto seal = Cipher::make(vector.suite, Direction::out, key);
        auto open = Cipher::make(vector.suite, Direction::in, key);
        REQUIRE((seal && open));
        const std::string front = vector.spi + vector.low + vector.iv;
        auto packet = *from_hex(front + vector.plaintext + std::string(32, '0'));
        REQUIRE(seal->seal(packet, number(vector.high)));
        CHECK(to_hex(packet) == front + vector.ciphertext);
        REQUIRE(open->open(packet, number(vector.high)));
        CHECK(to_hex(packet).substr(0, (front + vector.plaintext).size()) == front + vector.plaintext);
    }
}

TEST_CASE("CBC with HMAC equals the library's own primitives put together") {
    for (const auto suite :
         {EspSuite::aes_cbc_128_sha256, EspSuite::aes_cbc_256_sha256, EspSuite::aes_cbc_256_sha512})
        for (const bool esn : {false, true}) {
            const auto value = sa(Direction::out, suite);
            auto cipher = Cipher::make(suite, Direction::out, value.key.view());
            REQUIRE(cipher);
            Bytes packet(8 + 16 + 48 + cipher->icv_size());
            for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<Byte>(i * 3);
            const Bytes before = packet;
            REQUIRE(cipher->seal(packet, esn ? std::optional(0x01020304u) : std::nullopt));

            const bool small = suite == EspSuite::aes_cbc_128_sha256;
            const auto* raw = small ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
            const auto* digest = suite == EspSuite::aes_cbc_256_sha512 ? EVP_sha512() : EVP_sha256();
            const std::size_t key_size = small ? 16 : 32;
            Bytes expected(before.begin(), before.begin() + 24);
            expected.resize(24 + 64);
            EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
            int written = 0;
            EVP_EncryptInit_ex(context, raw, nullptr, value.key.view().data(), before.data() + 8);
            EVP_EncryptUpdate(context, expected.data() + 24, &written, before.data() + 24, 48);
            EVP_CIPHER_CTX_free(context);
            REQUIRE(written == 48);
            expected.resize(24 + 48);
            Bytes covered = expected;
            if (esn) covered.insert(covered.end(), {1, 2, 3, 4});
            Bytes icv(EVP_MAX_MD_SIZE);
            const ByteView integrity_key = value.key.view().subspan(key_size);
            HMAC(
                digest,
                integrity_key.data(),
                static_cast<int>(integrity_key.size()),
                covered.data(),
                covered.size(),
                icv.data(),
                nullptr
            );
            expected.insert(expected.end(), icv.begin(), icv.begin() + static_cast<long>(cipher->icv_size()));
            CHECK(to_hex(packet) == to_hex(expected));
        }
}

TEST_CASE("a cipher wants exactly the key of its suite") {
    for (const auto suite : kSuites) {
        const auto size = aronet::base::key_size(suite);
        CHECK(Cipher::make(suite, Direction::in, Bytes(size)));
        CHECK_FALSE(Cipher::make(suite, Direction::in, Bytes(size - 1)));
        CHECK_FALSE(Cipher::make(suite, Direction::in, Bytes(size + 1)));
        CHECK_FALSE(Cipher::make(suite, Direction::in, Bytes{}));
    }
}
