// Keys in the memory of a process: where they are while they are needed, and that nothing is left of them.

#include "daemon/safekeeping.hpp"

#include "base/vault.hpp"
#include "daemon/datapath.hpp"
#include "esp/association.hpp"
#include "ike/dialogue.hpp"
#include "memory.hpp"

#include <catch2/catch.hpp>
#include <openssl/evp.h>

#include <filesystem>
#include <thread>

using namespace aronet;
using namespace std::chrono_literals;

namespace {

// Whether everything that was found is left out of core dumps, as only the vault is.
bool in_vault(const std::vector<test::Search::Find>& finds) {
    return std::all_of(finds.begin(), finds.end(), [](const auto& find) {
        return test::mapping_of(find.address).has("dd");
    });
}

void remember(test::Search& search, const ike::test::Side& side) {
    for (const ike::KeysMade& made : side.keys) {
        for (const base::Secret* key : {&made.ei, &made.er, &made.ai, &made.ar}) search.remember(key->view());
    }
    for (const auto& [id, sas] : side.children) {
        search.remember(sas.first.key.view());
        search.remember(sas.second.key.view());
    }
}

}  // namespace

TEST_CASE("keys of IKE and of the data are in the vault alone, and nowhere once the sessions are gone") {
    test::Search search;
    {
        ike::EngineConfig config;
        config.tells_keys = true;
        ike::test::Dialogue d(1, ike::test::copy(config), ike::test::copy(config));
        d.both_connect().advance(1s).expect_tunnel();
        for (ike::test::Side* side : {&d.a, &d.b}) {
            d.call(*side, [&](ike::Engine& engine, ike::Actions& out) { engine.renew(1, d.now, out); });
            d.advance(1s);
            d.call(*side, [&](ike::Engine& engine, ike::Actions& out) {
                engine.rekey(*side->sending, d.now, out);
            });
            d.advance(1s);
            remember(search, *side);
        }
        CHECK(search.remembered() >= 20);
        const auto finds = search.look();
        CHECK(finds.size() >= search.remembered());
        CHECK(in_vault(finds));
    }
    for (const auto& find : search.look())
        FAIL_CHECK("key " << find.needle << " is still at " << std::hex << find.address);
}

// OpenSSL takes its memory from the vault only if nothing has used it before: in a process of its own.
TEST_CASE("ciphers of the data plane keep their keys in the vault, and leave nothing of them", "[.alone]") {
    daemon::Safekeeping safekeeping;
    test::Search search;
    auto random = base::Random::from_number(7);
    {
        std::vector<std::unique_ptr<esp::OutboundSa>> out;
        std::vector<std::unique_ptr<esp::InboundSa>> in;
        for (const auto suite :
             {base::EspSuite::aes_gcm_128,
              base::EspSuite::aes_gcm_256,
              base::EspSuite::chacha20_poly1305,
              base::EspSuite::aes_cbc_256_sha512}) {
            base::Sa sa;
            sa.suite = suite;
            sa.key = base::Secret(base::key_size(suite));
            random.fill(sa.key.mutable_view());
            search.remember(sa.key.view());
            out.push_back(esp::OutboundSa::make(sa, random));
            in.push_back(esp::InboundSa::make(sa));
            REQUIRE(out.back());
            REQUIRE(in.back());
        }
        const auto finds = search.look();
        CHECK(finds.size() >= search.remembered());  // the contexts; the SAs' own keys are gone already
        CHECK(in_vault(finds));
        CHECK(base::Vault::of_process().census().pieces > 8);
    }
    CHECK(search.look().empty());
}

TEST_CASE("an SA that was removed leaves no key, though nothing else changes", "[.alone]") {
    daemon::Safekeeping safekeeping;
    test::Search search;
    daemon::Datapath plane;
    base::Sa sa;
    sa.spi = 0x1000;
    sa.if_id = sa.reqid = 1;
    sa.source = {*base::Address::parse("192.0.2.1"), 4500};
    sa.destination = {*base::Address::parse("192.0.2.2"), 4500};
    const base::SaId id = sa.id();
    sa.key = base::Secret(base::key_size(sa.suite));
    auto random = base::Random::from_number(9);
    random.fill(sa.key.mutable_view());
    search.remember(sa.key.view());
    REQUIRE(plane.add_sa(sa) == 0);
    sa.key = {};
    CHECK_FALSE(search.look().empty());
    plane.remove_sa(id);
    for (int i = 0; i < 100 && !search.look().empty(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        plane.let_go();
    }
    CHECK(search.look().empty());
}

// Of the compiler's, of OpenSSL's, in this very process.
TEST_CASE("what the process frees is wiped, OpenSSL's memory comes from the vault", "[.alone]") {
    daemon::Safekeeping safekeeping;
    const std::size_t before = base::Vault::of_process().census().pieces;
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    CHECK(base::Vault::of_process().census().pieces > before);
    CHECK(test::mapping_of(context).has("dd"));
    EVP_CIPHER_CTX_free(context);
    test::Search search;
    test::Mapping heap;
    const auto on_the_heap = [&] {
        const auto finds = search.look();
        return std::ranges::count_if(finds, [&](const auto& find) { return heap.holds(find.address); });
    };
    {
        auto random = base::Random::from_number(8);
        std::string pattern;
        for (int i = 0; i < 1000; ++i) pattern += static_cast<char>(random.below(256));
        search.remember(base::as_bytes(pattern));
        heap = test::mapping_of(pattern.data());
        CHECK(on_the_heap() == 1);  // and not where the string was before it grew
    }
    CHECK(on_the_heap() == 0);
}

TEST_CASE("what has to be the first thing in a process holds in one of its own") {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    for (const char* name :
         {"ciphers of the data plane*", "an SA that was removed*", "what the process frees*"}) {
        INFO(name);
        CHECK(std::system((self + " -w NoTests '" + name + "' >&2").c_str()) == 0);
    }
}
