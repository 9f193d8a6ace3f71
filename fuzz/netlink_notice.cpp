// Any bytes from the kernel's side, on every channel, while changes of every kind wait for their answers.

#include "netlink/session.hpp"

using namespace aronet;
using namespace aronet::netlink;

namespace {

void ask_for_everything(Session& session, SessionOutput& out) {
    const base::Instant start{};
    ChangeId id = 0;
    Link link;
    link.name = "ov-1";
    link.kind = Tunnel{1};
    Route route;
    route.key.destination = *Prefix::parse("fd66::/64");
    route.link = "ov-1";
    session.use_overlay(3);
    session.handle(Change{++id, RemoveRoute{route.key}}, start, out);
    session.handle(Change{++id, TakeSnapshot{"ov"}}, start, out);
    session.handle(Change{++id, ReadCounters{}}, start, out);
    session.handle(Change{++id, AddLink{link}}, start, out);
    session.handle(
        Change{++id, AddAddress{{Space::underlay, "ov-1", *Address::parse("fe80::1"), 64, std::nullopt}}},
        start,
        out
    );
    session.handle(Change{++id, AddRoute{route}}, start, out);
    session.handle(
        Change{++id, SetPolicies{{1, 1, *Address::parse("192.0.2.1"), *Address::parse("192.0.2.2"), 256}}},
        start,
        out
    );
}

}  // namespace

// The first octet of each piece says where it comes in, the next two how long it is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Session session;
    SessionOutput out;
    ask_for_everything(session, out);
    base::Reader in(base::ByteView(data, size));
    base::Instant now{};
    while (in.left() >= 3) {
        const std::uint8_t where = in.u8();
        const std::size_t length = std::min<std::size_t>(in.u16(), in.left());
        session.handle(static_cast<Channel>(where % 3), in.take(length), now, out);
        if ((where & 0x40) != 0) session.lost(static_cast<Channel>(where % 3), now, out);
        if ((where & 0x80) != 0) session.tick(now += std::chrono::seconds(2), out);
        out.clear();
    }
    session.tick(now + std::chrono::seconds(60), out);
    return 0;
}
