// Dumps that are not whole, against a kernel made here.

#include "netlink/codec.hpp"
#include "netlink/session.hpp"
#include "netlink/wire.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <cstring>
#include <functional>
#include <utility>

using namespace aronet;
using namespace aronet::netlink;

namespace {

constexpr std::uint32_t kIndex = 7;

base::Bytes as(std::uint16_t type, base::Bytes message) {
    std::memcpy(message.data() + offsetof(nlmsghdr, nlmsg_type), &type, sizeof type);
    return message;
}

base::Bytes sa(std::uint32_t spi) {
    Builder out(XFRM_MSG_NEWSA, 0);
    auto& info = out.header<xfrm_usersa_info>();
    info.family = AF_INET;
    inet_pton(AF_INET, "192.0.2.1", &info.id.daddr);
    info.id.spi = htonl(spi);
    info.curlft.bytes = spi;
    out.put_u32(XFRMA_IF_ID, 0x2a);
    return out.take();
}

std::vector<base::Bytes> links() {
    Link link;
    link.name = "aronet-1";
    link.kind = Tunnel{42};
    base::Bytes shown = create_link(link, -1);
    auto* body = static_cast<ifinfomsg*>(NLMSG_DATA(reinterpret_cast<nlmsghdr*>(shown.data())));
    body->ifi_index = kIndex;
    return {as(RTM_NEWLINK, shown)};
}

std::vector<base::Bytes> addresses() {
    LinkAddress address;
    address.address = *base::Address::parse("fe80::1");
    return {as(RTM_NEWADDR, add_address(address, kIndex))};
}

// Two of each, so that half of them can be lost.
std::vector<base::Bytes> routes(bool v6) {
    std::vector<base::Bytes> list;
    for (const char* text :
         {v6 ? "2001:db8:1::/48" : "10.1.0.0/16", v6 ? "2001:db8:2::/48" : "10.2.0.0/16"}) {
        Route route;
        route.key.destination = *Prefix::parse(text);
        route.link = "aronet-1";
        list.push_back(as(RTM_NEWROUTE, add_route(route, kIndex)));
    }
    return list;
}

// What there is to tell of a kind. An empty list is an answer, too.
std::vector<base::Bytes> told_on(Channel channel, const nlmsghdr* asked) {
    if (channel == Channel::xfrm && asked->nlmsg_type == XFRM_MSG_GETPOLICY) return {};
    if (channel == Channel::xfrm) return {sa(0x1001), sa(0x1002)};
    const auto family = fixed_header<rtgenmsg>(asked);
    switch (asked->nlmsg_type) {
        case RTM_GETLINK:
            return links();
        case RTM_GETADDR:
            return addresses();
        case RTM_GETROUTE:
            return routes(family->rtgen_family == AF_INET6);
        case RTM_GETRULE:
            return {as(RTM_NEWRULE, add_rule({}))};
        default:
            return {};
    }
}

// Asks for something, and is the kernel that answers, well or badly.
class Asked {
public:
    Asked() { ask(TakeSnapshot{"aronet", {}}); }
    explicit Asked(Wish wish) { ask(std::move(wish)); }

    void ask(Wish wish) { session.handle(Change{++last_id_, std::move(wish)}, now, out); }
    // What is asked next; a dump at a time.
    const nlmsghdr* asked() {
        REQUIRE(out.send.size() == 1);
        request_ = std::exchange(out.send, {}).front();
        const auto* header = reinterpret_cast<const nlmsghdr*>(request_.bytes.data());
        REQUIRE((header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
        REQUIRE(header->nlmsg_len == request_.bytes.size());
        ++dumps;
        return header;
    }
    void say(base::Bytes message, std::uint32_t sequence, std::uint16_t flags = 0) {
        auto* header = reinterpret_cast<nlmsghdr*>(message.data());
        header->nlmsg_seq = sequence;
        header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_MULTI | flags);
        session.handle(request_.channel, message, now, out);
    }
    void end(std::uint32_t sequence, int error = 0) {
        Builder done(NLMSG_DONE, 0);
        done.header<std::int32_t>() = -error;
        say(done.take(), sequence);
    }
    void answer_well() {
        const auto* header = asked();
        for (const base::Bytes& message : told(header)) say(message, header->nlmsg_seq);
        end(header->nlmsg_seq);
    }
    void answer_all() {
        while (!out.send.empty()) answer_well();
    }
    std::vector<base::Bytes> told(const nlmsghdr* asked) const { return told_on(request_.channel, asked); }
    // How it ended, and what it told.
    int error() const {
        REQUIRE_FALSE(out.notices.empty());
        const auto* done = std::get_if<Done>(&out.notices.back());
        REQUIRE(done != nullptr);
        CHECK(done->id == last_id_);
        return done->error;
    }
    template <class T>
    std::vector<T> heard() const {
        std::vector<T> all;
        for (const Notice& notice : out.notices) {
            if (const auto* one = std::get_if<T>(&notice)) all.push_back(*one);
        }
        return all;
    }
    void is_whole() const {
        CHECK(error() == 0);
        const auto snapshots = heard<Snapshot>();
        REQUIRE(snapshots.size() == 1);
        const Snapshot& s = snapshots[0];
        CHECK(s.links.size() == 1);
        CHECK(s.addresses.size() == 1);
        CHECK(s.routes.size() == 4);
        CHECK(s.rules.size() == 2);
        CHECK(s.sas.size() == 2);
        for (const Route& route : s.routes) CHECK(route.link == "aronet-1");
        CHECK(session.idle());
    }
    Channel channel() const { return request_.channel; }

    Session session;
    SessionOutput out;
    base::Instant now{};
    unsigned dumps = 0;

private:
    Outgoing request_;
    ChangeId last_id_ = 0;
};

constexpr unsigned kDumps = 8;  // of a snapshot

// The dump of which `bad` makes something else.
void with_each_dump(const std::function<void(Asked&, const nlmsghdr*)>& bad) {
    for (unsigned n = 0; n < kDumps; ++n) {
        INFO("dump " << n);
        Asked kernel;
        while (kernel.dumps < n) kernel.answer_well();
        bad(kernel, kernel.asked());
    }
}

}  // namespace

TEST_CASE("row 12: a dump during which something changed is asked for again, and only the whole one is told"
) {
    with_each_dump([](Asked& kernel, const nlmsghdr* asked) {
        for (int interrupted = 0; interrupted < 3; ++interrupted) {
            const auto sequence = asked->nlmsg_seq;
            const int type = asked->nlmsg_type;
            for (const base::Bytes& message : kernel.told(asked))
                kernel.say(message, sequence, NLM_F_DUMP_INTR);
            Builder done(NLMSG_DONE, 0);
            done.header<std::int32_t>() = 0;
            kernel.say(done.take(), sequence, NLM_F_DUMP_INTR);
            CHECK(kernel.heard<Done>().empty());
            if (interrupted < 2) asked = kernel.asked();
            CHECK(asked->nlmsg_type == type);
        }
        kernel.answer_all();
        kernel.is_whole();
        CHECK(kernel.dumps == kDumps + 2 + 1);
    });
}

TEST_CASE("row 12: what a torn dump has counted is not told") {
    Asked kernel(ReadCounters{});
    for (int torn = 0; torn < 2; ++torn) {
        const auto sequence = kernel.asked()->nlmsg_seq;
        kernel.say(sa(1), sequence, torn == 0 ? NLM_F_DUMP_INTR : 0);
        if (torn == 1) kernel.session.lost(kernel.channel(), kernel.now, kernel.out);
        kernel.end(sequence);
        CHECK(kernel.heard<Done>().empty());
    }
    kernel.answer_all();
    const auto counters = kernel.heard<Counters>();
    REQUIRE(counters.size() == 1);
    CHECK(counters[0].sas.size() == 2);
    CHECK(kernel.error() == 0);
}

TEST_CASE("row 12: a dump without an end fails in time, and what comes of it later is nobody's") {
    with_each_dump([](Asked& kernel, const nlmsghdr* asked) {
        const nlmsghdr old = *asked;
        const std::vector<base::Bytes> messages = kernel.told(asked);
        if (!messages.empty()) kernel.say(messages[0], old.nlmsg_seq);
        REQUIRE(kernel.session.deadline());
        kernel.now = kernel.session.deadline()->at;
        kernel.session.tick(kernel.now, kernel.out);
        CHECK(kernel.error() == ETIMEDOUT);
        CHECK(kernel.heard<Snapshot>().empty());
        kernel.out.clear();
        kernel.ask(TakeSnapshot{"aronet", {}});
        while (!kernel.out.send.empty()) {
            const auto* again = kernel.asked();
            for (const base::Bytes& message : messages) kernel.say(message, old.nlmsg_seq);
            kernel.end(old.nlmsg_seq);
            for (const base::Bytes& message : kernel.told(again)) kernel.say(message, again->nlmsg_seq);
            kernel.end(again->nlmsg_seq);
        }
        kernel.is_whole();
    });
}

TEST_CASE("row 12: what has another number than the dump is not part of it, and no notice") {
    with_each_dump([](Asked& kernel, const nlmsghdr* asked) {
        const auto sequence = asked->nlmsg_seq;
        kernel.out.notices.clear();
        for (const std::uint32_t other : {sequence - 1, sequence + 1, sequence + 1000}) {
            for (const base::Bytes& message : kernel.told(asked)) kernel.say(message, other);
            kernel.end(other);
        }
        CHECK(kernel.out.notices.empty());
        for (const base::Bytes& message : kernel.told(asked)) kernel.say(message, sequence);
        kernel.end(sequence);
        kernel.answer_all();
        kernel.is_whole();
        CHECK(kernel.dumps == kDumps);
    });
}

TEST_CASE("row 12: a snapshot of which something was lost is taken anew, links first") {
    with_each_dump([](Asked& kernel, const nlmsghdr* asked) {
        const auto sequence = asked->nlmsg_seq;
        const std::vector<base::Bytes> messages = kernel.told(asked);
        if (!messages.empty()) {  // the datagram is cut in the midst of its last message
            base::Bytes cut = messages.back();
            cut.resize(cut.size() - 1);
            kernel.say(std::move(cut), sequence);
        }
        kernel.session.lost(kernel.channel(), kernel.now, kernel.out);
        CHECK(kernel.heard<Lost>().size() == 1);
        kernel.end(sequence);
        CHECK(kernel.heard<Done>().empty());
        const auto* first = kernel.asked();
        CHECK(first->nlmsg_type == RTM_GETLINK);
        for (const base::Bytes& message : kernel.told(first)) kernel.say(message, first->nlmsg_seq);
        kernel.end(first->nlmsg_seq);
        kernel.answer_all();
        kernel.is_whole();
    });
}

TEST_CASE("row 12: a snapshot of which something is lost each time fails in the end, as others wait for it") {
    Asked kernel;
    while (!kernel.out.send.empty()) {
        const auto* asked = kernel.asked();
        kernel.session.lost(kernel.channel(), kernel.now, kernel.out);
        kernel.end(asked->nlmsg_seq);
        REQUIRE(kernel.dumps < 100);
    }
    CHECK(kernel.error() == ENOBUFS);
    CHECK(kernel.heard<Snapshot>().empty());
    CHECK(kernel.session.idle());
}

TEST_CASE("row 12: a dump that the kernel gives up has failed, with the error at its end") {
    with_each_dump([](Asked& kernel, const nlmsghdr* asked) {
        const auto sequence = asked->nlmsg_seq;
        const std::vector<base::Bytes> messages = kernel.told(asked);
        if (!messages.empty()) kernel.say(messages[0], sequence);
        kernel.end(sequence, ENOMEM);
        CHECK(kernel.error() == ENOMEM);
        CHECK(kernel.heard<Snapshot>().empty());
        CHECK(kernel.session.idle());
    });
}
