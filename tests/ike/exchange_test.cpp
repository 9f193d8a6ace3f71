#include "ike/exchange.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace std::chrono_literals;

TEST_CASE("a request is repeated with growing pauses and given up after its tries") {
    auto random = base::Random::from_number(1);
    Requester requester;
    Instant now{};
    requester.start({Bytes{1, 2, 3}}, kLiveSchedule, now, random);
    unsigned repeats = 0;
    Duration longest{};
    for (;;) {
        REQUIRE(requester.deadline().has_value());
        CHECK(requester.tick(*requester.deadline() - 1ns, random) == Requester::Due::nothing);
        longest = std::max(longest, *requester.deadline() - now);
        now = *requester.deadline();
        const auto due = requester.tick(now, random);
        if (due == Requester::Due::give_up) break;
        CHECK(due == Requester::Due::repeat);
        CHECK(requester.datagrams() == Datagrams{{1, 2, 3}});
        ++repeats;
    }
    CHECK(repeats == kLiveSchedule.tries - 1);
    CHECK(longest <= kLiveSchedule.cap);
    CHECK(now.time_since_epoch() > 12s);
    CHECK(now.time_since_epoch() < 18s);
}

TEST_CASE("only the answer to the request in flight counts, and once") {
    auto random = base::Random::from_number(1);
    Requester requester;
    CHECK_FALSE(requester.answered(0));
    requester.start({Bytes{1}}, kLiveSchedule, Instant{}, random);
    CHECK_FALSE(requester.answered(1));
    CHECK(requester.answered(0));
    CHECK_FALSE(requester.answered(0));
    CHECK(requester.next_id() == 1);
    CHECK_FALSE(requester.deadline().has_value());
}

TEST_CASE("a request that came before is known by ID and bytes") {
    using Verdict = Responder::Verdict;
    Responder responder;
    const Bytes request{1, 2, 3}, other{1, 2, 4};
    CHECK(responder.judge(0, request) == Verdict::fresh);
    CHECK(responder.judge(1, request) == Verdict::outside);
    CHECK(responder.judge(0xffffffff, request) == Verdict::outside);
    responder.accept(fingerprint(request));
    CHECK(responder.owed_id() == 0);
    CHECK(responder.judge(1, other) == Verdict::outside);  // one at a time
    responder.answer({Bytes{9}});
    CHECK(responder.judge(0, request) == Verdict::repeated);
    CHECK(responder.judge(0, other) == Verdict::outside);
    CHECK(responder.judge(1, other) == Verdict::fresh);
    CHECK(responder.last_answer() == Datagrams{{9}});
}

TEST_CASE("message IDs never begin anew: the last one is not used") {
    auto random = base::Random::from_number(1);
    Requester requester(UINT32_MAX - 1);
    CHECK_FALSE(requester.exhausted());
    requester.start({Bytes{1}}, kLiveSchedule, Instant{}, random);
    REQUIRE(requester.answered(UINT32_MAX - 1));
    CHECK(requester.exhausted());

    using Verdict = Responder::Verdict;
    Responder responder(UINT32_MAX - 1);
    const Bytes request{1, 2, 3};
    CHECK(responder.judge(UINT32_MAX - 1, request) == Verdict::fresh);
    responder.accept(fingerprint(request));
    responder.answer({Bytes{9}});
    CHECK(responder.judge(UINT32_MAX - 1, request) == Verdict::repeated);
    CHECK(responder.judge(UINT32_MAX, request) == Verdict::outside);
    CHECK(responder.judge(0, request) == Verdict::outside);
}
