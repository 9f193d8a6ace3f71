// The Session against answers made here, without any kernel.

#include "netlink/session.hpp"

#include "netlink/codec.hpp"
#include "netlink/wire.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <utility>

using namespace aronet;
using namespace aronet::netlink;

namespace {

template <class Body>
base::Bytes message(
    std::uint16_t type, std::uint32_t sequence, const Body& body, std::uint16_t flags = NLM_F_MULTI
) {
    nlmsghdr header{};
    header.nlmsg_len = sizeof header + sizeof body;
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    header.nlmsg_seq = sequence;
    base::Bytes bytes(NLMSG_ALIGN(header.nlmsg_len));
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
    return bytes;
}

std::uint32_t sequence_of(const Outgoing& request) {
    nlmsghdr header;
    REQUIRE(request.bytes.size() >= sizeof header);
    std::memcpy(&header, request.bytes.data(), sizeof header);
    CHECK(header.nlmsg_type == XFRM_MSG_GETSA);
    CHECK((header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
    return header.nlmsg_seq;
}

xfrm_usersa_info sa(std::uint32_t spi, std::uint64_t bytes, std::uint64_t packets) {
    xfrm_usersa_info info{};
    info.family = AF_INET;
    inet_pton(AF_INET, "192.0.2.1", &info.id.daddr);
    info.id.spi = htonl(spi);
    info.curlft.bytes = bytes;
    info.curlft.packets = packets;
    return info;
}

// An unreachable route: it needs no link.
Route nth_route(std::uint64_t n) {
    Route route;
    route.key.destination = Prefix(base::Address::parse("2001:db8::")->plus(n << 32), 96);
    route.kind = RouteKind::unreachable;
    return route;
}

std::vector<nlmsghdr> headers(const base::Bytes& datagram) {
    std::vector<nlmsghdr> all;
    for (std::size_t at = 0; at < datagram.size(); at += NLMSG_ALIGN(all.back().nlmsg_len)) {
        std::memcpy(&all.emplace_back(), datagram.data() + at, sizeof(nlmsghdr));
    }
    return all;
}

// Ten routes asked for at once.
struct Burst {
    Burst() {
        for (ChangeId id = 1; id <= 10; ++id) session.handle(Change{id, AddRoute{nth_route(id)}}, now, out);
        REQUIRE(out.send.size() == 1);
        asked = headers(out.send[0].bytes);
        REQUIRE(asked.size() == 10);
        out.clear();
    }
    void hear(std::uint16_t type, std::uint32_t sequence, const auto& body, std::uint32_t port = 4711) {
        base::Bytes bytes = message(type, sequence, body, 0);
        std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_pid), &port, sizeof port);
        session.handle(Channel::underlay_route, bytes, now, out);
    }
    void answer(std::size_t which, int error) {
        nlmsgerr body{};
        body.error = -error;
        hear(NLMSG_ERROR, asked[which].nlmsg_seq, body);
    }
    std::vector<int> errors() const {
        std::vector<int> all;
        for (const Notice& notice : out.notices) {
            if (const auto* done = std::get_if<Done>(&notice)) all.push_back(done->error);
        }
        return all;
    }

    Session session;
    SessionOutput out;
    base::Instant now{};
    std::vector<nlmsghdr> asked;
};

struct Asked {
    Asked() {
        session.handle(Change{1, ReadCounters{}}, now, out);
        REQUIRE(out.send.size() == 1);
        REQUIRE(out.send[0].channel == Channel::xfrm);
        sequence = sequence_of(out.send[0]);
        out.clear();
    }
    void hear(const base::Bytes& bytes) { session.handle(Channel::xfrm, bytes, now, out); }

    Session session;
    SessionOutput out;
    base::Instant now{};
    std::uint32_t sequence = 0;
};

// The kernel's answer to XFRM_MSG_GETSA: 192.0.2.2 > 192.0.2.1, AES-GCM, in UDP, 41 packets sent.
base::Bytes shown_sa(std::uint32_t sequence, base::Byte key) {
    Builder out(XFRM_MSG_NEWSA, 0);
    auto& info = out.header<xfrm_usersa_info>();
    info = sa(0x1001, 5000, 41);
    inet_pton(AF_INET, "192.0.2.2", &info.saddr);
    base::Bytes algorithm(sizeof(xfrm_algo_aead) + 36, key);
    xfrm_algo_aead header{"rfc4106(gcm(aes))", 36 * 8, 128};
    std::memcpy(algorithm.data(), &header, sizeof header);
    out.put(XFRMA_ALG_AEAD, algorithm);
    out.put_struct(XFRMA_ENCAP, xfrm_encap_tmpl{2, htons(12025), htons(12026), {}});
    out.put_struct(XFRMA_REPLAY_VAL, xfrm_replay_state{41, 0, 0});
    out.put_u32(XFRMA_IF_ID, 0x2a);
    base::Bytes bytes = out.take();
    std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    return bytes;
}

struct Moving {
    // Asks for the move, answers what the session asks first, and keeps what it then says.
    Moving(base::Direction direction, const char* source, const char* destination, base::Byte key = 7) {
        const base::SaId id{*base::Address::parse("192.0.2.1"), 0x1001};
        const auto end = [](const char* text) { return base::Endpoint{*base::Address::parse(text), 40777}; };
        session.handle(Change{1, MoveSa{id, direction, end(source), end(destination)}}, {}, out);
        REQUIRE(out.send.size() == 1);
        const auto asked = headers(out.send[0].bytes);
        REQUIRE(asked.size() == 1);
        REQUIRE(asked[0].nlmsg_type == XFRM_MSG_GETSA);
        out.clear();
        session.handle(Channel::xfrm, shown_sa(asked[0].nlmsg_seq, key), {}, out);
        session.handle(Channel::xfrm, message(NLMSG_ERROR, asked[0].nlmsg_seq, nlmsgerr{}), {}, out);
        if (!out.send.empty()) {
            REQUIRE(out.send.size() == 1);
            said = headers(out.send[0].bytes);
        }
    }
    std::vector<int> types() const {
        std::vector<int> all;
        for (const nlmsghdr& header : said) all.push_back(header.nlmsg_type);
        return all;
    }
    // The last message.
    xfrm_usersa_info info() const { return *fixed_header<xfrm_usersa_info>(last()); }
    Attributes attributes() const { return Attributes(last(), sizeof(xfrm_usersa_info)); }
    const nlmsghdr* last() const {
        const base::Bytes& bytes = out.send[0].bytes;
        return reinterpret_cast<const nlmsghdr*>(bytes.data() + bytes.size() - said.back().nlmsg_len);
    }

    Session session;
    SessionOutput out;
    std::vector<nlmsghdr> said;
};

}  // namespace

// RTM_NEWLINK and XFRM_MSG_NEWSA are one number.
TEST_CASE("a link that was asked for is learned from the answer alone") {
    Session session;
    SessionOutput out;
    LinkAddress address;
    address.link = "ov";
    address.address = *base::Address::parse("192.0.2.1");
    session.handle(Change{1, AddAddress{address}}, {}, out);
    REQUIRE(out.send.size() == 1);
    const auto asked = headers(out.send[0].bytes);
    REQUIRE(asked.at(0).nlmsg_type == RTM_GETLINK);
    out.clear();
    Builder link(RTM_NEWLINK, 0);
    link.header<ifinfomsg>().ifi_index = 7;
    link.put_text(IFLA_IFNAME, "ov");
    base::Bytes bytes = link.take();
    std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_seq), &asked[0].nlmsg_seq, sizeof(std::uint32_t));
    session.handle(Channel::underlay_route, bytes, {}, out);
    session.handle(Channel::underlay_route, message(NLMSG_ERROR, asked[0].nlmsg_seq, nlmsgerr{}), {}, out);
    REQUIRE(out.send.size() == 1);
    CHECK(headers(out.send[0].bytes).at(0).nlmsg_type == RTM_NEWADDR);
}

TEST_CASE("a link that goes down for a moment while we change it is told to have been") {
    Link link;
    link.name = "tunnel";
    link.kind = Tunnel{42};
    base::Bytes shown = create_link(link, -1);
    const auto show = [&](std::uint32_t sequence, unsigned flags) {
        auto* header = reinterpret_cast<nlmsghdr*>(shown.data());
        header->nlmsg_seq = sequence;
        auto* body = static_cast<ifinfomsg*>(NLMSG_DATA(header));
        body->ifi_index = 7;
        body->ifi_flags = flags;
        return shown;
    };
    for (const bool goes_down : {false, true}) {
        Session session;
        SessionOutput out;
        const auto hear = [&](const base::Bytes& bytes) {
            session.handle(Channel::underlay_route, bytes, {}, out);
        };
        hear(show(0, IFF_UP | IFF_RUNNING));
        out.clear();
        session.handle(Change{1, AddLink{link}}, {}, out);
        if (goes_down) hear(show(0, 0));
        while (!out.send.empty()) {
            const SessionOutput asked = std::exchange(out, {});
            for (const Notice& notice : asked.notices) out.notices.push_back(notice);
            for (const nlmsghdr& request : headers(asked.send[0].bytes)) {
                if (request.nlmsg_type == RTM_GETLINK) hear(show(request.nlmsg_seq, IFF_UP | IFF_RUNNING));
                hear(message(NLMSG_ERROR, request.nlmsg_seq, nlmsgerr{}));
            }
        }
        REQUIRE(out.notices.size() == 2);
        const auto* up = std::get_if<LinkUp>(&out.notices[0]);
        REQUIRE(up != nullptr);
        CHECK(up->was_down == goes_down);
        CHECK(std::holds_alternative<Done>(out.notices[1]));
    }
}

TEST_CASE("an SA whose peer has another port only is told of it, and stays") {
    Moving moving(base::Direction::out, "192.0.2.2", "192.0.2.1");
    CHECK(moving.types() == std::vector<int>{XFRM_MSG_UPDSA});
    xfrm_encap_tmpl encap{};
    const auto value = moving.attributes().find(XFRMA_ENCAP);
    REQUIRE((value && value->size() == sizeof encap));
    std::memcpy(&encap, value->data(), sizeof encap);
    CHECK(ntohs(encap.encap_dport) == 40777);
}

TEST_CASE("an SA that goes elsewhere is another one, with the key it had and later numbers") {
    Moving moving(base::Direction::out, "192.0.2.2", "2001:db8::1");
    CHECK(moving.types() == std::vector<int>{XFRM_MSG_NEWSA});  // the old one goes on until it is removed
    CHECK(moving.info().family == AF_INET6);
    CHECK(moving.attributes().find(XFRMA_ALG_AEAD)->back() == 7);
    CHECK(moving.attributes().u32(XFRMA_IF_ID) == 0x2au);
    CHECK(moving.attributes().u32(XFRMA_REPLAY_VAL) == 41u + 65536u);
    CHECK(moving.attributes().find(XFRMA_LTIME_VAL).has_value());
}

TEST_CASE("an SA that comes from elsewhere takes the place of the old one, whose window it has") {
    Moving moving(base::Direction::in, "198.51.100.7", "192.0.2.1");
    CHECK(moving.types() == std::vector<int>{XFRM_MSG_DELSA, XFRM_MSG_NEWSA});
    CHECK(moving.attributes().u32(XFRMA_REPLAY_VAL) == 41u);
}

TEST_CASE("an SA that we send on from elsewhere takes its place, though a packet has asked for a key there") {
    for (const int last : {0, ESRCH}) {
        Moving moving(base::Direction::out, "198.51.100.7", "192.0.2.1");
        REQUIRE(moving.types() == std::vector<int>{XFRM_MSG_DELSA, XFRM_MSG_NEWSA, XFRM_MSG_UPDSA});
        CHECK(moving.attributes().u32(XFRMA_REPLAY_VAL) == 41u + 65536u);
        const std::vector<nlmsghdr> said = moving.said;
        const std::array<int, 3> errors{0, EEXIST, last};
        for (std::size_t i = 0; i < said.size(); ++i) {
            nlmsgerr answer{};
            answer.error = -errors[i];
            moving.session.handle(
                Channel::xfrm, message(NLMSG_ERROR, said[i].nlmsg_seq, answer), {}, moving.out
            );
        }
        REQUIRE(moving.out.notices.size() == 1);
        CHECK(std::get<Done>(moving.out.notices[0]).error == last);
    }
}

TEST_CASE("a kernel that does not show keys is not given zeros for them") {
    Moving moving(base::Direction::out, "192.0.2.2", "198.51.100.7", 0);
    CHECK(moving.said.empty());
    REQUIRE(moving.out.notices.size() == 1);
    CHECK(std::get<Done>(moving.out.notices[0]).error == EKEYREJECTED);
    CHECK(moving.session.idle());
}

TEST_CASE("the counters of all SAs come in one notice, before the answer to who asked") {
    Asked asked;
    asked.hear(message(XFRM_MSG_NEWSA, asked.sequence, sa(0x1001, 5000, 50)));
    asked.hear(message(XFRM_MSG_NEWSA, asked.sequence, sa(0x1002, 0, 0)));
    CHECK(asked.out.notices.empty());
    asked.hear(message(NLMSG_DONE, asked.sequence, 0));
    REQUIRE(asked.out.notices.size() == 2);
    const auto& counters = std::get<Counters>(asked.out.notices[0]);
    REQUIRE(counters.sas.size() == 2);
    CHECK(counters.sas[0].id == base::SaId{*base::Address::parse("192.0.2.1"), 0x1001});
    CHECK(counters.sas[0].bytes == 5000);
    CHECK(counters.sas[0].packets == 50);
    CHECK_FALSE(counters.sas[0].last_used);
    CHECK(std::get<Done>(asked.out.notices[1]).error == 0);
    CHECK(asked.session.idle());
}

TEST_CASE("counters that the kernel does not give are an error and no notice") {
    Asked asked;
    nlmsgerr refusal{};
    refusal.error = -EPERM;
    asked.hear(message(NLMSG_ERROR, asked.sequence, refusal));
    REQUIRE(asked.out.notices.size() == 1);
    CHECK(std::get<Done>(asked.out.notices[0]).error == EPERM);
}

TEST_CASE("a burst of routes is one datagram of which only the last message asks for an answer") {
    Burst burst;
    const auto asks = [](const nlmsghdr& header) { return (header.nlmsg_flags & NLM_F_ACK) != 0; };
    CHECK(std::count_if(burst.asked.begin(), burst.asked.end(), asks) == 1);
    CHECK(asks(burst.asked.back()));
    burst.answer(9, 0);
    CHECK(burst.errors() == std::vector<int>(10, 0));
    CHECK(burst.session.idle());
}

TEST_CASE("an error within a burst says that those before went well and nothing of those behind") {
    Burst burst;
    burst.answer(3, EINVAL);
    CHECK(burst.errors() == std::vector<int>{0, 0, 0, EINVAL});
    burst.answer(9, 0);
    CHECK(burst.errors() == std::vector<int>{0, 0, 0, EINVAL, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("routes that the kernel never answers fail in time, and lost answers end them at once") {
    Burst burst;
    burst.session.lost(Channel::underlay_route, burst.now, burst.out);
    CHECK(burst.errors() == std::vector<int>(10, 0));
    CHECK(std::holds_alternative<Lost>(burst.out.notices.back()));
    Burst late;
    REQUIRE(late.session.deadline());
    late.session.tick(late.session.deadline()->at, late.out);
    CHECK(late.errors() == std::vector<int>(10, ETIMEDOUT));
    CHECK_FALSE(late.session.deadline());
}

TEST_CASE("only what follows a route in the same datagram answers for it") {
    Session session;
    SessionOutput out;
    session.handle(Change{1, AddRoute{nth_route(1)}}, {}, out);
    session.handle(Change{2, AddRule{}}, {}, out);
    session.handle(Change{3, AddRoute{nth_route(3)}}, {}, out);
    REQUIRE(out.send.size() == 1);
    const auto asked = headers(out.send[0].bytes);
    REQUIRE(asked.size() == 3);
    CHECK((asked[0].nlmsg_flags & NLM_F_ACK) == 0);
    CHECK((asked[1].nlmsg_flags & NLM_F_ACK) != 0);
    CHECK((asked[2].nlmsg_flags & NLM_F_ACK) != 0);
}

TEST_CASE("the notice of a removal that we asked for is known by the name of our socket") {
    struct {
        rtmsg header{};
        rtattr attribute{};
        std::array<base::Byte, 16> destination{};
    } route;
    route.header.rtm_family = AF_INET6;
    route.header.rtm_dst_len = 96;
    route.header.rtm_protocol = kProtocol;
    route.header.rtm_table = RT_TABLE_MAIN;
    route.attribute = {sizeof(rtattr) + 16, RTA_DST};
    Burst burst;
    burst.answer(9, 0);
    burst.out.clear();
    burst.hear(RTM_DELROUTE, 7, route, 4711);
    CHECK(burst.out.notices.empty());
    burst.hear(RTM_DELROUTE, 7, route, 4712);
    burst.hear(RTM_DELROUTE, 0, route, 0);
    REQUIRE(burst.out.notices.size() == 2);
    CHECK(std::holds_alternative<RouteLost>(burst.out.notices[0]));
}

namespace {

// What the kernel is told of this SA.
xfrm_lifetime_cfg limits_of(base::Direction direction, bool esn, std::uint64_t bytes, std::uint64_t packets) {
    base::Sa sa;
    sa.direction = direction;
    sa.source = {*base::Address::parse("192.0.2.1"), 12025};
    sa.destination = {*base::Address::parse("192.0.2.2"), 12025};
    sa.spi = 0x1001;
    sa.esn = esn;
    sa.soft_bytes = bytes;
    sa.soft_packets = packets;
    sa.key = base::Secret(base::key_size(sa.suite));
    Session session;
    SessionOutput out;
    session.handle(Change{1, AddSa{std::move(sa)}}, {}, out);
    REQUIRE(out.send.size() == 1);
    const auto said = headers(out.send[0].bytes);
    REQUIRE(said.size() == 2);  // an old one of the same name is removed first
    REQUIRE(said[1].nlmsg_type == XFRM_MSG_NEWSA);
    const auto* message = reinterpret_cast<const nlmsghdr*>(out.send[0].bytes.data() + said[0].nlmsg_len);
    return fixed_header<xfrm_usersa_info>(message)->lft;
}

}  // namespace

TEST_CASE(
    "C19: an outbound SA of 32-bit sequence numbers has a soft limit of half of them, or the lower one asked "
    "for"
) {
    using base::Direction;
    constexpr std::uint64_t none = UINT64_MAX, half = std::uint64_t{1} << 31;
    CHECK(limits_of(Direction::out, false, 0, 0).soft_packet_limit == half);
    CHECK(limits_of(Direction::out, false, 0, 3000).soft_packet_limit == 3000);
    CHECK(limits_of(Direction::out, false, 0, half * 4).soft_packet_limit == half);
    CHECK(limits_of(Direction::out, true, 0, 0).soft_packet_limit == none);
    CHECK(limits_of(Direction::out, true, 0, half * 4).soft_packet_limit == half * 4);
    CHECK(limits_of(Direction::in, false, 0, 0).soft_packet_limit == none);
    CHECK(limits_of(Direction::in, false, 0, 3000).soft_packet_limit == 3000);
    for (const Direction direction : {Direction::in, Direction::out}) {
        CHECK(limits_of(direction, false, 0, 0).soft_byte_limit == none);
        const xfrm_lifetime_cfg limits = limits_of(direction, false, 1'000'000, 1);
        CHECK(limits.soft_byte_limit == 1'000'000);
        CHECK(limits.hard_byte_limit == none);  // nothing but we ends an SA
        CHECK(limits.hard_packet_limit == none);
        CHECK(limits.soft_add_expires_seconds + limits.hard_add_expires_seconds == 0);
    }
}

TEST_CASE("the kernel's word that an SA has reached a limit names the SA") {
    for (const bool hard : {false, true}) {
        xfrm_user_expire expire{};
        expire.state = sa(0x1001, 5000, 41);
        expire.hard = hard;
        Session session;
        SessionOutput out;
        session.handle(Channel::xfrm, message(XFRM_MSG_EXPIRE, 0, expire), {}, out);
        REQUIRE(out.notices.size() == 1);
        const auto* expiring = std::get_if<SaExpiring>(&out.notices[0]);
        REQUIRE(expiring != nullptr);
        CHECK(expiring->id == base::SaId{*base::Address::parse("192.0.2.1"), 0x1001});
        CHECK(expiring->hard == hard);
    }
}

TEST_CASE("policies are said together, inbound first, and switched to another SA by updates alone") {
    Session session;
    SessionOutput out;
    const auto at = [](const char* text) { return *base::Address::parse(text); };
    session.handle(Change{1, SetPolicies{{0x2a, 7, at("192.0.2.1"), at("192.0.2.2"), 0x1001}}}, {}, out);
    REQUIRE(out.send.size() == 1);
    const base::Bytes& bytes = out.send[0].bytes;
    std::vector<int> directions;
    std::size_t at_byte = 0;
    for (const nlmsghdr& header : headers(bytes)) {
        CHECK(header.nlmsg_type == XFRM_MSG_UPDPOLICY);
        const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data() + at_byte);
        directions.push_back(fixed_header<xfrm_userpolicy_info>(message)->dir);
        at_byte += NLMSG_ALIGN(header.nlmsg_len);
    }
    const int in = XFRM_POLICY_IN, fwd = XFRM_POLICY_FWD, outbound = XFRM_POLICY_OUT;
    CHECK(directions == std::vector{in, in, fwd, fwd, outbound, outbound});
}
