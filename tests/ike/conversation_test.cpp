// Two conversations of strongSwan 5.9.8 that we recorded, byte for byte: parsing, keys, decryption, AUTH,
// KEYMAT.

#include "ike/fragments.hpp"
#include "ike/keys.hpp"
#include "ike/message.hpp"
#include "ike/proposal.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

using namespace aronet;
using namespace aronet::ike;
using nlohmann::json;

namespace {

json load(const std::string& name) {
    std::ifstream file(std::string(ARONET_SOURCE_DIR) + "/tests/vectors/ike/" + name);
    REQUIRE(file.good());
    return json::parse(file);
}

Bytes hex(const json& object, const char* key) { return *base::from_hex(object.at(key).get<std::string>()); }

std::uint64_t spi(const json& object, const char* key) {
    return std::stoull(object.at(key).get<std::string>(), nullptr, 16);
}

Prf prf_named(int id) {
    return id == 5 ? Prf::hmac_sha2_256 : id == 6 ? Prf::hmac_sha2_384 : Prf::hmac_sha2_512;
}

IkeCipherSuite suite_of(const json& sa) {
    IkeCipherSuite suite;
    suite.prf = prf_named(sa.at("prf"));
    if (sa.at("encr") == 12) {
        suite.cipher = Cipher::aes_cbc_128;
        suite.integrity = Integrity::hmac_sha2_256_128;
    }
    return suite;
}

struct RecordedSa {
    IkeCipherSuite suite;
    IkeKeys keys;
    Opener from(bool initiator) const {
        return {
            &suite, initiator ? keys.ei.view() : keys.er.view(), initiator ? keys.ai.view() : keys.ar.view()};
    }
};

bool same(const Secret& secret, const Bytes& expected) {
    return Bytes(secret.view().begin(), secret.view().end()) == expected;
}

void check_keys(const IkeKeys& keys, const json& sa) {
    CHECK(same(keys.d, hex(sa, "sk_d")));
    CHECK(same(keys.ai, hex(sa, "sk_ai")));
    CHECK(same(keys.ar, hex(sa, "sk_ar")));
    CHECK(same(keys.ei, hex(sa, "sk_ei")));
    CHECK(same(keys.er, hex(sa, "sk_er")));
    CHECK(same(keys.pi, hex(sa, "sk_pi")));
    CHECK(same(keys.pr, hex(sa, "sk_pr")));
}

std::map<std::uint64_t, RecordedSa> derive(const json& conversation) {
    std::map<std::uint64_t, RecordedSa> sas;
    for (const json& sa : conversation.at("ike_sas")) {
        const Nonces nonces{hex(sa, "ni"), hex(sa, "nr")};
        const Secret dh{ByteView(hex(sa, "g_ir"))};
        RecordedSa recorded{suite_of(sa), {}};
        if (sa.contains("rekey_of")) {
            const RecordedSa& old = sas.at(spi(sa, "rekey_of"));
            recorded.keys = derive_rekeyed_keys(
                old.suite.prf, old.keys.d, recorded.suite, nonces, dh, spi(sa, "spi_i"), spi(sa, "spi_r")
            );
        } else {
            recorded.keys = derive_ike_keys(recorded.suite, nonces, dh, spi(sa, "spi_i"), spi(sa, "spi_r"));
        }
        check_keys(recorded.keys, sa);
        sas.emplace(spi(sa, "spi_i"), std::move(recorded));
    }
    return sas;
}

// Decrypts every message and compares it with the recorded plaintext, which must also encode back to itself.
void check_messages(const json& conversation) {
    const auto sas = derive(conversation);
    Fragments fragments;
    int opened = 0;
    for (const json& recorded : conversation.at("messages")) {
        const Bytes bytes = hex(recorded, "bytes");
        const auto raw = parse(bytes);
        REQUIRE(raw.has_value());
        if (!is_protected(*raw)) {
            const auto message = decode(*raw);
            REQUIRE(message.has_value());
            CHECK(encode(message->header, message->payloads) == bytes);
            continue;
        }
        const Opener opener = sas.at(raw->header.spi_i).from(raw->header.from_initiator());
        base::Result<Message, Drop> message = Drop::incomplete;
        if (is_fragment(*raw)) {
            auto fragment = open_fragment(*raw, opener);
            REQUIRE(fragment.has_value());
            message = fragments.add(raw->header, std::move(*fragment));
            if (!recorded.contains("plaintext")) {
                CHECK(message.error() == Drop::incomplete);
                continue;
            }
        } else {
            message = open(*raw, opener);
        }
        REQUIRE(message.has_value());
        Header inner = message->header;
        const Bytes again = encode(inner, message->payloads);
        CHECK(Bytes(again.begin() + kHeaderSize, again.end()) == hex(recorded, "plaintext"));
        CHECK(again[16] == recorded.at("first_inner_payload").get<int>());
        ++opened;
    }
    CHECK(opened >= 12);
}

void check_children(const json& conversation) {
    const auto sas = derive(conversation);
    for (const json& child : conversation.at("child_sas")) {
        const RecordedSa& sa = sas.at(spi(child, "ike_spi_i"));
        const auto suite =
            child.at("encr") == 28 ? base::EspSuite::chacha20_poly1305 : base::EspSuite::aes_gcm_128;
        const Bytes dh = hex(child, "g_ir");
        const ChildKeys keys = derive_child_keys(
            sa.suite.prf,
            sa.keys.d,
            suite,
            {hex(child, "seed_ni"), hex(child, "seed_nr")},
            Secret{ByteView(dh)}
        );
        CHECK(same(keys.initiator_to_responder, hex(child, "key_i_to_r")));
        CHECK(same(keys.responder_to_initiator, hex(child, "key_r_to_i")));
    }
}

PublicKey public_key(const std::string& peer) {
    std::ifstream file(std::string(ARONET_SOURCE_DIR) + "/tests/vectors/ike/peer-" + peer + ".pub.pem");
    const std::string pem((std::istreambuf_iterator<char>(file)), {});
    const auto key = parse_public_key(pem);
    REQUIRE(key.has_value());
    return *key;
}

Secret private_key(const std::string& peer) {
    std::ifstream file(std::string(ARONET_SOURCE_DIR) + "/tests/vectors/ike/peer-" + peer + ".key.pem");
    const std::string pem((std::istreambuf_iterator<char>(file)), {});
    auto key = parse_private_key(pem);
    REQUIRE(key.has_value());
    return std::move(*key);
}

// The AUTH of both sides over what they really sent, and our own signature of the same octets, which Ed25519
// makes equal.
void check_auth(const json& conversation) {
    const auto sas = derive(conversation);
    const json& first_sa = conversation.at("ike_sas").at(0);
    const RecordedSa& sa = sas.at(spi(first_sa, "spi_i"));
    const Bytes init_request = hex(conversation.at("messages").at(0), "bytes");
    const Bytes init_response = hex(conversation.at("messages").at(1), "bytes");
    int checked = 0;
    for (const json& recorded : conversation.at("messages")) {
        if (!recorded.contains("auth")) continue;
        const bool initiator = recorded.at("initiator_flag");
        const auto chain = decode_chain(
            {}, recorded.at("first_inner_payload").get<std::uint8_t>(), hex(recorded, "plaintext")
        );
        REQUIRE(chain.has_value());
        const IdPayload* id = chain->find_id(!initiator);
        const AuthPayload* auth = chain->find<AuthPayload>();
        REQUIRE(id != nullptr);
        REQUIRE(auth != nullptr);
        CHECK(auth->method == auth_method::digital_signature);
        const Bytes octets = signed_octets(
            sa.suite.prf,
            initiator ? init_request : init_response,
            hex(first_sa, initiator ? "nr" : "ni"),
            initiator ? sa.keys.pi : sa.keys.pr,
            id->body
        );
        const std::string signer = recorded.at("auth").at("signer");
        CHECK(verify_auth_data(public_key(signer), octets, auth->data));
        CHECK(make_auth_data(private_key(signer), octets) == auth->data);
        Bytes other = octets;
        other.back() ^= 1;
        CHECK_FALSE(verify_auth_data(public_key(signer), other, auth->data));
        ++checked;
    }
    CHECK(checked == 2);
}

}  // namespace

TEST_CASE(
    "a recorded conversation with AES-CBC and HMAC decrypts to its plaintext and encodes back to its bytes"
) {
    check_messages(load("t1-cbc-default-proposals.json"));
}

TEST_CASE(
    "a recorded conversation with AES-GCM in fragments decrypts to its plaintext and encodes back to its "
    "bytes"
) {
    check_messages(load("t2-aesgcm256-prf512-frag-pfs-esn.json"));
}

TEST_CASE("the keys of recorded children are derived, with and without PFS") {
    check_children(load("t1-cbc-default-proposals.json"));
    check_children(load("t2-aesgcm256-prf512-frag-pfs-esn.json"));
}

TEST_CASE(
    "the AUTH payloads of recorded conversations verify, and our signature over the same octets is the same"
) {
    check_auth(load("t1-cbc-default-proposals.json"));
    check_auth(load("t2-aesgcm256-prf512-frag-pfs-esn.json"));
}

TEST_CASE("NIST's values of the key derivation come out") {
    const json vectors = load("cavp-ikev2-kdf.json");
    int count = 0;
    for (const auto& [title, list] : vectors.items()) {
        if (!list.is_array()) continue;
        for (const json& vector : list) {
            const std::string name = vector.at("prf");
            const Prf which = name.ends_with("256")   ? Prf::hmac_sha2_256
                              : name.ends_with("384") ? Prf::hmac_sha2_384
                                                      : Prf::hmac_sha2_512;
            const Bytes key = hex(vector, "key"), salt = hex(vector, "salt"), out = hex(vector, "out");
            INFO(vector.at("id"));
            if (title.starts_with("prf_plus")) {
                CHECK(same(prf_plus(which, key, {salt}, out.size()), out));
            } else {
                CHECK(same(prf(which, salt, {key}), out));
            }
            ++count;
        }
    }
    CHECK(count == 13);
}

TEST_CASE("a shared secret of the recording comes out of the recorded values' curve") {
    const json sa = load("t1-cbc-default-proposals.json").at("ike_sas").at(0);
    CHECK(hex(sa, "ke_i").size() == public_value_size(DhGroup::curve25519));
    base::Random random = base::Random::from_number(1);
    for (const DhGroup group : {DhGroup::curve25519, DhGroup::ecp256}) {
        const KeyPair a = generate(group, random), b = generate(group, random);
        const auto ab = shared_secret(a, b.public_value), ba = shared_secret(b, a.public_value);
        REQUIRE(ab.has_value());
        REQUIRE(ba.has_value());
        CHECK(*ab == *ba);
        CHECK_FALSE(shared_secret(a, Bytes(public_value_size(group), 0)).has_value());
        CHECK_FALSE(shared_secret(a, Bytes(public_value_size(group) - 1, 9)).has_value());
    }
}

TEST_CASE("strongSwan's default offer is answered with what we like best in it") {
    const json conversation = load("t1-cbc-default-proposals.json");
    const Bytes bytes = hex(conversation.at("messages").at(0), "bytes");
    const auto request = decode(*parse(bytes));
    REQUIRE(request.has_value());
    const auto* offered = request->find<SaPayload>();
    REQUIRE(offered != nullptr);
    const auto choice = choose_ike(*offered, request->find<KePayload>()->group);
    REQUIRE(choice.has_value());
    CHECK(choice->suite.to_string() == "aes256gcm16-prfsha512-x25519");
    CHECK(accept_ike(*offered, SaPayload{{choice->answer}}).has_value());
    // One that was not offered, or two of a type, is no answer.
    Proposal twice = choice->answer;
    twice.transforms.push_back({TransformType::encr, encr::aes_gcm_16, 128});
    CHECK_FALSE(accept_ike(*offered, SaPayload{{twice}}).has_value());
    CHECK_FALSE(accept_ike(offer_ike(false), SaPayload{{twice}}).has_value());
}
