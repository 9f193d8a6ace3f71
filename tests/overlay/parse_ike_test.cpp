#include "overlay/parse.hpp"
#include "overlay/topology.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;

namespace {

// A router's configuration with these elements of ike.peers; there is one file, "a.psk".
std::optional<Config> parsed(const std::string& peers, Problems& problems) {
    const std::string text =
        R"({"daemon": {"mode": "none"}, "endpoints": [], "babel": {"interfaces": ["e"]}, )"
        R"("ike": {"peers": [)" +
        peers + "]}}";
    const ReadKey read_key = [](const std::string& path) -> base::Result<base::Secret> {
        if (path == "a.psk") return base::Secret(base::as_bytes("0x" + std::string(64, '5') + "\n"));
        return base::Error{"cannot read " + path};
    };
    return parse_config(text, "config.json", read_key, problems);
}

std::vector<IkePeer> peers(const std::string& text) {
    Problems problems;
    auto config = parsed(text, problems);
    for (const auto& problem : problems.list()) FAIL(problem.to_string());
    return config->ike.peers;
}

// What is said of it, and that it is refused or not.
std::string told(const std::string& text, bool is_error = true) {
    Problems problems;
    CHECK(parsed(text, problems).has_value() != is_error);
    std::string all;
    for (const auto& problem : problems.list()) all += problem.to_string() + "\n";
    return all;
}

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

base::ByteView bytes(const std::string& text) { return base::as_bytes(text); }

}  // namespace

TEST_CASE("shared secrets are text, hexadecimal, base64 or a file that holds one of these") {
    const auto secret_of = [](const std::string& value) { return peers("{" + value + "}").at(0).psk; };
    CHECK(
        secret_of(R"("psk": "a secret of some length")") ==
        ike::SharedSecret(bytes("a secret of some length"))
    );
    CHECK(secret_of(R"("psk": "0x00112233445566778899aabbccddeeff")").view().size() == 16);
    CHECK(secret_of(R"("psk": "0x00112233445566778899aabbccddeeff")").view()[15] == 0xff);
    CHECK(
        secret_of(R"("psk": "0sYSBzZWNyZXQgb2Ygc29tZSBsZW5ndGg=")") ==
        ike::SharedSecret(bytes("a secret of some length"))
    );
    CHECK(secret_of(R"("psk_file": "a.psk")") == ike::SharedSecret(base::Bytes(32, 0x55)));
}

TEST_CASE("a postquantum preshared key has a name and may be required") {
    const auto list =
        peers(R"({"common_name": "hub", "ppk_file": "a.psk", "ppk_id": "one", "ppk_required": true},)"
              R"({"organization": "ac*", "psk_file": "a.psk", "ppk_file": "a.psk", "ppk_id": "two"})");
    REQUIRE(list.size() == 2);
    CHECK(list[0].ppk == ike::Ppk{"one", ike::SharedSecret(base::Bytes(32, 0x55)), true});
    CHECK(list[0].psk.empty());
    CHECK(list[0].nodes.organization == "*");
    CHECK(list[1].ppk->id == "two");
    CHECK_FALSE(list[1].ppk->required);
    CHECK_FALSE(list[1].psk.empty());
}

TEST_CASE("what is wrong with a shared secret is said without the secret") {
    CHECK(says(told(R"({"common_name": "x"})"), "ike.peers[0]: shares nothing"));
    CHECK(says(told(R"({"psk": "a secret of some length", "psk_file": "a.psk"})"), "said twice"));
    CHECK(says(told(R"({"psk_file": "nowhere"})"), "ike.peers[0].psk_file: cannot read nowhere"));
    CHECK(says(told(R"({"ppk_file": "a.psk"})"), "ppk_id"));
    CHECK(says(told(R"({"psk_file": "a.psk", "ppk_id": "one"})"), "there is none"));
    CHECK(says(told(R"({"psk_file": "a.psk", "ppk_required": true})"), "there is none"));
    for (const char* hidden :
         {R"({"psk": "0x7377303"})",
          R"({"psk": "0sd3d-773"})",
          R"({"psk": "sw0rd\u0007fish"})",
          R"({"psk": 773773773})",
          R"({"psk": ["sw0rdfish"]})"}) {
        const std::string words = told(hidden, says(hidden, "fish\"}") ? false : true);
        CHECK_FALSE(words.empty());
        for (const char* secret : {"737", "773", "sw0rd"}) CHECK_FALSE(says(words, secret));
    }
    CHECK(says(told(R"({"psk": "short"})", false), "shorter than 16 octets"));
    CHECK_FALSE(says(told(R"({"psk": "short"})", false), "\"short\""));
    CHECK(says(told(R"({"ppk": "a secret of some length", "ppk_id": "x"})", false), "shorter than 32 octets")
    );
}

TEST_CASE("the first element that fits a node says what is shared with it, and a change is seen") {
    Config config;
    config.organization = "acme";
    config.common_name = "one";
    config.endpoints.push_back({});
    config.endpoints[0].address = *Address::parse("192.0.2.1");
    config.ike.peers = peers(R"({"common_name": "t?o", "psk": "first of the secrets"},)"
                             R"({"organization": "acme", "ppk_file": "a.psk", "ppk_id": "one"})");
    Registry registry;
    for (const char* name : {"four", "three", "two"}) {
        RegistryNode node;
        node.organization = *name == 'f' ? "other" : "acme";
        node.common_name = name;
        RegistryEndpoint endpoint;
        endpoint.address = *Address::parse("192.0.2.2");
        node.endpoints.push_back(endpoint);
        registry.nodes.push_back(node);
    }
    const auto all = pairings(config, registry, {});
    REQUIRE(all.size() == 3);
    for (const Pairing& pairing : all) {
        const std::string& name = pairing.peer.remote.common_name;
        CHECK(pairing.peer.psk.empty() == (name != "two"));
        CHECK(pairing.peer.ppk.has_value() == (name == "three"));
    }
    config.ike.peers[1].ppk->required = true;
    const auto changed = pairings(config, registry, {});
    for (std::size_t i = 0; i < all.size(); ++i)
        CHECK((all[i] == changed[i]) == (all[i].peer.remote.common_name != "three"));
}
