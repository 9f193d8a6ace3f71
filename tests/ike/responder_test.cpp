// Answers that no honest responder would give, before and after it has proven who it is.

#include "answerer.hpp"
#include "ike/abilities.hpp"
#include "ike/child.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

TrafficSelector port_eighty() {
    TrafficSelector selector = TrafficSelector::any(base::Family::v4);
    selector.start_port = selector.end_port = 80;
    return selector;
}

struct Asked {
    Asked() { d.a_connects(); }
    Dialogue d;
    Answerer b{d};
};

std::vector<Payload> joined(std::vector<Payload> first, const std::vector<Payload>& then) {
    first.insert(first.end(), then.begin(), then.end());
    return first;
}

}  // namespace

TEST_CASE("an answerer that proves itself gets a tunnel") {
    Asked t;
    t.b.answer_init();
    t.b.answer(joined(t.b.auth_payloads(), t.b.child_payloads(0x1000)));
    CHECK(t.d.a.view().state == PeerState::established);
    CHECK(t.d.a.children.size() == 1);
}

TEST_CASE("A15: malformed answers to IKE_AUTH are paused after like any failure") {
    Asked t;
    for (int i = 0; i < 40; ++i) {
        t.b.answer_init();
        t.b.answer({OpaquePayload{41, false, {1}}});  // a notify of one octet
        const std::size_t before = t.d.count(kInit, true);
        t.d.advance_until(40s, [&] { return t.d.count(kInit, true) > before; });
    }
    CHECK(t.d.now.time_since_epoch() > 5min);
    CHECK(t.d.a.view().reason.find("malformed") != std::string::npos);
}

TEST_CASE("B1: an answer to IKE_AUTH with a wrong signature or a foreign identity is told and given up") {
    for (const bool wrong_name : {false, true}) {
        Asked t;
        t.b.answer_init();
        auto payloads = t.b.auth_payloads();
        if (wrong_name) {
            std::get<IdPayload>(payloads[0]).body = id_body({"acme", "charlie", "0", false});
        } else {
            std::get<AuthPayload>(payloads[1]).data.back() ^= 1;
        }
        t.b.answer(joined(payloads, t.b.child_payloads(0x1000)));
        CHECK(t.d.a.children.empty());
        CHECK(t.d.a.drops("wrong AUTH in the answer to IKE_AUTH") == 1);
        const auto told = t.b.request();
        REQUIRE(told.has_value());
        CHECK(told->header.exchange == ExchangeType::informational);
        CHECK(told->find_notify(notify::authentication_failed) != nullptr);
    }
}

TEST_CASE("who proves itself and says that there is no IKE SA has none") {
    const std::vector<NotifyPayload> errors{
        make_notify(notify::invalid_syntax),
        make_notify(notify::authentication_failed),
        make_notify(notify::unsupported_critical_payload, {41})};
    for (const NotifyPayload& error : errors) {
        Asked t;
        t.b.answer_init();
        t.b.answer(joined(t.b.auth_payloads(), {error}));
        CHECK(t.d.a.view().state != PeerState::established);
        CHECK(t.d.a.view().reason.find("the peer says " + notify_name(error.type)) != std::string::npos);
        t.d.advance(1s);
        CHECK(t.d.count(kInit, true) == 2);
    }
}

TEST_CASE("a child that was not offered is deleted and asked for again, less and less often") {
    Asked t;
    t.b.answer_init();
    auto child = t.b.child_payloads(0x1000);
    std::get<SaPayload>(child[0]).proposals[0].transforms[0] = {TransformType::encr, encr::aes_cbc, 128};
    t.b.answer(joined(t.b.auth_payloads(), child));
    CHECK(t.d.a.children.empty());
    CHECK(t.d.a.view().reason.find("not offered") != std::string::npos);
    const auto deleted = t.b.request();
    REQUIRE(deleted.has_value());
    REQUIRE(deleted->find<DeletePayload>() != nullptr);
    CHECK(deleted->find<DeletePayload>()->protocol == Protocol::esp);
    t.b.answer({});
    t.d.advance(2s);
    CHECK(t.b.request()->header.exchange == ExchangeType::create_child_sa);
    CHECK(t.d.count(kInit, true) == 1);
}

TEST_CASE("C2: an answer whose traffic selectors leave us nothing makes no child") {
    Asked t;
    t.b.answer_init();
    t.b.answer(t.b.auth_payloads());  // childless
    t.d.advance(2s);
    REQUIRE(t.b.request()->header.exchange == ExchangeType::create_child_sa);
    auto child = t.b.child_payloads(0x1000);
    child[2] = TsPayload{true, {port_eighty()}};
    t.b.answer(joined(child, {NoncePayload{Bytes(32, 1)}}));
    CHECK(t.d.a.ups == 0);
    REQUIRE(t.b.request()->find<DeletePayload>() != nullptr);
    t.b.answer({});
    t.d.advance(5s);
    REQUIRE(t.b.request()->header.exchange == ExchangeType::create_child_sa);
    t.b.answer(joined(t.b.child_payloads(0x1001), {NoncePayload{Bytes(32, 2)}}));
    CHECK(t.d.a.ups == 1);
}
