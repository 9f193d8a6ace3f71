#include "babel/packet.hpp"

namespace aronet::babel {

using base::ByteView;
using base::Reader;
using base::Writer;

TlvWalker::TlvWalker(ByteView packet, Part part) {
    Reader header(packet);
    const std::uint8_t magic = header.u8(), version = header.u8();
    const std::size_t length = header.u16();
    if (header.failed() || magic != kMagic || version != kVersion) {
        malformed_ = Malformed::not_babel;
    } else if (length > header.left()) {
        malformed_ = Malformed::bad_packet_length;
    } else {
        const ByteView body = header.take(length);  // what follows is the trailer (section 4.2)
        in_ = Reader(part == Part::body ? body : header.rest());
    }
}

std::optional<TlvWalker::Item> TlvWalker::next() {
    while (in_.left() > 0) {
        const std::uint8_t type = in_.u8();
        if (type == std::uint8_t(TlvType::pad1)) continue;
        const std::size_t length = in_.u8();
        const ByteView body = in_.take(length);
        if (!in_.failed()) return Item{type, body};
        malformed_ = Malformed::tlv_beyond_end;
        in_ = Reader(ByteView());
    }
    return std::nullopt;
}

std::optional<Event> PacketReader::next() {
    while (const auto item = walker_.next()) {
        if (auto event = take(decode(item->type, item->body))) return event;
    }
    if (!walker_.malformed() || told_framing_error_) return std::nullopt;
    told_framing_error_ = true;
    return *walker_.malformed();
}

// Even a TLV that is to be ignored leaves its mark on the state (section 4.5).
std::optional<Event> PacketReader::take(const Decoded& decoded) {
    if (!decoded.tlv) return decoded.ignore ? std::optional<Event>(*decoded.ignore) : std::nullopt;
    if (const auto* update = std::get_if<Update>(&*decoded.tlv)) return take_update(*update, decoded.ignore);
    if (const auto* id = std::get_if<RouterIdTlv>(&*decoded.tlv)) {
        router_id_ = valid(id->id) ? std::optional(id->id) : std::nullopt;
        if (!router_id_) return Malformed::bad_router_id;
    }
    if (const auto* hop = std::get_if<NextHop>(&*decoded.tlv)) {
        if (hop->address.is_v4())
            next_hop_v4_ = hop->address;
        else
            next_hop_v6_ = hop->address;
    }
    if (decoded.ignore) return *decoded.ignore;
    return std::visit(
        [](const auto& tlv) -> std::optional<Event> {
            if constexpr (std::is_constructible_v<Event, decltype(tlv)>)
                return Event(tlv);
            else
                return std::nullopt;
        },
        *decoded.tlv
    );
}

std::optional<Event> PacketReader::take_update(const Update& update, std::optional<Malformed> ignore) {
    if (update.encoding == Encoding::wildcard) {
        if (ignore) return *ignore;
        const bool whole = update.length == 0 && update.omitted == 0 && !update.source;
        if (update.metric != kInfinity || !whole) return Malformed::bad_wildcard;
        return Announcement{};
    }
    const auto prefix = complete(update);
    if (!prefix) return Malformed::no_default_prefix;
    if (update.sets_default_prefix) default_prefix_[std::size_t(update.encoding)] = prefix->address();
    if (update.sets_router_id) {
        std::array<base::Byte, 8> id{};
        const ByteView address = prefix->address().bytes();
        const ByteView tail = address.last(std::min<std::size_t>(8, address.size()));
        std::copy_backward(tail.begin(), tail.end(), id.end());
        const RouterId value = Reader(id).u64();
        router_id_ = valid(value) ? std::optional(value) : std::nullopt;
    }
    if (ignore) return *ignore;
    Event whole = announcement(update, *prefix);
    auto* about = std::get_if<Announcement>(&whole);
    if (about != nullptr && update.source) about->about->source = *update.source;
    return whole;
}

std::optional<Prefix> PacketReader::complete(const Update& update) const {
    const bool v4 = update.encoding == Encoding::v4 || update.encoding == Encoding::v4_via_v6;
    std::array<base::Byte, 16> octets{};
    std::size_t at = 0;
    if (update.encoding == Encoding::link_local) {
        if (update.omitted != 0) return std::nullopt;
        octets = {0xfe, 0x80};
        at = 8;
    } else if (update.omitted > 0) {
        const auto& base = default_prefix_[std::size_t(update.encoding)];
        if (!base) return std::nullopt;
        std::copy_n(base->bytes().begin(), update.omitted, octets.begin());
        at = update.omitted;
    }
    std::copy_n(update.octets.begin(), update.octet_count(), octets.begin() + std::ptrdiff_t(at));
    return Prefix(*Address::from_bytes(ByteView(octets).first(v4 ? 4 : 16)), update.length);
}

// Section 4.6.9: a retraction needs neither router-id nor next hop nor interval.
Event PacketReader::announcement(const Update& update, const Prefix& prefix) const {
    Announcement whole;
    whole.about = Destination::of(prefix);
    whole.metric = update.metric;
    if (update.metric == kInfinity) return whole;
    if (!router_id_) return Malformed::no_router_id;
    if (update.encoding == Encoding::v4 && !next_hop_v4_) return Malformed::no_next_hop;
    if (update.interval.centiseconds == 0) return Malformed::bad_interval;
    whole.router_id = *router_id_;
    whole.next_hop = update.encoding == Encoding::v4 ? *next_hop_v4_ : next_hop_v6_;
    whole.seqno = update.seqno;
    whole.interval = update.interval;
    return whole;
}

PacketWriter::PacketWriter(std::size_t size_max) : size_max_(size_max) { bytes_ = {kMagic, kVersion, 0, 0}; }

bool PacketWriter::add(const Tlv& tlv) {
    const std::size_t before = bytes_.size();
    Writer out(bytes_, size_max_ - before);
    encode(tlv, out);
    if (out.failed()) bytes_.resize(before);
    return !out.failed();
}

bool PacketWriter::add(const Announcement& announcement, Encoding v4) {
    const std::size_t before = bytes_.size();
    const State state = state_;
    if (write(announcement, v4)) return true;
    bytes_.resize(before);
    state_ = state;
    return false;
}

bool PacketWriter::write(const Announcement& announcement, Encoding v4) {
    if (!announcement.about) return add(Tlv(Update{.interval = announcement.interval}));
    const bool is_v4 = announcement.about->prefix.family() == base::Family::v4;
    const Encoding encoding = is_v4 ? v4 : Encoding::v6;
    if (announcement.metric != kInfinity) {
        if (state_.router_id != announcement.router_id) {
            if (!add(Tlv(RouterIdTlv{announcement.router_id}))) return false;
            state_.router_id = announcement.router_id;
        }
        if (encoding == Encoding::v4 && state_.next_hop_v4 != announcement.next_hop) {
            if (!add(Tlv(NextHop{announcement.next_hop}))) return false;
            state_.next_hop_v4 = announcement.next_hop;
        }
    }
    return add(Tlv(compressed(announcement, encoding)));
}

// Every ordinary update becomes the default for the next: sorted prefixes have most in common with their
// neighbours.
Update PacketWriter::compressed(const Announcement& announcement, Encoding encoding) {
    const Prefix& prefix = announcement.about->prefix;
    const ByteView octets = prefix.address().bytes();
    const std::size_t count = (prefix.length() + 7) / 8;
    auto& base = state_.default_prefix[std::size_t(encoding)];
    std::size_t omitted = 0;
    while (base && omitted < count && octets[omitted] == base->bytes()[omitted]) ++omitted;
    Update update{
        .encoding = encoding,
        .length = static_cast<std::uint8_t>(prefix.length()),
        .omitted = static_cast<std::uint8_t>(omitted),
        .interval = announcement.interval,
        .seqno = announcement.seqno,
        .metric = announcement.metric,
    };
    std::copy(
        octets.begin() + std::ptrdiff_t(omitted),
        octets.begin() + std::ptrdiff_t(count),
        update.octets.begin()
    );
    if (announcement.about->source_specific()) {
        update.source = announcement.about->source;  // peers without RFC 9079 need not keep state from these
    } else {
        update.sets_default_prefix = true;
        base = prefix.address();
    }
    return update;
}

base::Bytes PacketWriter::finish() {
    const std::size_t length = bytes_.size() - kHeaderSize;
    bytes_[2] = static_cast<base::Byte>(length >> 8);
    bytes_[3] = static_cast<base::Byte>(length & 0xff);
    base::Bytes packet = {kMagic, kVersion, 0, 0};
    packet.swap(bytes_);
    state_ = {};
    return packet;
}

}  // namespace aronet::babel
