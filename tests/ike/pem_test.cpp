// Keys as PEM: what is written is read again, and what is none is refused by what is wrong with it.

#include "ike/crypto.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;

namespace {

base::Secret some_seed() {
    base::Secret seed(32);
    base::Random::from_number(5).fill(seed.mutable_view());
    return seed;
}

std::string refusal_of(const std::string& pem) {
    const auto key = parse_public_key(pem);
    REQUIRE_FALSE(key.has_value());
    return key.error().text;
}

bool says(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("keys are written as PEM and read again") {
    const base::Secret seed = some_seed();
    const auto secret = parse_private_key(private_key_to_pem(seed));
    REQUIRE(secret.has_value());
    CHECK(*secret == seed);
    const PublicKey key = public_key_of(seed);
    const auto read = parse_public_key(public_key_to_pem(key));
    REQUIRE(read.has_value());
    CHECK(*read == key);
}

TEST_CASE("a PEM that is no key of ours is refused by what is wrong with it") {
    const std::string pem = public_key_to_pem(public_key_of(some_seed()));
    std::string rubbish = pem;
    rubbish[pem.find('\n') + 5] = '*';
    CHECK(says(refusal_of(rubbish), "not base64"));
    std::string other = pem;
    other[pem.find('\n') + 1] = 'N';  // another type of DER
    CHECK(says(refusal_of(other), "of another kind"));
    CHECK(says(refusal_of(pem + "more"), "more text"));
    CHECK(says(refusal_of(private_key_to_pem(some_seed())), "PUBLIC KEY"));
    CHECK(says(refusal_of(public_key_to_pem(PublicKey{})), "not a valid point"));  // of small order
}

TEST_CASE("a signature is a file in base64, or its bare octets, and nothing else") {
    const Signature signature = sign(SigningKey(some_seed()), base::as_bytes("a text"));
    const std::string text = signature_to_text(signature), bare(signature.begin(), signature.end());
    CHECK(text.size() == 89);
    CHECK(text.back() == '\n');
    for (const std::string& file :
         {text, bare, "\r\n" + text + "\n", text.substr(0, 40) + "\n" + text.substr(40)}) {
        const auto read = parse_signature(file);
        REQUIRE(read.has_value());
        CHECK(*read == signature);
        CHECK(verify(public_key_of(some_seed()), base::as_bytes("a text"), *read));
    }
    const std::string longer = text.substr(0, 88) + text, rubbish = "*" + text;
    for (const std::string& file :
         {std::string(), std::string("\n"), text.substr(0, 84), longer, rubbish, bare + "x"})
        CHECK(says(parse_signature(file).error().text, "64 octets"));
}
