#include "babel/mac.hpp"

#include "babel/packet.hpp"
#include "base/result.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

namespace aronet::babel {

using base::Bytes;
using base::ByteView;
using base::ensure;

namespace {

constexpr std::size_t kTlvHeader = 2;
constexpr std::size_t kCounterSize = kTlvHeader + 4 + kMacIndexSize;
constexpr std::size_t kLengthAt = 2;  // in the header of a packet

ByteView without_trailer(ByteView packet) {
    return packet.first(kHeaderSize + std::size_t(packet[kLengthAt] << 8 | packet[kLengthAt + 1]));
}

void append(Bytes& packet, const Tlv& tlv) {
    base::Writer out(packet);
    encode(tlv, out);
}

}  // namespace

// ---- MACs (section 4.1) ----

void KeyedMac::Free::operator()(evp_mac_ctx_st* context) const { EVP_MAC_CTX_free(context); }

KeyedMac::KeyedMac(const MacKey& key)
    : size_(mac_size(key.algorithm)), signs_(key.signs), accepted_(key.accepted) {
    ensure(key.usable(), "a usable MAC key");
    const bool hmac = key.algorithm == MacAlgorithm::hmac_sha256;
    const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> algorithm(
        EVP_MAC_fetch(nullptr, hmac ? "HMAC" : "BLAKE2SMAC", nullptr), EVP_MAC_free
    );
    ensure(algorithm != nullptr, "the MAC algorithm");
    context_.reset(EVP_MAC_CTX_new(algorithm.get()));
    char digest[] = "SHA256";
    std::size_t size = size_;
    const OSSL_PARAM parameters[] = {
        hmac ? OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0)
             : OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
        OSSL_PARAM_construct_end()};
    const ByteView secret = key.secret.view();
    ensure(EVP_MAC_init(context_.get(), secret.data(), secret.size(), parameters) == 1, "a MAC key");
}

Bytes KeyedMac::of(ByteView packet, const Address& from, const Address& to) const {
    Bytes header;
    base::Writer out(header);
    for (const Address& address : {from, to}) {
        out.put(address.bytes());
        out.u16(kPort);
    }
    Bytes mac(size_);
    std::size_t size = 0;
    const bool done = EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1 &&
                      EVP_MAC_update(context_.get(), header.data(), header.size()) == 1 &&
                      EVP_MAC_update(context_.get(), packet.data(), packet.size()) == 1 &&
                      EVP_MAC_final(context_.get(), mac.data(), &size, mac.size()) == 1;
    ensure(done && size == size_, "a MAC");
    return mac;
}

// ---- counters (RFC 9467 3.2) ----

bool CounterWindow::is_new(std::uint32_t pc) const {
    if (pc > highest_) return true;
    const std::uint32_t behind = highest_ - pc;
    return behind < kMacWindow && !seen_[behind];
}

bool CounterWindow::take(std::uint32_t pc) {
    if (!is_new(pc)) return false;
    if (pc > highest_) {
        seen_ <<= std::min<std::size_t>(pc - highest_, kMacWindow);
        highest_ = pc;
    }
    seen_.set(highest_ - pc);
    return true;
}

// ---- sending (section 4.2) ----

MacLink::MacLink(const MacConfig& config, std::size_t peers_max, base::Random& random, std::uint32_t pc)
    : peers_max_(peers_max), random_(random), index_(random.bytes(kMacIndexSize)), pc_(pc) {
    set(config);
}

void MacLink::set(const MacConfig& config) {
    keys_.clear();
    for (const MacKey& key : config.keys) keys_.emplace_back(key);
    permissive_ = config.permissive;
    const auto signing = std::count_if(keys_.begin(), keys_.end(), [](const auto& k) { return k.signs(); });
    ensure(std::size_t(signing) <= kSigningKeysMax, "a few signing keys");
}

std::size_t MacLink::overhead() const {
    std::size_t size = kCounterSize;
    for (const KeyedMac& key : keys_) size += key.signs() ? kTlvHeader + key.size() : 0;
    return size;
}

void MacLink::sign(Bytes& packet, const Address& from, const Address& to) {
    if (++pc_ == 0) index_ = random_.bytes(kMacIndexSize);
    append(packet, PacketCounter{pc_, index_});
    const std::size_t length = packet.size() - kHeaderSize;
    packet[kLengthAt] = static_cast<base::Byte>(length >> 8);
    packet[kLengthAt + 1] = static_cast<base::Byte>(length & 0xff);
    const ByteView to_sign = without_trailer(packet);
    std::vector<Bytes> macs;
    for (const KeyedMac& key : keys_) {
        if (key.signs()) macs.push_back(key.of(to_sign, from, to));
    }
    for (Bytes& mac : macs) append(packet, MacTlv{std::move(mac)});
}

// ---- receiving (section 4.3) ----

MacLink::Verdict MacLink::judge(const Packet& packet, bool neighbour, Instant now) {
    Verdict verdict;
    verdict.refused = check_mac(packet);
    Peer* peer = verdict.refused ? nullptr : meet(packet.from, now);
    if (peer != nullptr) {
        if (peer->proof && !neighbour && peer->proof->accepted_at + kProofLifetime <= now)
            peer->proof.reset();
        examine(packet, *peer, now, verdict);
        verdict.answers = answers(packet.from, *peer, now);
    } else if (!verdict.refused) {
        verdict.refused = MacDrop::too_many_peers;
    }
    verdict.accepted = permissive_ || !verdict.refused;
    return verdict;
}

void MacLink::examine(const Packet& packet, Peer& peer, Instant now, Verdict& verdict) {
    const Preparsed said = preparse(packet.bytes);
    const bool multicast = packet.to.is_multicast();
    const bool answered = replies(peer, said, now, verdict);
    take_request(peer, said, multicast, verdict);
    if (!said.counter) {
        verdict.refused = MacDrop::no_counter;
    } else if (answered) {
        prove(peer, *said.counter, now, verdict);
    } else {
        verdict.refused = judge_counter(peer, *said.counter, multicast);
    }
    if (verdict.refused) return;
    peer.proof->accepted_at = now;
    verdict.unheard = peer.asked_with == said.counter->index;
    peer.asked_with.reset();
}

// Once for each key, and only for one whose MAC may be among those of the packet.
std::optional<MacDrop> MacLink::check_mac(const Packet& packet) const {
    std::vector<ByteView> macs;
    TlvWalker trailer(packet.bytes, TlvWalker::Part::trailer);
    while (const auto tlv = trailer.next()) {
        if (tlv->type == std::uint8_t(TlvType::mac)) macs.push_back(tlv->body);
    }
    if (macs.empty()) return MacDrop::no_mac;
    for (const KeyedMac& key : keys_) {
        const auto of_its_size = [&](ByteView mac) { return mac.size() == key.size(); };
        if (!key.accepted() || std::none_of(macs.begin(), macs.end(), of_its_size)) continue;
        const Bytes right = key.of(without_trailer(packet.bytes), packet.from, packet.to);
        const auto is_right = [&](ByteView mac) { return base::equal_in_constant_time(mac, right); };
        if (std::any_of(macs.begin(), macs.end(), is_right)) return std::nullopt;
    }
    return MacDrop::wrong_mac;
}

MacLink::Preparsed MacLink::preparse(ByteView packet) {
    Preparsed said;
    TlvWalker body(packet);
    while (const auto item = body.next()) {
        if (item->type < std::uint8_t(TlvType::packet_counter)) continue;
        Decoded decoded = decode(item->type, item->body);
        if (!decoded.tlv) continue;
        if (auto* counter = std::get_if<PacketCounter>(&*decoded.tlv)) {
            if (!said.counter) said.counter = std::move(*counter);
        } else if (auto* request = std::get_if<ChallengeRequest>(&*decoded.tlv)) {
            said.request = std::move(request->nonce);
        } else if (auto* reply = std::get_if<ChallengeReply>(&*decoded.tlv)) {
            said.replies.push_back(std::move(reply->nonce));
        }
    }
    return said;
}

// Only the MAC test leads here, so that the peers are those who hold a key, or whose packets are replayed.
MacLink::Peer* MacLink::meet(const Address& from, Instant now) {
    const auto known = peers_.find(from);
    if (known != peers_.end()) return &known->second;
    if (peers_.size() >= peers_max_) {
        std::erase_if(peers_, [&](const auto& p) {
            const Peer& peer = p.second;
            return (!peer.proof || peer.proof->accepted_at + kProofLifetime <= now) && !peer.owed &&
                   peer.challenges_left == 0 && peer.reply_allowed_at <= now && !challenged(peer, now);
        });
    }
    return peers_.size() >= peers_max_ ? nullptr : &peers_[from];
}

// Section 4.3.1.3. On a long way the reply to one challenge comes after the next was sent; each is as good.
bool MacLink::replies(Peer& peer, const Preparsed& said, Instant now, Verdict& verdict) {
    bool right = false;
    for (const Bytes& nonce : said.replies) {
        const auto answered = [&](const Challenge& c) {
            return now < c.expires && base::equal_in_constant_time(nonce, c.nonce);
        };
        if (std::none_of(peer.challenges.begin(), peer.challenges.end(), answered)) {
            verdict.ignored.push_back(MacDrop::stray_reply);
            continue;
        }
        right = true;
        peer.challenges.clear();
        peer.challenges_left = 0;
        peer.challenge_gap = kChallengeGap;
    }
    return right;
}

// Section 4.3.1.2. One in a packet that we have had before is not worth an answer.
void MacLink::take_request(Peer& peer, const Preparsed& said, bool multicast, Verdict& verdict) {
    if (!said.request) return;
    const bool known = said.counter && peer.proof && peer.proof->index == said.counter->index;
    if (multicast) {
        verdict.ignored.push_back(MacDrop::multicast_challenge);
    } else if (known && !peer.proof->unicast.is_new(said.counter->pc)) {
        verdict.ignored.push_back(MacDrop::replayed);
    } else {
        peer.owed = *said.request;
        if (said.counter) peer.asked_with = said.counter->index;
    }
}

// An index that was proven before proves nothing more: were its windows emptied again, whoever makes us
// challenge by some old packet could then replay the latest ones.
void MacLink::prove(Peer& peer, const PacketCounter& counter, Instant now, Verdict& verdict) {
    if (peer.proof && peer.proof->index == counter.index) {
        peer.proof->multicast.take(counter.pc);
        peer.proof->unicast.take(counter.pc);
        return;
    }
    const CounterWindow window(counter.pc);
    peer.proof = Proof{counter.index, window, window, now};
    verdict.proven = true;
}

std::optional<MacDrop> MacLink::judge_counter(Peer& peer, const PacketCounter& counter, bool multicast) {
    if (!peer.proof || peer.proof->index != counter.index) {
        peer.challenges_left = kChallengesInRow;
        return MacDrop::unproven;
    }
    // Two windows: where power is saved, multicast comes later than unicast (RFC 9467 3.1 and 3.3).
    CounterWindow& window = multicast ? peer.proof->multicast : peer.proof->unicast;
    return window.take(counter.pc) ? std::nullopt : std::optional(MacDrop::replayed);
}

void MacLink::forget(const Address& address) {
    const auto found = peers_.find(address);
    if (found == peers_.end()) return;
    Peer& peer = found->second;  // it stays for the limits: whoever makes us forget must not lift them
    peer.proof.reset();
    peer.asked_with.reset();
}

// ---- challenges (section 4.3.1) ----

bool MacLink::challenged(const Peer& peer, Instant now) {
    return !peer.challenges.empty() && now < peer.challenges.back().expires;
}

// What may be said to the peer now. A challenge without an answer is repeated with another nonce, each time
// after twice as long.
std::vector<Tlv> MacLink::answers(const Address& to, Peer& peer, Instant now) {
    std::vector<Tlv> tlvs;
    if (peer.owed && peer.reply_allowed_at <= now) {
        tlvs.emplace_back(ChallengeReply{std::move(*peer.owed)});
        peer.owed.reset();
        peer.reply_allowed_at = now + kChallengeGap;
    }
    if (peer.challenges_left > 0 && peer.challenge_allowed_at <= now) {
        if (!challenged(peer, now)) peer.challenge_gap = kChallengeGap;
        if (peer.challenges.size() == kChallengesInRow) peer.challenges.pop_front();
        peer.challenges.push_back({random_.bytes(kMacNonceSize), now + kChallengeLifetime});
        tlvs.emplace_back(ChallengeRequest{peer.challenges.back().nonce});
        --peer.challenges_left;
        peer.challenge_allowed_at = now + peer.challenge_gap;
        peer.challenge_gap = std::min(peer.challenge_gap * 2, kChallengeGapMax);
    }
    if (!peer.owed && peer.challenges_left == 0) {
        timers_.stop(to);
    } else {
        const Instant reply = peer.owed ? peer.reply_allowed_at : Instant::max();
        timers_.set(to, peer.challenges_left > 0 ? std::min(reply, peer.challenge_allowed_at) : reply);
    }
    return tlvs;
}

std::optional<MacLink::Due> MacLink::due(Instant now) {
    const auto to = timers_.expired(now);
    if (!to) return std::nullopt;
    return Due{*to, answers(*to, peers_.at(*to), now)};
}

std::string_view to_string(MacDrop drop) {
    switch (drop) {
        case MacDrop::no_mac:
            return "packet without a MAC";
        case MacDrop::wrong_mac:
            return "no MAC of a key of ours";
        case MacDrop::too_many_peers:
            return "too many peers to authenticate";
        case MacDrop::no_counter:
            return "authentic packet without a counter";
        case MacDrop::unproven:
            return "authentic packet, not yet proven to be new";
        case MacDrop::replayed:
            return "packet counter seen before, or too old";
        case MacDrop::multicast_challenge:
            return "challenge to the multicast group";
        case MacDrop::stray_reply:
            return "reply to no challenge of ours";
    }
    return "not authentic";
}

}  // namespace aronet::babel
