#include "emulated.hpp"

#include "babel/constants.hpp"

namespace aronet::babel {

Address Emulated::link_local(std::size_t peer, bool ours) {
    std::array<base::Byte, 16> octets{0xfe, 0x80};
    octets[12] = ours ? 1 : 2;
    octets[14] = static_cast<base::Byte>(peer >> 8);
    octets[15] = static_cast<base::Byte>(peer);
    return Address::v6(octets);
}

Destination Emulated::owned(std::size_t number) {
    std::array<base::Byte, 16> octets{0xfd, 0x22};
    octets[13] = static_cast<base::Byte>(number >> 16);
    octets[14] = static_cast<base::Byte>(number >> 8);
    octets[15] = static_cast<base::Byte>(number);
    return Destination::of(Prefix::host(Address::v6(octets)));
}

Emulated::Emulated(const EmulatedConfig& config) : config_(config) {
    write_dumps();
    peers_.resize(config.peers);
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        Peer& p = peers_[i];
        p.address = link_local(i, false);
        p.next_hello = now_ + random_.between(0ns, 500ms);
        p.next_dump = p.next_hello + config.first_dump;
        if (!config.shared) p.told.resize(config.peers);
    }
    if (!config.shared) untold_ = config.peers * (config.peers - 1);
    speaker_ = std::make_unique<Speaker>(SpeakerConfig{.router_id = kUs, .seqno = 1}, random_);
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        InterfaceConfig c;
        c.link_local = link_local(i, true);
        c.hello_interval = config.our_hello;
        c.update_interval = config.our_update;
        speaker_->add_interface(static_cast<InterfaceId>(i), c, now_, actions_);
    }
}

void Emulated::write_dumps() {
    const std::size_t kinds = config_.shared ? 1 : config_.peers;
    dumps_.resize(kinds);
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        PacketWriter writer(1352);
        for (std::size_t i = 0; i < config_.prefixes; ++i) {
            const std::size_t number = kind * config_.prefixes + i;
            if (!config_.shared) owner_.emplace(owned(number), kind);
            const Announcement update{
                .about = owned(number),
                .router_id = 0x1000 + (config_.shared ? number : kind),
                .seqno = 1,
                .interval = Interval::of(config_.update),
                .metric = static_cast<Metric>(config_.shared ? 32 : 0),
            };
            if (writer.add(update, Encoding::v4_via_v6)) continue;
            dumps_[kind].push_back(writer.finish());
            writer.add(update, Encoding::v4_via_v6);
        }
        dumps_[kind].push_back(writer.finish());
    }
}

void Emulated::say(std::size_t index) {
    Peer& p = peers_[index];
    PacketWriter writer(1352);
    for (const std::uint16_t opaque : std::exchange(p.acks, {})) writer.add(Tlv(Ack{opaque}));
    if (p.next_hello <= now_) {
        writer.add(Tlv(Hello{.seqno = p.hello_seqno++, .interval = Interval::of(config_.hello)}));
        writer.add(Tlv(Ihu{
            .address = link_local(index, true), .rxcost = 32, .interval = Interval::of(config_.hello * 3)}));
        p.next_hello = now_ + (p.hello_seqno < 3 ? Duration(80ms) : config_.hello);
    }
    if (!writer.empty()) said_.push_back({index, writer.finish()});
    if (p.next_dump > now_) return;
    for (const base::Bytes& packet : dumps_[config_.shared ? 0 : index]) said_.push_back({index, packet});
    p.next_dump = now_ + random_.jitter(config_.update, 10);
}

void Emulated::hear(const Send& send) {
    ++packets_;
    bytes_ += send.bytes.size();
    Peer& p = peers_[send.on];
    if (everybody_told()) {  // then only what wants an answer is read, to get on
        TlvWalker tlvs(send.bytes);
        while (const auto item = tlvs.next()) {
            if (item->type != std::uint8_t(TlvType::ack_request)) continue;
            p.acks.push_back(std::get<AckRequest>(*decode(item->type, item->body).tlv).opaque);
        }
        return;
    }
    PacketReader reader(send.bytes, send.from);
    while (const auto event = reader.next()) {
        if (const auto* asked = std::get_if<AckRequest>(&*event)) p.acks.push_back(asked->opaque);
        const auto* update = std::get_if<Announcement>(&*event);
        if (update == nullptr || !update->about || update->metric == kInfinity || p.told.empty()) continue;
        const auto it = owner_.find(*update->about);
        if (it == owner_.end() || it->second == send.on || p.told[it->second]) continue;
        p.told[it->second] = true;
        --untold_;
    }
}

void Emulated::step() {
    said_.clear();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        const Peer& p = peers_[i];
        if (!p.acks.empty() || p.next_hello <= now_ || p.next_dump <= now_) say(i);
    }
    for (const Said& s : said_) {
        const double start = cpu_seconds();
        speaker_->handle(
            {.bytes = s.bytes,
             .from = peers_[s.peer].address,
             .to = multicast_group(),
             .in = static_cast<InterfaceId>(s.peer),
             .received_at = now_},
            now_,
            actions_
        );
        cpu_ += cpu_seconds() - start;
        obey();
    }
    const double start = cpu_seconds();
    speaker_->tick(now_, actions_);
    cpu_ += cpu_seconds() - start;
    obey();
    now_ += kStep;
}

void Emulated::obey() {
    for (const Action& action : actions_) {
        if (const auto* send = std::get_if<Send>(&action)) hear(*send);
        if (std::holds_alternative<InstallRoute>(action)) ++installed_;
    }
    actions_.clear();
}

void Emulated::run(Duration d) {
    for (const Instant end = now_ + d; now_ < end;) step();
}

Duration Emulated::converge(Duration at_most) {
    const Instant start = now_;
    while (now_ - start < at_most && !(everybody_told() && installed_ >= config_.prefixes)) step();
    return now_ - start;
}

std::size_t Emulated::routes() const {
    std::size_t count = 0;
    for (const NeighbourView& n : speaker_->neighbours()) count += n.routes;
    return count;
}

}  // namespace aronet::babel
