// The Session against answers made here, without any kernel.

#include "netlink/session.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>

#include <cstring>

using namespace aronet;
using namespace aronet::netlink;

namespace {

template <class Body>
base::Bytes message(std::uint16_t type, std::uint32_t sequence, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_len = sizeof header + sizeof body;
    header.nlmsg_type = type;
    header.nlmsg_flags = NLM_F_MULTI;
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

}  // namespace

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
