// The nftables table that clamps TCP's segments (nfnetlink, linux/netfilter/nf_tables.h). Numbers are in
// network order there.

#include "netlink/codec.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>

namespace aronet::netlink {
namespace {

constexpr const char* kChain = "forward";
constexpr std::int32_t kPriority = -150;  // "mangle": before others decide
constexpr std::uint8_t kMaxSegmentOption = 2, kSyn = 0x02;
constexpr std::uint32_t kFlagsOffset = 13;  // in a TCP header

Builder message(std::uint16_t type, std::uint16_t flags, std::uint8_t family, std::uint16_t subsystem = 0) {
    Builder out(type, flags);
    auto& header = out.header<nfgenmsg>();
    header.nfgen_family = family;
    header.res_id = htons(subsystem);
    return out;
}

Builder request(int type, std::uint16_t flags) {
    return message(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET);
}

void put_number(Builder& out, std::uint16_t type, std::uint32_t value) { out.put_u32(type, htonl(value)); }

void put_data(Builder& out, std::uint16_t type, ByteView value) {
    out.nest(type, [&] { out.put(NFTA_DATA_VALUE, value); });
}

// The expressions of one rule. All of them work on one register.
struct Expressions {
    Builder& out;

    void load(nft_meta_keys key) {
        one("meta", [&] {
            put_number(out, NFTA_META_KEY, key);
            put_number(out, NFTA_META_DREG, NFT_REG_1);
        });
    }
    void compare(nft_cmp_ops how, ByteView value) {
        one("cmp", [&] {
            put_number(out, NFTA_CMP_SREG, NFT_REG_1);
            put_number(out, NFTA_CMP_OP, how);
            put_data(out, NFTA_CMP_DATA, value);
        });
    }
    void is(std::uint8_t value) { compare(NFT_CMP_EQ, {&value, 1}); }
    void is_syn() {
        const std::uint8_t mask = kSyn, none = 0;
        one("payload", [&] {
            put_number(out, NFTA_PAYLOAD_DREG, NFT_REG_1);
            put_number(out, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
            put_number(out, NFTA_PAYLOAD_OFFSET, kFlagsOffset);
            put_number(out, NFTA_PAYLOAD_LEN, 1);
        });
        one("bitwise", [&] {
            put_number(out, NFTA_BITWISE_SREG, NFT_REG_1);
            put_number(out, NFTA_BITWISE_DREG, NFT_REG_1);
            put_number(out, NFTA_BITWISE_LEN, 1);
            put_data(out, NFTA_BITWISE_MASK, {&mask, 1});
            put_data(out, NFTA_BITWISE_XOR, {&none, 1});
        });
        compare(NFT_CMP_NEQ, {&none, 1});
    }
    void lower_to(std::uint16_t size) {  // the kernel leaves smaller ones as they are
        const std::array<Byte, 2> value{static_cast<Byte>(size >> 8), static_cast<Byte>(size)};
        one("immediate", [&] {
            put_number(out, NFTA_IMMEDIATE_DREG, NFT_REG_1);
            put_data(out, NFTA_IMMEDIATE_DATA, value);
        });
        one("exthdr", [&] {
            put_number(out, NFTA_EXTHDR_SREG, NFT_REG_1);
            out.put_u8(NFTA_EXTHDR_TYPE, kMaxSegmentOption);
            put_number(out, NFTA_EXTHDR_OFFSET, 2);
            put_number(out, NFTA_EXTHDR_LEN, 2);
            put_number(out, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
        });
    }

private:
    void one(const char* name, const std::function<void()>& inside) {
        out.nest(NFTA_LIST_ELEM, [&] {
            out.put_text(NFTA_EXPR_NAME, name);
            out.nest(NFTA_EXPR_DATA, inside);
        });
    }
};

Bytes table(const ClampSegments& wish) {
    Builder out = request(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    out.put_text(NFTA_TABLE_NAME, wish.table);
    put_number(out, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
    return out.take();
}

Bytes chain(const ClampSegments& wish) {
    Builder out = request(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    out.put_text(NFTA_CHAIN_TABLE, wish.table);
    out.put_text(NFTA_CHAIN_NAME, kChain);
    out.nest(NFTA_CHAIN_HOOK, [&] {
        put_number(out, NFTA_HOOK_HOOKNUM, NF_INET_FORWARD);
        put_number(out, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(kPriority));
    });
    out.put_text(NFTA_CHAIN_TYPE, "filter");
    return out.take();
}

Bytes rule(const ClampSegments& wish, nft_meta_keys side, Family family) {
    Builder out = request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    out.put_text(NFTA_RULE_TABLE, wish.table);
    out.put_text(NFTA_RULE_CHAIN, kChain);
    std::array<Byte, IFNAMSIZ> link{};
    std::copy_n(wish.link.begin(), std::min(wish.link.size(), link.size() - 1), link.begin());
    out.nest(NFTA_RULE_EXPRESSIONS, [&] {
        Expressions rule{out};
        rule.load(side);
        rule.compare(NFT_CMP_EQ, link);
        rule.load(NFT_META_NFPROTO);
        rule.is(family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
        rule.load(NFT_META_L4PROTO);
        rule.is(IPPROTO_TCP);
        rule.is_syn();
        rule.lower_to(family == Family::v4 ? wish.ipv4 : wish.ipv6);
    });
    return out.take();
}

}  // namespace

Bytes ask_for_filter_table(const std::string& name) {
    Builder out = request(NFT_MSG_GETTABLE, NLM_F_ACK);
    out.put_text(NFTA_TABLE_NAME, name);
    return out.take();
}

Bytes clamp_segments(const ClampSegments& wish) {
    Bytes batch = message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES).take();
    const auto add = [&](const Bytes& bytes) { batch.insert(batch.end(), bytes.begin(), bytes.end()); };
    add(table(wish));
    add(chain(wish));
    for (const nft_meta_keys side : {NFT_META_IIFNAME, NFT_META_OIFNAME}) {
        for (const Family family : {Family::v4, Family::v6}) add(rule(wish, side, family));
    }
    add(message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES).take());
    return batch;
}

}  // namespace aronet::netlink
