#include "esp/association.hpp"

#include "esp/inner.hpp"

namespace aronet::esp {
namespace {

base::Random::Seed fresh_seed(base::Random& random) {
    base::Random::Seed seed;
    random.fill(seed);
    return seed;
}

void count(Tally& tally, Drop drop, std::size_t size, base::Instant now) {
    if (drop != Drop::none) return tally.drops.add(drop);
    tally.packets.add();
    tally.bytes.add(size);
    tally.last_used.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

}  // namespace

std::unique_ptr<OutboundSa> OutboundSa::make(const base::Sa& sa, base::Random& random) {
    auto cipher = Cipher::make(sa.suite, base::Direction::out, sa.key.view());
    if (!cipher) return nullptr;
    return std::unique_ptr<OutboundSa>(new OutboundSa(sa, std::move(*cipher), random));
}

OutboundSa::OutboundSa(const base::Sa& sa, Cipher cipher, base::Random& random)
    : spi_(sa.spi),
      esn_(sa.esn),
      cipher_(std::move(cipher)),
      limits_(sa),
      iv_mask_(random.u64()),
      iv_source_(fresh_seed(random)) {}

void OutboundSa::seal(Packet& packet, base::Instant now) {
    const std::size_t inner = packet.size;
    packet.drop = wrap(packet);
    count(tally_, packet.drop, inner, now);
}

Drop OutboundSa::wrap(Packet& packet) {
    const auto next_header = next_header_of(packet.bytes());
    if (!next_header) return Drop::not_ip;
    if (sequence_ == (esn_ ? UINT64_MAX : UINT32_MAX)) return Drop::sequence_exhausted;

    const std::size_t trailer = padding_size(packet.size, cipher_.block_size()) + kTrailerSize;
    const std::size_t before = kHeaderSize + cipher_.iv_size();
    const std::size_t after = trailer + cipher_.icv_size();
    if (packet.at < before || packet.room.size() - packet.at - packet.size < after) return Drop::no_room;

    packet.traffic_class = traffic_class_of(packet.bytes());
    encode_trailer(*next_header, packet.room.subspan(packet.at + packet.size, trailer));
    packet.at -= before;
    packet.size += before + after;
    ++sequence_;
    encode_header({spi_, static_cast<std::uint32_t>(sequence_)}, packet.bytes());
    write_iv(packet.bytes().subspan(kHeaderSize, cipher_.iv_size()));
    const auto high = static_cast<std::uint32_t>(sequence_ >> 32);
    return cipher_.seal(packet.bytes(), esn_ ? std::optional(high) : std::nullopt) ? Drop::none
                                                                                   : Drop::cipher_refused;
}

void OutboundSa::write_iv(std::span<Byte> iv) {
    if (cipher_.needs_unpredictable_iv()) return iv_source_.fill(iv);
    const std::uint64_t value = sequence_ ^ iv_mask_;
    for (unsigned i = 0; i < 8; ++i) iv[i] = static_cast<Byte>(value >> (56 - 8 * i));
}

std::unique_ptr<InboundSa> InboundSa::make(const base::Sa& sa) {
    auto cipher = Cipher::make(sa.suite, base::Direction::in, sa.key.view());
    if (!cipher) return nullptr;
    return std::unique_ptr<InboundSa>(new InboundSa(sa, std::move(*cipher)));
}

InboundSa::InboundSa(const base::Sa& sa, Cipher cipher)
    : cipher_(std::move(cipher)), window_(sa.replay_window, sa.esn), limits_(sa) {}

void InboundSa::open(Packet& packet, std::uint32_t sequence, const base::Endpoint& peer, base::Instant now) {
    packet.peer_moved = false;
    packet.drop = verify(packet, sequence);
    if (packet.drop == Drop::none && newest_) locate(packet, peer);
    if (packet.drop == Drop::none) packet.drop = unwrap(packet);
    count(tally_, packet.drop, packet.size, now);
    packet.expiring = limits_.take_reached(tally_);
}

// RFC 4303 3.4.3 and 3.4.4: the window is asked first, because that is cheap, and moved last.
Drop InboundSa::verify(Packet& packet, std::uint32_t low) {
    if (packet.size < cipher_.overhead() + cipher_.block_size()) return Drop::too_short;
    if ((packet.size - cipher_.overhead()) % cipher_.block_size() != 0) return Drop::unaligned;
    const auto sequence = window_.whole(low);
    if (!sequence) return Drop::replay_old;
    const auto verdict = window_.check(*sequence);
    if (verdict == ReplayWindow::Verdict::old) return Drop::replay_old;
    if (verdict == ReplayWindow::Verdict::duplicate) return Drop::replay_duplicate;

    const auto high = static_cast<std::uint32_t>(*sequence >> 32);
    if (!cipher_.open(packet.bytes(), window_.esn() ? std::optional(high) : std::nullopt))
        return Drop::bad_icv;
    newest_ = window_.accept(*sequence);
    return Drop::none;
}

// A packet that was overtaken tells where the peer was, not where it is. Each place is told once, and again
// when the peer was meanwhile believed to be elsewhere.
void InboundSa::locate(Packet& packet, const base::Endpoint& peer) {
    packet.peer_moved = packet.peer != peer && packet.peer != told_;
    if (packet.peer == peer)
        told_.reset();
    else
        told_ = packet.peer;
}

Drop InboundSa::unwrap(Packet& packet) const {
    packet.at += kHeaderSize + cipher_.iv_size();
    packet.size -= cipher_.overhead();
    const auto trailer = decode_trailer(packet.bytes());
    if (!trailer) return Drop::bad_padding;
    if (trailer->next_header == kNextHeaderDummy) return Drop::dummy;
    if (trailer->next_header != kNextHeaderIpv4 && trailer->next_header != kNextHeaderIpv6)
        return Drop::bad_next_header;
    const auto size = inner_size(trailer->next_header, packet.bytes().first(trailer->payload));
    if (!size) return Drop::bad_inner_length;
    packet.size = *size;
    return decapsulate_ecn(packet.bytes(), packet.traffic_class) ? Drop::none : Drop::congestion_lost;
}

}  // namespace aronet::esp
