// What strangers can make us keep and compute before they have proven who they are.

#include "stranger.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// A stranger that brings the cookie it is asked for. True: it was let in.
bool opens(Dialogue& d, std::uint64_t seed, const Endpoint& from) {
    Stranger s(d, seed);
    auto payloads = s.init_payloads();
    for (int round = 0; round < 2; ++round) {
        const auto answers = s.deliver_from(from, encode(s.init_header(), payloads));
        if (answers.empty()) return false;
        const auto message = decode(*parse(answers.front()));
        if (message->find<SaPayload>() != nullptr) return true;
        const auto* cookie = message->find_notify(notify::cookie);
        REQUIRE(cookie != nullptr);
        payloads.insert(payloads.begin(), make_notify(notify::cookie, cookie->data));
    }
    return false;
}

}  // namespace

TEST_CASE("A11: one source that brings its cookies takes its share of the places, not all") {
    Waiting w;
    const Endpoint greedy{*Address::parse("198.51.100.1"), 12025};
    std::size_t let_in = 0;
    for (std::uint64_t i = 0; i < 200; ++i) let_in += opens(w.d, 1000 + i, greedy) ? 1 : 0;
    CHECK(let_in == EngineConfig().half_open_max_per_source);
    CHECK(w.d.b.drops("too many half-open SAs") == 200 - let_in);
    CHECK(opens(w.d, 2000, {*Address::parse("198.51.100.2"), 12025}));
    w.d.a_connects().advance(2s).expect_tunnel();
    w.d.advance(30s);  // half-open SAs are gone
    CHECK(opens(w.d, 3000, greedy));
}

TEST_CASE("who failed to authenticate still counts while its answer is kept") {
    EngineConfig config;
    config.cookie_threshold_per_source = 3;
    Waiting w(std::move(config));
    for (std::uint64_t i = 0; i < 3; ++i) {
        Stranger s(w.d, 100 + i);
        REQUIRE(s.init());
        auto payloads = s.auth_payloads();
        std::get<AuthPayload>(payloads[2]).data.back() ^= 1;
        REQUIRE(s.request(ExchangeType::ike_auth, payloads).has_value());
    }
    Stranger s(w.d, 200);
    CHECK_FALSE(s.init());
    CHECK(w.d.b.drops("cookie asked for") == 1);
    w.d.advance(11s);
    CHECK(s.init());
}

TEST_CASE("A7: an unusable KE value costs one key exchange, however many messages follow") {
    Waiting w;
    Stranger s(w.d);
    auto payloads = s.init_payloads();
    payloads[1] = KePayload{31, Bytes(32, 0)};
    const auto answers = s.deliver(encode(s.init_header(), payloads));
    REQUIRE(answers.size() == 1);
    s.spi_r = parse(answers[0])->header.spi_r;
    s.keys = derive_ike_keys(s.suite, {Bytes(32, 1), Bytes(32, 2)}, Secret(32), s.spi_i, s.spi_r);
    CHECK(s.deliver(s.seal_request(ExchangeType::ike_auth, {}, 1)).empty());
    for (int i = 1; i < 5; ++i) CHECK(disowned(s.deliver(s.seal_request(ExchangeType::ike_auth, {}, 1))));
    CHECK(w.d.b.drops("unusable KE value") == 1);
    CHECK(w.d.b.drops("unknown SPI") == 4);
}

TEST_CASE("A17: an IKE_SA_INIT request of an absurd size is not kept") {
    Waiting w;
    Stranger s(w.d);
    auto payloads = s.init_payloads();
    payloads.push_back(OpaquePayload{43, false, Bytes(9000)});
    CHECK(s.deliver(encode(s.init_header(), payloads)).empty());
    payloads.back() = OpaquePayload{43, false, Bytes(7000)};
    CHECK(s.init(payloads));
}

TEST_CASE("A8: nonces of 16 to 256 octets are taken, others and second ones are not") {
    Waiting w;
    Stranger s(w.d);
    const auto with = [&](std::vector<Payload> payloads) {
        return s.deliver(encode(s.init_header(), payloads));
    };
    for (const std::size_t size : {0, 15, 257}) {
        auto payloads = s.init_payloads();
        payloads[2] = NoncePayload{Bytes(size, 1)};
        CHECK(with(payloads).empty());
    }
    for (const std::size_t size : {16, 256}) {
        auto payloads = s.init_payloads();
        payloads[2] = NoncePayload{Bytes(size, 1)};
        CHECK(with(payloads).size() == 1);
    }
    auto payloads = s.init_payloads();
    payloads.push_back(payloads[2]);
    CHECK(with(payloads).empty());
}
