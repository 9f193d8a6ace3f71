// Security associations and policies (linux/xfrm.h); docs/netlink.md has what each field is for.

#include "netlink/codec.hpp"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/udp.h>
#include <linux/xfrm.h>

#include <algorithm>
#include <array>
#include <limits>

namespace aronet::netlink {
namespace {

using base::EspSuite;
using base::Sa;

constexpr std::uint8_t kEsp = 50;
constexpr unsigned kIcvAead = 128;  // bits
constexpr auto kForever = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kHalfOfTheNumbers = std::uint64_t{1} << 31;
constexpr std::uint32_t kMappingInterval = 1;  // seconds between notices of one new port

std::uint16_t af(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

void set(xfrm_address_t& out, const Address& address) {
    out = {};
    std::memcpy(&out, address.bytes().data(), address.bytes().size());
}

void set(xfrm_usersa_id& out, const base::SaId& id) {
    set(out.daddr, id.destination);
    out.spi = htonl(id.spi);
    out.family = af(id.destination.family());
    out.proto = kEsp;
}

Address address_of(const xfrm_address_t& address, std::uint16_t family) {
    const auto* bytes = reinterpret_cast<const Byte*>(&address);
    return *Address::from_bytes({bytes, family == AF_INET ? 4u : 16u});
}

void set_no_limits(xfrm_lifetime_cfg& limits) {
    limits.soft_byte_limit = limits.hard_byte_limit = kForever;
    limits.soft_packet_limit = limits.hard_packet_limit = kForever;
}

// The kernel tells of a soft limit once (XFRM_MSG_EXPIRE). Sequence numbers of 32 bits end the SA, so half of
// them are a limit by themselves.
void set_soft_limits(const Sa& sa, xfrm_lifetime_cfg& limits) {
    set_no_limits(limits);
    if (sa.soft_bytes != 0) limits.soft_byte_limit = sa.soft_bytes;
    if (sa.soft_packets != 0) limits.soft_packet_limit = sa.soft_packets;
    const bool numbers_end = !sa.esn && sa.direction == base::Direction::out;
    if (numbers_end)
        limits.soft_packet_limit = std::min<std::uint64_t>(limits.soft_packet_limit, kHalfOfTheNumbers);
}

// The names the kernel's crypto API gives the transforms, and where the key material is cut.
struct Algorithm {
    const char* aead = nullptr;
    const char* integrity = nullptr;
    std::size_t encryption_key = 0;  // octets, for CBC
    unsigned icv = kIcvAead;         // bits
};

Algorithm algorithm_of(EspSuite suite) {
    switch (suite) {
        case EspSuite::aes_gcm_128:
        case EspSuite::aes_gcm_192:
        case EspSuite::aes_gcm_256:
            return {"rfc4106(gcm(aes))"};
        case EspSuite::chacha20_poly1305:
            return {"rfc7539esp(chacha20,poly1305)"};
        case EspSuite::aes_cbc_128_sha256:
            return {nullptr, "hmac(sha256)", 16, 128};
        case EspSuite::aes_cbc_256_sha256:
            return {nullptr, "hmac(sha256)", 32, 128};
        case EspSuite::aes_cbc_256_sha512:
            return {nullptr, "hmac(sha512)", 32, 256};
    }
    return {};
}

template <class Header>
void put_algorithm(Builder& out, std::uint16_t type, const char* name, ByteView key, unsigned icv_bits) {
    Header header{};
    std::strncpy(header.alg_name, name, sizeof header.alg_name - 1);
    header.alg_key_len = static_cast<unsigned>(key.size() * 8);
    if constexpr (requires { header.alg_icv_len; }) header.alg_icv_len = icv_bits;
    if constexpr (requires { header.alg_trunc_len; }) header.alg_trunc_len = icv_bits;
    Bytes value(sizeof header);
    std::memcpy(value.data(), &header, sizeof header);
    value.insert(value.end(), key.begin(), key.end());
    out.put(type, value);
    base::wipe(value);
}

void put_algorithms(Builder& out, const Sa& sa) {
    const Algorithm algorithm = algorithm_of(sa.suite);
    const ByteView key = sa.key.view();
    if (algorithm.aead != nullptr) {
        return put_algorithm<xfrm_algo_aead>(out, XFRMA_ALG_AEAD, algorithm.aead, key, algorithm.icv);
    }
    put_algorithm<xfrm_algo>(out, XFRMA_ALG_CRYPT, "cbc(aes)", key.first(algorithm.encryption_key), 0);
    put_algorithm<xfrm_algo_auth>(
        out, XFRMA_ALG_AUTH_TRUNC, algorithm.integrity, key.subspan(algorithm.encryption_key), algorithm.icv
    );
}

// A window over 32 packets and ESN need the long form of the replay state, an outbound SA with ESN a window
// of one.
void put_replay_state(Builder& out, const Sa& sa, xfrm_usersa_info& info) {
    const std::uint32_t window = sa.direction == base::Direction::in ? sa.replay_window : sa.esn ? 1 : 0;
    if (!sa.esn && window <= 32) {
        info.replay_window = static_cast<__u8>(window);
        return;
    }
    const std::uint32_t words = (window + 31) / 32;
    Bytes value(sizeof(xfrm_replay_state_esn) + 4 * words);
    xfrm_replay_state_esn state{};
    state.bmp_len = words;
    state.replay_window = window;
    std::memcpy(value.data(), &state, sizeof state);
    out.put(XFRMA_REPLAY_ESN_VAL, value);
}

void put_encapsulation(Builder& out, std::uint16_t source_port, std::uint16_t destination_port) {
    xfrm_encap_tmpl encap{};
    encap.encap_type = UDP_ENCAP_ESPINUDP;
    encap.encap_sport = htons(source_port);
    encap.encap_dport = htons(destination_port);
    out.put_struct(XFRMA_ENCAP, encap);
}

// What an SA is wherever it runs. Of each there is what the SA has.
constexpr std::array<std::uint16_t, 7> kLasting{
    XFRMA_ALG_AEAD,
    XFRMA_ALG_CRYPT,
    XFRMA_ALG_AUTH_TRUNC,
    XFRMA_IF_ID,
    XFRMA_SET_MARK,
    XFRMA_SET_MARK_MASK,
    XFRMA_MTIMER_THRESH};

// The SA that was shown, under other endpoints; `type` is XFRM_MSG_NEWSA or UPDSA.
Builder same_sa(
    std::uint16_t type, const xfrm_usersa_info& info, const Attributes& shown, const MoveSa& wish
) {
    Builder out(type, NLM_F_ACK);
    auto& header = out.header<xfrm_usersa_info>();
    header = info;
    set(header.saddr, wish.source.address);
    set(header.id.daddr, wish.destination.address);
    header.family = af(wish.destination.family());
    for (const std::uint16_t each : kLasting) {
        if (const auto value = shown.find(each)) out.put(each, *value);
    }
    if (shown.find(XFRMA_ENCAP)) put_encapsulation(out, wish.source.port, wish.destination.port);
    return out;
}

// What the kernel has sent since it showed the SA must not get the same numbers again: the peer would take
// the second for the first played once more.
constexpr std::uint32_t kLeap = 1u << 16;

void put_numbers(Builder& out, const Attributes& shown, std::uint32_t leap) {
    if (const auto value = shown.find(XFRMA_REPLAY_ESN_VAL);
        value && value->size() >= sizeof(xfrm_replay_state_esn)) {
        Bytes copy(value->begin(), value->end());
        xfrm_replay_state_esn state;
        std::memcpy(&state, copy.data(), sizeof state);
        const std::uint64_t sent = (std::uint64_t{state.oseq_hi} << 32 | state.oseq) + leap;
        state.oseq = static_cast<__u32>(sent);
        state.oseq_hi = static_cast<__u32>(sent >> 32);
        std::memcpy(copy.data(), &state, sizeof state);
        out.put(XFRMA_REPLAY_ESN_VAL, copy);
    } else if (const auto old = shown.find(XFRMA_REPLAY_VAL);
               old && old->size() == sizeof(xfrm_replay_state)) {
        xfrm_replay_state state;
        std::memcpy(&state, old->data(), sizeof state);
        state.oseq += leap;
        out.put_struct(XFRMA_REPLAY_VAL, state);
    }
}

// A kernel that is locked down shows zeros for keys.
bool shows_key(const Attributes& shown) {
    const auto has_key = [](std::optional<ByteView> algorithm, std::size_t header) {
        return algorithm && algorithm->size() > header &&
               std::any_of(
                   algorithm->begin() + static_cast<std::ptrdiff_t>(header),
                   algorithm->end(),
                   [](Byte b) { return b != 0; }
               );
    };
    return has_key(shown.find(XFRMA_ALG_AEAD), sizeof(xfrm_algo_aead)) ||
           has_key(shown.find(XFRMA_ALG_CRYPT), sizeof(xfrm_algo));
}

xfrm_user_tmpl make_template(const Policies& policies, bool outbound) {
    xfrm_user_tmpl tmpl{};
    const Address& from = outbound ? policies.local : policies.remote;
    const Address& to = outbound ? policies.remote : policies.local;
    set(tmpl.saddr, from);
    set(tmpl.id.daddr, to);
    tmpl.id.proto = kEsp;
    tmpl.id.spi = outbound ? htonl(policies.spi_out) : 0;
    tmpl.family = af(from.family());
    tmpl.reqid = policies.reqid;
    tmpl.mode = XFRM_MODE_TUNNEL;
    tmpl.aalgos = tmpl.ealgos = tmpl.calgos = ~0u;
    return tmpl;
}

constexpr std::array<std::uint8_t, 3> kDirections{XFRM_POLICY_IN, XFRM_POLICY_FWD, XFRM_POLICY_OUT};
constexpr std::array<Family, 2> kFamilies{Family::v4, Family::v6};

// What packets one policy is for, and what it says of them.
struct Selection {
    std::uint8_t direction;
    Prefix source, destination;
    std::uint32_t priority = kPolicyPriority;
    bool refuses = false;
};

// Inbound first: the peer may send as soon as it can. What it may not bring before what it may.
std::vector<Selection> selections(const std::optional<Pin>& pin) {
    std::vector<Selection> all;
    if (pin) {
        const Prefix link_local = *Prefix::parse("fe80::/10");
        // Groups are heard on a link of its own alone.
        const Prefix to = pin->names_peer() ? Prefix::any(Family::v6) : link_local;
        const Prefix from = pin->names_peer() ? Prefix(pin->peer, kPinLength) : link_local;
        all.push_back({XFRM_POLICY_IN, link_local, to, kUnpinnedPriority, true});
        all.push_back({XFRM_POLICY_IN, from, Prefix::host(pin->own), kPinPriority});
    }
    for (const std::uint8_t direction : kDirections) {
        for (const Family family : kFamilies)
            all.push_back({direction, Prefix::any(family), Prefix::any(family)});
    }
    return all;
}

void set(xfrm_selector& out, const Selection& selection) {
    out.family = af(selection.source.family());
    set(out.saddr, selection.source.address());
    set(out.daddr, selection.destination.address());
    out.prefixlen_s = static_cast<__u8>(selection.source.length());
    out.prefixlen_d = static_cast<__u8>(selection.destination.length());
}

Bytes set_policy(const Policies& policies, const Selection& selection) {
    // Creates it or replaces it in one step: traffic switches from one outbound SA to the next without a gap.
    Builder out(XFRM_MSG_UPDPOLICY, NLM_F_ACK);
    auto& info = out.header<xfrm_userpolicy_info>();
    set(info.sel, selection);
    set_no_limits(info.lft);
    info.priority = selection.priority;
    info.dir = selection.direction;
    info.action = selection.refuses ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW;
    info.share = XFRM_SHARE_ANY;
    if (!selection.refuses)
        out.put_struct(XFRMA_TMPL, make_template(policies, selection.direction == XFRM_POLICY_OUT));
    out.put_u32(XFRMA_IF_ID, policies.if_id);
    return out.take();
}

Bytes remove_policy(std::uint32_t if_id, const Selection& selection) {
    Builder out(XFRM_MSG_DELPOLICY, NLM_F_ACK);
    auto& id = out.header<xfrm_userpolicy_id>();
    set(id.sel, selection);
    id.dir = selection.direction;
    out.put_u32(XFRMA_IF_ID, if_id);
    return out.take();
}

}  // namespace

Bytes add_sa(const Sa& sa) {
    Builder out(XFRM_MSG_NEWSA, NLM_F_ACK);
    auto& info = out.header<xfrm_usersa_info>();
    set(info.saddr, sa.source.address);
    set(info.id.daddr, sa.destination.address);
    info.id.spi = htonl(sa.spi);
    info.id.proto = kEsp;
    info.family = af(sa.destination.family());
    info.mode = sa.mode == base::SaMode::tunnel ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
    info.reqid = sa.reqid;
    // One tunnel SA carries IPv4 and IPv6. What is too large for a path that was once wider, or does not say
    // how wide it is, goes in fragments, as IKE and our own ESP do.
    const bool may_be_fragmented = sa.direction == base::Direction::out && sa.destination.address.is_v4();
    info.flags = static_cast<__u8>(
        (sa.mode == base::SaMode::tunnel ? XFRM_STATE_AF_UNSPEC : 0) | (sa.esn ? XFRM_STATE_ESN : 0) |
        (may_be_fragmented ? XFRM_STATE_NOPMTUDISC : 0)
    );
    set_soft_limits(sa, info.lft);
    put_replay_state(out, sa, info);
    put_algorithms(out, sa);
    if (sa.udp_encapsulation) put_encapsulation(out, sa.source.port, sa.destination.port);
    // Else the kernel tells with every packet that the peer has moved. Before Linux 5.17 it does so anyway.
    const bool may_move = sa.udp_encapsulation && sa.direction == base::Direction::in;
    if (may_move) out.put_u32(XFRMA_MTIMER_THRESH, kMappingInterval);
    out.put_u32(XFRMA_IF_ID, sa.if_id);
    if (sa.mark && sa.direction == base::Direction::out) out.put_u32(XFRMA_SET_MARK, *sa.mark);
    return out.take();
}

Bytes get_sa(const base::SaId& id) {
    Builder out(XFRM_MSG_GETSA, NLM_F_ACK);
    set(out.header<xfrm_usersa_id>(), id);
    return out.take();
}

// Where only ports are others the SA stays and is told of them. Else there has to be another one: beside the
// old one where it has another destination, in its place where not. The last message tells whether it is
// there.
std::vector<Bytes> move_sa(const nlmsghdr* shown, const MoveSa& wish) {
    const auto info = fixed_header<xfrm_usersa_info>(shown);
    const bool known = info && (info->family == AF_INET || info->family == AF_INET6);
    const Attributes attributes(shown, sizeof(xfrm_usersa_info));
    if (!known || !shows_key(attributes)) return {};
    const Address source = address_of(info->saddr, info->family);
    const bool same_destination = wish.destination.address == wish.id.destination;
    std::vector<Bytes> messages;
    if (same_destination && source == wish.source.address) {
        Builder told = same_sa(XFRM_MSG_UPDSA, *info, attributes, wish);
        put_numbers(told, attributes, 0);  // it keeps its own, and wants to see some where they are ESN
        messages.push_back(told.take());
        return messages;
    }
    if (same_destination) messages.push_back(remove_sa(wish.id, source));
    const bool outbound = wish.direction == base::Direction::out;
    const auto moved = [&](std::uint16_t type) {
        Builder out = same_sa(type, *info, attributes, wish);
        put_numbers(out, attributes, outbound ? kLeap : 0);
        out.put_struct(XFRMA_LTIME_VAL, info->curlft);
        return out.take();
    };
    messages.push_back(moved(XFRM_MSG_NEWSA));
    // Meanwhile a packet may have found no SA and left a state of its SPI that waits for a key, where
    // somebody listens to such wishes. That gives way to an update alone; else the update changes nothing.
    if (same_destination && outbound) messages.push_back(moved(XFRM_MSG_UPDSA));
    return messages;
}

Bytes remove_sa(const base::SaId& id, const Address& source) {
    Builder out(XFRM_MSG_DELSA, NLM_F_ACK);
    set(out.header<xfrm_usersa_id>(), id);
    xfrm_address_t from{};
    set(from, source);
    out.put_struct(XFRMA_SRCADDR, from);
    return out.take();
}

std::vector<Bytes> set_policies(const Policies& policies) {
    std::vector<Bytes> messages;
    for (const Selection& each : selections(policies.pin)) messages.push_back(set_policy(policies, each));
    return messages;
}

// What keeps packets out goes last.
std::vector<Bytes> remove_policies(std::uint32_t if_id, const std::optional<Pin>& pin) {
    std::vector<Bytes> messages;
    for (const Selection& each : selections(pin)) messages.push_back(remove_policy(if_id, each));
    std::ranges::reverse(messages);
    return messages;
}

std::optional<Snapshot::KnownSa> read_sa(const nlmsghdr* message) {
    const auto info = fixed_header<xfrm_usersa_info>(message);
    if (!info || (info->family != AF_INET && info->family != AF_INET6)) return std::nullopt;
    const Attributes attributes(message, sizeof(xfrm_usersa_info));
    Snapshot::KnownSa sa;
    sa.id = {address_of(info->id.daddr, info->family), ntohl(info->id.spi)};
    sa.source = address_of(info->saddr, info->family);
    sa.reqid = info->reqid;
    sa.if_id = attributes.u32(XFRMA_IF_ID).value_or(0);
    if (const auto bytes = attributes.find(XFRMA_ENCAP); bytes && bytes->size() >= sizeof(xfrm_encap_tmpl)) {
        xfrm_encap_tmpl encap;
        std::memcpy(&encap, bytes->data(), sizeof encap);
        sa.port = ntohs(encap.encap_dport);
    }
    sa.mark = attributes.u32(XFRMA_SET_MARK).value_or(0);
    sa.since = info->curlft.add_time;
    return sa;
}

std::optional<Counters::Sa> read_counters(const nlmsghdr* message) {
    const auto info = fixed_header<xfrm_usersa_info>(message);
    if (!info || (info->family != AF_INET && info->family != AF_INET6)) return std::nullopt;
    return Counters::Sa{
        {address_of(info->id.daddr, info->family), ntohl(info->id.spi)},
        info->curlft.bytes,
        info->curlft.packets,
        std::nullopt};
}

std::optional<std::uint32_t> read_policy_if_id(const nlmsghdr* message) {
    if (!fixed_header<xfrm_userpolicy_info>(message)) return std::nullopt;
    return Attributes(message, sizeof(xfrm_userpolicy_info)).u32(XFRMA_IF_ID);
}

std::optional<Policies> read_policy(const nlmsghdr* message) {
    const auto info = fixed_header<xfrm_userpolicy_info>(message);
    if (!info) return std::nullopt;
    const Attributes attributes(message, sizeof(xfrm_userpolicy_info));
    Policies policies{attributes.u32(XFRMA_IF_ID).value_or(0), 0, {}, {}, 0};
    const auto bytes = attributes.find(XFRMA_TMPL);
    if (policies.if_id == 0 || !bytes || bytes->size() < sizeof(xfrm_user_tmpl)) return std::nullopt;
    xfrm_user_tmpl tmpl;
    std::memcpy(&tmpl, bytes->data(), sizeof tmpl);
    if (tmpl.family != AF_INET && tmpl.family != AF_INET6) return std::nullopt;
    policies.reqid = tmpl.reqid;
    policies.local = address_of(tmpl.saddr, tmpl.family);
    policies.remote = address_of(tmpl.id.daddr, tmpl.family);
    if (info->priority == kPinPriority && info->sel.family == AF_INET6) {
        const bool names_peer = info->sel.prefixlen_s == kPinLength;
        policies.pin = {
            address_of(info->sel.daddr, AF_INET6),
            names_peer ? address_of(info->sel.saddr, AF_INET6) : Address::any(Family::v6)};
    }
    if (info->dir != XFRM_POLICY_OUT) {
        std::swap(policies.local, policies.remote);
    } else {
        policies.spi_out = ntohl(tmpl.id.spi);
    }
    return policies;
}

void join(const Policies& one, std::vector<Policies>& all) {
    const auto known = std::ranges::find(all, one.if_id, &Policies::if_id);
    if (known == all.end()) {
        all.push_back(one);
    } else {
        const auto pin = known->pin ? known->pin : one.pin;
        if (one.spi_out != 0) *known = one;
        known->pin = pin;
    }
}

std::optional<SaLost> read_lost_sa(const nlmsghdr* message) {
    if (message->nlmsg_type == XFRM_MSG_FLUSHSA) {
        const auto flush = fixed_header<xfrm_usersa_flush>(message);
        const bool of_esp = flush && (flush->proto == kEsp || flush->proto == 0);
        return of_esp ? std::optional(SaLost{}) : std::nullopt;
    }
    xfrm_usersa_id id{};
    if (message->nlmsg_type == XFRM_MSG_DELSA) {
        id = fixed_header<xfrm_usersa_id>(message).value_or(id);
    } else if (const auto info = fixed_header<xfrm_usersa_info>(message);
               info && message->nlmsg_type == XFRM_MSG_UPDSA) {
        id = {info->id.daddr, info->id.spi, info->family, info->id.proto};
    }
    if (id.proto != kEsp || (id.family != AF_INET && id.family != AF_INET6)) return std::nullopt;
    return SaLost{base::SaId{address_of(id.daddr, id.family), ntohl(id.spi)}};
}

std::optional<PoliciesLost> read_lost_policy(const nlmsghdr* message) {
    std::optional<std::uint32_t> if_id;
    switch (message->nlmsg_type) {
        case XFRM_MSG_FLUSHPOLICY:
            return PoliciesLost{};
        case XFRM_MSG_DELPOLICY:
            if_id = Attributes(message, sizeof(xfrm_userpolicy_id)).u32(XFRMA_IF_ID);
            break;
        case XFRM_MSG_NEWPOLICY:
        case XFRM_MSG_UPDPOLICY:
            if_id = read_policy_if_id(message);
            break;
        default:
            break;
    }
    return if_id ? std::optional(PoliciesLost{if_id}) : std::nullopt;
}

std::optional<SaExpiring> read_expire(const nlmsghdr* message) {
    const auto expire = fixed_header<xfrm_user_expire>(message);
    if (!expire || (expire->state.family != AF_INET && expire->state.family != AF_INET6)) return std::nullopt;
    const base::SaId id{
        address_of(expire->state.id.daddr, expire->state.family), ntohl(expire->state.id.spi)};
    return SaExpiring{id, expire->hard != 0};
}

std::optional<Mapping> read_mapping(const nlmsghdr* message) {
    const auto mapping = fixed_header<xfrm_user_mapping>(message);
    if (!mapping || (mapping->id.family != AF_INET && mapping->id.family != AF_INET6)) return std::nullopt;
    const base::SaId id{address_of(mapping->id.daddr, mapping->id.family), ntohl(mapping->id.spi)};
    return Mapping{id, {address_of(mapping->new_saddr, mapping->id.family), ntohs(mapping->new_sport)}};
}

}  // namespace aronet::netlink
