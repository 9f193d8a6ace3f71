// What the kernel tells of SAs and policies that others have altered.

#include "netlink/session.hpp"
#include "netlink/wire.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>

#include <cstring>
#include <vector>

using namespace aronet;
using namespace aronet::netlink;

namespace {

constexpr std::uint32_t kOurs = 4711;

xfrm_usersa_info sa(std::uint8_t protocol) {
    xfrm_usersa_info info{};
    info.family = AF_INET;
    inet_pton(AF_INET, "192.0.2.1", &info.id.daddr);
    info.id.spi = htonl(0x1001);
    info.id.proto = protocol;
    return info;
}

// What is told of a message that somebody's socket has caused.
std::vector<Notice> told_of(Builder message, std::uint32_t port) {
    Session session;
    session.use_port(kOurs);
    base::Bytes bytes = message.take();
    std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_pid), &port, sizeof port);
    SessionOutput out;
    session.handle(Channel::xfrm_notices, bytes, {}, out);
    return out.notices;
}

Builder sa_message(std::uint16_t type, std::uint8_t protocol) {
    Builder out(type, 0);
    out.header<xfrm_usersa_info>() = sa(protocol);
    return out;
}

}  // namespace

TEST_CASE("row 4: an SA that somebody alters is told of as lost, one that we alter is not") {
    const auto notices = told_of(sa_message(XFRM_MSG_UPDSA, IPPROTO_ESP), 1234);
    REQUIRE(notices.size() == 1);
    const auto* lost = std::get_if<SaLost>(&notices[0]);
    REQUIRE(lost != nullptr);
    CHECK(lost->id == base::SaId{*base::Address::parse("192.0.2.1"), 0x1001});
    CHECK(told_of(sa_message(XFRM_MSG_UPDSA, IPPROTO_ESP), kOurs).empty());
    CHECK(told_of(sa_message(XFRM_MSG_UPDSA, IPPROTO_AH), 1234).empty());
    CHECK(told_of(sa_message(XFRM_MSG_NEWSA, IPPROTO_ESP), 1234).empty());  // another, of somebody else
    CHECK(told_of(Builder(XFRM_MSG_UPDSA, 0), 1234).empty());
}

TEST_CASE("row 6: a policy that somebody alters is told of as lost, one that we alter is not") {
    const auto altered = [](std::optional<std::uint32_t> if_id) {
        Builder out(XFRM_MSG_UPDPOLICY, 0);
        out.header<xfrm_userpolicy_info>().dir = XFRM_POLICY_OUT;
        if (if_id) out.put_u32(XFRMA_IF_ID, *if_id);
        return out;
    };
    const auto notices = told_of(altered(0x2a), 1234);
    REQUIRE(notices.size() == 1);
    const auto* lost = std::get_if<PoliciesLost>(&notices[0]);
    REQUIRE(lost != nullptr);
    CHECK(lost->if_id == 0x2a);
    CHECK(told_of(altered(0x2a), kOurs).empty());
    CHECK(told_of(altered(std::nullopt), 1234).empty());  // of no link: nobody of ours
}
