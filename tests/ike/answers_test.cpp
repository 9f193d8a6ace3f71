// Every pair of what we are doing and what the peer asks for meanwhile (RFC 7296 2.25).

#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <array>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kNewSpi = 0x22222222, kOther = 0x33333333, kUnknown = 0x99999999;

struct Doing {
    const char* name;
    void (*begin)(Pair&);
};
const std::vector<Doing> kDoing{
    {"nothing", [](Pair&) {}},
    {"creating a child",
     [](Pair& t) {
         t.deletes(t.s.esp_spi);
         t.d.advance_until(10s, [&] { return t.d.count(kCreateChild, false) == 1; });
         REQUIRE(t.d.count(kCreateChild, false) == 1);
     }},
    {"rekeying the child", [](Pair& t) { t.rekeys(); }},
    {"closing the child",
     [](Pair& t) {
         t.rekeys();
         t.agrees(kOther, 7);
         REQUIRE(t.deleted_by_b() != 0);
     }},
    {"rekeying the IKE SA", [](Pair& t) { renew(t.d, t.d.b); }},
    {"closing the IKE SA",
     [](Pair& t) { t.d.call(t.d.b, [&](Engine& engine, Actions& out) { engine.drop(1, t.d.now, out); }); }},
};

struct Request {
    const char* name;
    std::optional<Message> (*send)(Pair&);
    std::array<const char*, 6> answers;  // one for each of kDoing
};
constexpr const char *kForNow = "TEMPORARY_FAILURE", *kNotFound = "CHILD_SA_NOT_FOUND";
const std::vector<Request> kRequests{
    {"rekey the child",
     [](Pair& t) { return t.crosses(kNewSpi, 7); },
     {"SA", kNotFound, "SA", kForNow, kForNow, kForNow}},
    {"rekey an unknown child",
     [](Pair& t) {
         return t.s.request(ExchangeType::create_child_sa, t.rekey_payloads(kUnknown, kNewSpi, 7));
     },
     {kNotFound, kNotFound, kNotFound, kNotFound, kForNow, kForNow}},
    {"create a child",
     [](Pair& t) {
         auto payloads = t.rekey_payloads(0, kNewSpi, 7);
         payloads.erase(payloads.begin());
         return t.s.request(ExchangeType::create_child_sa, payloads);
     },
     {"SA", "SA", "SA", "SA", kForNow, kForNow}},
    {"delete the child",
     [](Pair& t) {
         return send_delete(t, {Protocol::esp, {t.s.esp_spi}});
     },
     {"DELETE", "empty", "DELETE", "empty", "DELETE", "empty"}},
    {"delete an unknown child",
     [](Pair& t) {
         return send_delete(t, {Protocol::esp, {kUnknown}});
     },
     {"empty", "empty", "empty", "empty", "empty", "empty"}},
    {"rekey the IKE SA",
     [](Pair& t) { return t.s.request(ExchangeType::create_child_sa, Half(t.s, 7).payloads()); },
     {"SA", kForNow, kForNow, kForNow, "SA", kForNow}},
    {"delete the IKE SA",
     [](Pair& t) {
         return send_delete(t, {Protocol::ike, {}});
     },
     {"empty", "empty", "empty", "empty", "empty", "empty"}},
};

}  // namespace

TEST_CASE("2.25: whatever we are doing, every request of the peer's has its answer") {
    for (std::size_t i = 0; i < kDoing.size(); ++i) {
        for (const Request& request : kRequests) {
            INFO("we are " << kDoing[i].name << ", the peer asks to " << request.name);
            Pair t;
            kDoing[i].begin(t);
            CHECK(outcome(request.send(t)) == request.answers[i]);
        }
    }
}
