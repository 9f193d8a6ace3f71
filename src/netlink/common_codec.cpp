// What is the same for all kinds: asking for everything there is, and the answer to a request.

#include "netlink/codec.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace aronet::netlink {

Bytes dump(std::uint16_t type, std::uint8_t family) {
    Builder out(type, NLM_F_DUMP);
    // Strict checking wants the header of the message's own kind, with nothing but the family in it.
    switch (type) {
        case RTM_GETLINK:
            out.header<ifinfomsg>().ifi_family = family;
            break;
        case RTM_GETADDR:
            out.header<ifaddrmsg>().ifa_family = family;
            break;
        case RTM_GETROUTE:
            out.header<rtmsg>().rtm_family = family;
            break;
        case RTM_GETRULE:
            out.header<rtmsg>().rtm_family = family;
            break;
        default:
            break;
    }
    return out.take();
}

std::optional<Acknowledgement> read_acknowledgement(const nlmsghdr* message) {
    const auto error = fixed_header<nlmsgerr>(message);
    if (!error) return std::nullopt;
    // The kernel's errors are small negative numbers; anything else is none of them.
    const bool sane = error->error <= 0 && error->error > -4096;
    Acknowledgement answer{sane ? -error->error : EIO, {}};
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
        // Behind the error stands our own message, whole unless it was capped.
        const bool capped = (message->nlmsg_flags & NLM_F_CAPPED) != 0;
        const std::size_t echoed =
            capped ? sizeof(nlmsghdr) : std::max<std::size_t>(error->msg.nlmsg_len, sizeof(nlmsghdr));
        answer.text = Attributes(message, sizeof error->error + MNL_ALIGN(echoed)).text(NLMSGERR_ATTR_MSG);
    }
    return answer;
}

}  // namespace aronet::netlink
