// Registries as bytes: signatures over all of them, and the copy that is kept.

#include "overlay/kept_registry.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

const std::string kSource = "https://example.org/registry.json";

base::Secret seed(base::Byte fill) {
    base::Secret out(32);
    std::fill(out.mutable_view().begin(), out.mutable_view().end(), fill);
    return out;
}

std::string sign(const std::string& text, base::Byte key) {
    return ike::signature_to_text(ike::sign(ike::SigningKey(seed(key)), base::as_bytes(text)));
}

std::string registry_text() {
    std::string pem = ike::public_key_to_pem(ike::public_key_of(seed(9))), escaped;
    for (const char c : pem) escaped += c == '\n' ? "\\n" : std::string(1, c);
    return R"([{"public_key": ")" + escaped +
           R"(", "organization": "acme", "nodes": [{"common_name": "one", "endpoints": [],)" +
           R"( "remarks": {"network": "fd66::/64"}}]}])" + "\n";
}

RegistryText text_of(const std::string& text, const std::string& signature = "") {
    return {text, signature, {"\"etag\"", "Sun, 06 Nov 1994 08:49:37 GMT", ""}};
}

}  // namespace

TEST_CASE("a good registry is taken, with what it will be known by") {
    const RegistryLooked looked = accept(text_of(registry_text()), kSource, {}, "");
    REQUIRE(looked.registry);
    CHECK(looked.registry->nodes.size() == 1);
    CHECK(looked.edition.tag == "\"etag\"");
    CHECK(looked.edition.version == looked.registry->version);
    CHECK(looked.error.empty());
    const RegistryLooked again = accept(text_of(registry_text()), kSource, {}, looked.edition.version);
    CHECK_FALSE(again.registry);
    CHECK(again.error.empty());
    CHECK(again.edition == looked.edition);
}

TEST_CASE("a bad registry is refused with its first error, and told of in full") {
    const RegistryLooked looked = accept(text_of("[{\"organization\": 7}]"), kSource, {}, "");
    CHECK_FALSE(looked.registry);
    CHECK(looked.is_refused);
    CHECK(looked.error == "not usable: line 1: [0].nodes: is missing");
    CHECK(looked.notes.size() == 3);
    CHECK(looked.notes.front().text.find(kSource + ":1:2: [0].nodes") == 0);
    CHECK(looked.edition.tag == "\"etag\"");  // it need not be fetched again as long as it is there
    CHECK(looked.edition.version.empty());
    for (const char* text : {"", "[", "[{}", "\0", "null"})
        CHECK(accept(text_of(text), kSource, {}, "").is_refused);
}

TEST_CASE("where keys are asked for, a registry counts that one of them has signed to its last octet") {
    const std::string text = registry_text();
    const std::vector<ike::PublicKey> keys{ike::public_key_of(seed(1)), ike::public_key_of(seed(2))};
    CHECK(accept(text_of(text, sign(text, 1)), kSource, keys, "").registry);
    CHECK(accept(text_of(text, sign(text, 2)), kSource, keys, "").registry);
    const auto refused = [&](const std::string& given, const std::string& signature) {
        const RegistryLooked looked = accept(text_of(given, signature), kSource, keys, "");
        CHECK(looked.is_refused);
        CHECK_FALSE(looked.registry);
        CHECK(looked.edition == Edition{});  // the signature may still come
        return looked.error;
    };
    const std::string not_signed = "the signature is not one of this text by registry.public_key";
    CHECK(refused(text, sign(text, 3)) == not_signed);
    CHECK(refused(text + " ", sign(text, 1)) == not_signed);
    CHECK(refused(text.substr(0, text.size() - 1), sign(text, 1)) == not_signed);
    CHECK(refused(text, "").find("the signature: expected 64 octets") == 0);
    CHECK(refused(text, "rubbish").find("the signature: expected 64 octets") == 0);
}

TEST_CASE("the signature counts before anything is parsed, and for what is known already") {
    const std::string text = registry_text();
    const std::vector<ike::PublicKey> keys{ike::public_key_of(seed(1))};
    CHECK(accept(text_of("[", ""), kSource, keys, "").notes.empty());
    const std::string version = accept(text_of(text), kSource, {}, "").edition.version;
    CHECK(accept(text_of(text, sign(text, 3)), kSource, keys, version).is_refused);
}

TEST_CASE("a copy gives back every octet, and how to ask for what comes after it") {
    const std::string text = registry_text();
    const RegistryText good = text_of(text, sign(text, 1));
    const std::string file = encode_copy(good, kSource);
    const auto copy = decode_copy(file, kSource);
    REQUIRE(copy);
    CHECK(copy->text == text);
    CHECK(copy->edition == good.edition);
    const std::vector<ike::PublicKey> keys{ike::public_key_of(seed(1))};
    CHECK(accept(*copy, kSource, keys, "").registry);
    // It can be loaded as it is.
    CHECK(accept(text_of(file), kSource, {}, "").registry);
}

TEST_CASE("a copy of another source, or one that is torn or altered, is none") {
    const std::string text = registry_text(), file = encode_copy(text_of(text), kSource);
    CHECK_FALSE(decode_copy(file, "https://example.org/other.json"));
    for (std::size_t size = 0; size < file.size(); ++size)
        CHECK_FALSE(decode_copy(file.substr(0, size), kSource));
    CHECK_FALSE(decode_copy(file + " ", kSource));
    std::string altered = file;
    altered[file.size() - 10] ^= 1;
    CHECK_FALSE(decode_copy(altered, kSource));
    CHECK_FALSE(decode_copy(text, kSource));
    CHECK_FALSE(decode_copy("# [1, 2]\n" + text, kSource));
    CHECK_FALSE(decode_copy("# {\"source\": 7}\n" + text, kSource));
}

TEST_CASE("a copy survives what servers call their editions") {
    RegistryText odd = text_of(registry_text());
    odd.edition = {"W/\"\xff\x01\n\"", "\xc3\xa4", ""};
    const auto copy = decode_copy(encode_copy(odd, kSource), kSource);
    REQUIRE(copy);
    CHECK(copy->text == odd.text);
}
