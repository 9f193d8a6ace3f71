// The policies of a tunnel in the kernel's words, and back.

#include "netlink/codec.hpp"

#include <catch2/catch.hpp>

#include <linux/netlink.h>
#include <linux/xfrm.h>

#include <set>

using namespace aronet;
using namespace aronet::netlink;

TEST_CASE("a tunnel that is pinned lets in what is link-local from its peer alone, and is known again by it"
) {
    const auto at = [](const char* text) { return *base::Address::parse(text); };
    const Policies pinned{
        0x2a, 7, at("192.0.2.1"), at("192.0.2.2"), 0x1001, Pin{at("fe80::1"), at("fe80::2:0")}};
    struct Seen {
        int direction, action;
        std::uint32_t priority;
        base::Prefix from, to;
        auto operator<=>(const Seen&) const = default;
    };
    std::vector<Seen> seen;
    std::vector<Policies> known;
    for (const base::Bytes& bytes : set_policies(pinned)) {
        const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
        const auto info = *fixed_header<xfrm_userpolicy_info>(message);
        if (const auto policy = read_policy(message)) join(*policy, known);
        if (info.sel.family != AF_INET6 || info.dir != XFRM_POLICY_IN) continue;
        const auto prefix = [](const xfrm_address_t& address, unsigned length) {
            return base::Prefix(
                *base::Address::from_bytes({reinterpret_cast<const base::Byte*>(&address), 16}), length
            );
        };
        seen.push_back(
            {info.dir,
             info.action,
             info.priority,
             prefix(info.sel.saddr, info.sel.prefixlen_s),
             prefix(info.sel.daddr, info.sel.prefixlen_d)}
        );
    }
    const auto in = [](const char* text) { return *base::Prefix::parse(text); };
    const int dir = XFRM_POLICY_IN;
    // What is refused, before anything is let in.
    CHECK(
        seen ==
        std::vector<Seen>{
            {dir, XFRM_POLICY_BLOCK, kUnpinnedPriority, in("fe80::/10"), in("::/0")},
            {dir, XFRM_POLICY_ALLOW, kPinPriority, in("fe80::2:0/112"), in("fe80::1/128")},
            {dir, XFRM_POLICY_ALLOW, kPolicyPriority, in("::/0"), in("::/0")},
        }
    );
    CHECK(kPinPriority < kUnpinnedPriority);
    CHECK(kUnpinnedPriority < kPolicyPriority);
    CHECK(known == std::vector{pinned});
    CHECK(remove_policies(0x2a, pinned.pin).size() == 8);
    CHECK(remove_policies(0x2a).size() == 6);
}

TEST_CASE("a tunnel with a link of its own beside a shared one lets in what is for an address on that alone"
) {
    const auto at = [](const char* text) { return *base::Address::parse(text); };
    const Pin own{at("fe80::1"), base::Address::any(base::Family::v6)};
    const Policies pinned{0x2a, 7, at("192.0.2.1"), at("192.0.2.2"), 0x1001, own};
    std::vector<Policies> known;
    std::set<std::pair<unsigned, unsigned>> lengths;  // of what is looked for in packets that come in
    for (const base::Bytes& bytes : set_policies(pinned)) {
        const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
        const auto info = *fixed_header<xfrm_userpolicy_info>(message);
        if (const auto policy = read_policy(message)) join(*policy, known);
        const bool inbound = info.sel.family == AF_INET6 && info.dir == XFRM_POLICY_IN;
        if (inbound) lengths.emplace(info.sel.prefixlen_s, info.sel.prefixlen_d);
    }
    CHECK(lengths == std::set<std::pair<unsigned, unsigned>>{{10, 10}, {10, 128}, {0, 0}});
    CHECK(known == std::vector{pinned});
}
