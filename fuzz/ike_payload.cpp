// IKE SAs that have keys, and any bytes as what is encrypted on them: what IKE_AUTH asks and answers before
// anybody has proven anything, behind a right proof, and all that comes later, as requests and as answers,
// whole and in fragments. The input is the plaintext itself. Nothing crashes, no child comes up without a
// proof, whatever the engine says is well-formed, and of a removed peer nothing is left.

#include "ike_party.hpp"

#include <algorithm>
#include <map>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::fuzz;

namespace {

constexpr PeerId kPeer = 1;
constexpr unsigned kMessagesMax = 24;
constexpr std::uint8_t kSk = 46, kSkf = 53;

// The message whose decrypted content is these bytes, as fragment `number` of `total` where there are any
// (RFC 7296 3.14, RFC 7383 2.5). AES-GCM, which is what we offer first.
Bytes seal_content(
    const Header& header,
    std::uint8_t first,
    ByteView content,
    const Sealer& with,
    std::uint16_t number = 0,
    std::uint16_t total = 0
) {
    const std::size_t ahead = 32 + (total == 0 ? 0 : 4), iv_size = 8, tag_size = 16, salt_size = 4;
    const Bytes room(ahead - 32 + iv_size + content.size() + 1 + tag_size);
    Bytes message = encode(header, std::vector<Payload>{OpaquePayload{total == 0 ? kSk : kSkf, false, room}});
    message[28] = first;
    const Bytes numbers = bytes_of(std::uint64_t{number} << 16 | total, 4);
    if (total != 0) std::ranges::copy(numbers, message.begin() + 32);
    message.resize(ahead);
    Bytes plain(content.begin(), content.end());
    plain.push_back(0);  // no padding
    const ByteView key = with.encryption_key;
    const Bytes iv = bytes_of((*with.next_iv)++, iv_size);
    Bytes nonce(key.end() - salt_size, key.end());
    nonce.insert(nonce.end(), iv.begin(), iv.end());
    const Bytes sealed =
        aead_seal(with.suite->cipher, key.first(key.size() - salt_size), nonce, message, plain);
    message.insert(message.end(), iv.begin(), iv.end());
    message.insert(message.end(), sealed.begin(), sealed.end());
    return message;
}

struct Content {
    std::uint8_t first = 0;
    Bytes chain;
};

// Good payloads, and any bytes where the next one would be.
Content behind(std::vector<Payload> good, Content rest) {
    good.push_back(OpaquePayload{rest.first, false, {}});
    Content all{type_of(good.front()), {}};
    const Bytes message = encode({}, good);
    all.chain.assign(message.begin() + 28, message.end() - 4);
    all.chain.insert(all.chain.end(), rest.chain.begin(), rest.chain.end());
    return all;
}

class Talk {
public:
    explicit Talk(base::ByteView input) : input_(input), engine_(engine_of(0, engine_random_)) {
        const unsigned kind = choice();
        by_engine_ = (kind & 1) != 0;
        std::vector<Payload> more;
        Peer peer = peer_of(kPeer, 0, 1, by_engine_ ? std::optional(there_) : std::nullopt);
        with_ppk_ = (kind & 2) != 0;
        if (with_ppk_) {
            peer.ppk = Ppk{"one", SharedSecret(seed_of(100).view()), false};
            more.push_back(make_notify(notify::use_ppk));
        }
        peer.child.narrower = (kind & 4) != 0;
        if ((kind & 8) != 0) peer.child.esn = Esn::preferred;
        if ((kind & 16) != 0) peer.child.local = {TrafficSelector::any(base::Family::v4)};
        proven_ = (kind & 32) != 0;  // what is said in IKE_AUTH begins with a right proof
        engine_->connect(peer, now_, actions_);
        perform();
        open(std::move(more));
        base::ensure(sa_.has_value(), "both sides have keys");
        if ((kind & 64) != 0) {
            proven_ = true;
            authenticate();
            base::ensure(children_.size() == 1, "a child is up");
        }
    }

    void run() {
        for (unsigned i = 0; input_.left() != 0 && i < kMessagesMax; ++i) {
            engine_acts();
            speak();
            base::ensure(children_.size() <= 9, "few children");
        }
        engine_->drop(kPeer, now_, actions_);
        perform();
        advance(120s);
        base::ensure(engine_->sessions() == 0 && children_.empty(), "nothing of a removed peer is left");
    }

private:
    unsigned choice() { return input_.left() == 0 ? 0 : input_.u8(); }

    // --- What we say

    void open(std::vector<Payload> more) {
        if (by_engine_) {
            sa_ = answer_opening(heard_, random_, more);
            if (sa_) deliver(Bytes(sa_->init));
        } else {
            const Opening opening(random_, std::move(more));
            deliver(opening.request());
            const auto answer = message_of(heard_);
            if (answer) sa_ = opening.take(*answer);
        }
    }

    // A right proof; without the PPK that both sides have announced.
    std::vector<Payload> credentials() const {
        std::vector<Payload> list = proof(*sa_, 1, 0);
        if (!with_ppk_ || !sa_->initiator) return list;
        const Bytes auth = std::get<AuthPayload>(list[1]).data;
        list.emplace_back(make_notify(notify::ppk_identity, {ppk_id_type::fixed, 'x'}));
        list.emplace_back(make_notify(notify::no_ppk_auth, auth));
        return list;
    }
    void authenticate() {
        std::vector<Payload> list = credentials();
        for (Payload& each : child_of(*sa_, 0x100)) list.push_back(std::move(each));
        if (!sa_->initiator) return deliver(seal(sa_->answer_header(), list, sa_->sealer(random_)));
        deliver(seal(sa_->request_header(ExchangeType::ike_auth), list, sa_->sealer(random_)));
        ++sa_->next_id;
    }

    void speak() {
        const unsigned how = choice();
        Content content{static_cast<std::uint8_t>(choice()), {}};
        const std::size_t size = choice() << 8 | choice();
        const ByteView taken = input_.take(std::min<std::size_t>(size, input_.left()));
        content.chain.assign(taken.begin(), taken.end());
        const bool answers = (how & 4) != 0 && sa_->asked;
        Header header = answers ? sa_->answer_header() : sa_->request_header(exchange(how));
        if (proven_ && !said_ && header.exchange == ExchangeType::ike_auth)
            content = behind(credentials(), std::move(content));
        said_ = said_ || header.exchange == ExchangeType::ike_auth;
        say(header, content, how);
        if (!answers) ++sa_->next_id;
    }
    ExchangeType exchange(unsigned how) {
        switch (how & 3) {
            case 0:
                return ExchangeType::informational;
            case 1:
                return ExchangeType::create_child_sa;
            case 2:
                return ExchangeType::ike_auth;
            default:
                return static_cast<ExchangeType>(choice());
        }
    }
    void say(const Header& header, const Content& content, unsigned how) {
        const Sealer sealer = sa_->sealer(random_);
        if ((how & 8) == 0) return deliver(seal_content(header, content.first, content.chain, sealer));
        const std::size_t step = 1 + content.chain.size() / (1 + (how >> 4));
        const std::size_t total = (content.chain.size() + step - 1) / step;
        for (std::size_t i = 0; i < total; ++i) {
            const std::size_t at = i * step;
            const ByteView part =
                ByteView(content.chain).subspan(at, std::min(step, content.chain.size() - at));
            deliver(seal_content(
                header,
                i == 0 ? content.first : std::uint8_t{0},
                part,
                sealer,
                static_cast<std::uint16_t>(i + 1),
                static_cast<std::uint16_t>(total)
            ));
        }
    }
    void deliver(const Bytes& message) {
        Bytes bytes(4, 0);
        bytes.insert(bytes.end(), message.begin(), message.end());
        engine_->handle({bytes, there_, here_}, now_, actions_);
        perform();
    }

    // --- What the engine does

    void engine_acts() {
        switch (choice()) {
            case 1:
                if (sending_ != 0) engine_->rekey(sending_, now_, actions_);
                break;
            case 2:
                engine_->renew(kPeer, now_, actions_);
                break;
            case 3:
                engine_->suspect(kPeer, now_, actions_);
                break;
            case 4:
                refuses_ = !refuses_;
                break;
            case 5:
                return advance(1s);
            case 6:
                return advance(8s);
            default:
                return;
        }
        perform();
    }
    void advance(base::Duration d) {
        const Instant end = now_ + d;
        while (now_ < end) {
            const auto deadline = engine_->deadline();
            now_ = deadline ? std::min(end, std::max(now_, deadline->at)) : end;
            engine_->tick(now_, actions_);
            const auto after = engine_->deadline();
            base::ensure(!after || after->at > now_, "the deadline moves on");
            perform();
        }
    }
    void perform() {
        while (!actions_.empty()) {
            const Actions actions = std::exchange(actions_, {});
            for (const Action& action : actions) std::visit([&](const auto& a) { obey(a); }, action);
        }
    }
    // What it says has to make sense, whatever it was told.
    void obey(const Send& send) {
        if (send.bytes.size() < 4) return;  // a keepalive
        heard_.assign(send.bytes.begin() + 4, send.bytes.end());
        const auto raw = parse(heard_);
        base::ensure(raw.has_value(), "the engine sends messages");
        if (!sa_ || !sa_->holds(raw->header)) return;
        if (is_fragment(*raw)) {
            base::ensure(open_fragment(*raw, sa_->opener()).has_value(), "its fragments can be opened");
        } else if (is_protected(*raw)) {
            base::ensure(ike::open(*raw, sa_->opener()).has_value(), "what it says is well-formed");
        }
        if (raw->header.is_response() || !is_protected(*raw)) return;
        sa_->asked = raw->header;
        sa_->request = heard_;
    }
    void obey(const ChildUp& up) {
        base::ensure(proven_, "no child without a proof");
        base::ensure(!up.local.empty() && !up.remote.empty(), "of something");
        children_[up.child] = up.peer;
        if (refuses_) {
            engine_->refused(up.child, now_, actions_);
        } else {
            engine_->installed(up.child, now_, actions_);
        }
    }
    void obey(const ChildDown& down) {
        base::ensure(children_.erase(down.child) == 1, "what goes down was up");
        if (sending_ == down.child) sending_ = 0;
    }
    void obey(const Switch& chosen) {
        base::ensure(children_.contains(chosen.child), "what is sent on is up");
        sending_ = chosen.child;
    }
    void obey(const base::Note& note) {
        base::ensure(note.level != base::Level::error, "no error is noted");
        for (const char c : note.text) base::ensure(c >= 0x20 && c < 0x7f, "notes are fit to print");
    }
    template <class Other>
    void obey(const Other&) {}  // ChildMoved, Silence, Doubted, Unreached

    base::Reader input_;
    base::Random engine_random_ = base::Random::from_number(1), random_ = base::Random::from_number(2);
    std::unique_ptr<Engine> engine_;
    Instant now_{};
    Actions actions_;
    const Endpoint here_{*Address::parse("192.0.2.1"), 12025}, there_{*Address::parse("192.0.2.2"), 12025};
    bool by_engine_ = false, with_ppk_ = false, proven_ = false, said_ = false, refuses_ = false;
    std::optional<Sa> sa_;
    Bytes heard_;  // the engine's last message
    std::map<ChildId, PeerId> children_;
    ChildId sending_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size > 2048) return 0;
    Talk(base::ByteView(bytes, size)).run();
    return 0;
}
