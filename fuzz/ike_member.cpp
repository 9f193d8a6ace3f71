// A member of the network that holds a valid key and means harm. The input says what it does on its SAs with
// the hub, begun by either of them: which payloads in which order, known ones and any bytes, with right and
// wrong IDs and flags, whole and in fragments, as requests and as answers; and what the hub does meanwhile.
// The hub has a tunnel with an honest node. That must never notice; what the hub keeps for the member is
// bounded, and is gone after its removal.

#include "ike_party.hpp"

#include <algorithm>
#include <map>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::fuzz;
using namespace std::chrono_literals;

namespace {

constexpr PeerId kHonest = 1, kMember = 2;
constexpr std::size_t kSessionsMax = 1 + 4 + 8 + 3;  // honest, live, leaving, and those on their way

class Siege {
public:
    explicit Siege(base::ByteView input) : input_(input) {
        hub_.endpoint = {*Address::parse("192.0.2.1"), 12025};
        honest_.endpoint = {*Address::parse("192.0.2.2"), 12025};
        member_ = {*Address::parse("192.0.2.3"), 12025};
        begin(hub_, 0);
        begin(honest_, 1);
        hub_.engine->connect(peer_of(kHonest, 0, 1, std::nullopt), now_, hub_.actions);
        add_member();
        honest_.engine->connect(peer_of(kHonest, 1, 0, hub_.endpoint), now_, honest_.actions);
        perform(honest_);
        advance(5s);
        base::ensure(hub_.sending.contains(kHonest), "the honest tunnel is up");
        child_ = hub_.sending.at(kHonest);
    }

    void run() {
        for (int steps = 0; input_.left() != 0 && steps < 64; ++steps) {
            act();
            check();
        }
        hub_.engine->drop(kMember, now_, hub_.actions);
        perform(hub_);
        advance(120s);
        check();
        base::ensure(hub_.engine->sessions() == 1, "nothing of a removed member is left");
        base::ensure(hub_.children.size() == 1, "nor a child of it");
    }

private:
    struct Host {
        std::unique_ptr<base::Random> random;
        std::unique_ptr<Engine> engine;
        Endpoint endpoint;
        Actions actions;
        std::map<ChildId, std::pair<PeerId, std::pair<Bytes, Bytes>>> children;  // keys in, out
        std::map<PeerId, ChildId> sending;
        bool refuses = false;
    };

    unsigned choice() { return input_.left() == 0 ? 0 : input_.u8(); }
    Bytes some(std::size_t most) {
        const ByteView taken = input_.take(std::min<std::size_t>(most, input_.left()));
        return {taken.begin(), taken.end()};
    }

    static void begin(Host& host, int who) {
        host.random.reset(new base::Random(base::Random::from_number(static_cast<std::uint64_t>(who))));
        host.engine = engine_of(who, *host.random);
    }
    void add_member() {
        Peer member = peer_of(kMember, 0, 2, choice() % 2 == 0 ? std::nullopt : std::optional(member_));
        hub_.engine->connect(member, now_, hub_.actions);
        perform(hub_);
    }

    // --- What the member does

    void act() {
        switch (choice() % 14) {
            case 0:
                return open_sa();
            case 1:
                return say(ExchangeType::create_child_sa, payloads(), false);
            case 2:
                return say(ExchangeType::informational, payloads(), false);
            case 3:
                return say(static_cast<ExchangeType>(choice()), payloads(), false);
            case 4:
                return say(ExchangeType::informational, payloads(), true);
            case 5:
                return rekey_sa();
            case 6:
                return advance(std::chrono::milliseconds(choice() * 64));
            case 7:
                if (!sas_.empty()) current_ = choice() % sas_.size();
                return;
            case 8:
                return hub_acts();
            case 9:
                if (!said_.empty()) deliver_to_hub(said_[choice() % said_.size()]);  // once more
                return;
            case 10:
                return deliver_to_hub(some(200));
            case 12:
                return answer_knock();
            case 13:
                return answer_auth();
            default:
                return say(ExchangeType::create_child_sa, child(choice()), false);
        }
    }

    void hub_acts() {
        switch (choice() % 6) {
            case 0:
                hub_.engine->renew(kMember, now_, hub_.actions);
                break;
            case 1:
                if (hub_.sending.contains(kMember))
                    hub_.engine->rekey(hub_.sending.at(kMember), now_, hub_.actions);
                break;
            case 2:
                hub_.engine->suspect(kMember, now_, hub_.actions);
                break;
            case 3:
                hub_.refuses = !hub_.refuses;
                break;
            case 4:
                hub_.engine->mapping(kMember, {member_.address, 4000}, now_, hub_.actions);
                break;
            default:
                hub_.engine->drop(kMember, now_, hub_.actions);
                perform(hub_);
                left_behind_ = hub_.engine->sessions() - 1;
                return add_member();
        }
        perform(hub_);
    }

    std::vector<Payload> payloads() {
        std::vector<Payload> list;
        for (unsigned count = choice() % 8; count > 0; --count) {
            const unsigned kind = choice();
            switch (kind % 6) {
                case 0:
                    list.push_back(make_notify(static_cast<std::uint16_t>(choice() << 8 | choice()), some(8))
                    );
                    break;
                case 1:
                    list.push_back(DeletePayload{kind < 128 ? Protocol::ike : Protocol::esp, spis(kind / 6)});
                    break;
                case 2:
                    for (Payload& each : child(kind / 6)) list.push_back(std::move(each));
                    break;
                case 3:
                    list.push_back(NoncePayload{some(40)});
                    break;
                case 4:
                    list.push_back(KePayload{static_cast<std::uint16_t>(choice()), some(32)});
                    break;
                default:
                    list.push_back(OpaquePayload{
                        static_cast<std::uint8_t>(choice()), kind > 127, some(choice() % 64)});
            }
        }
        return list;
    }
    std::vector<std::uint32_t> spis(unsigned count) {
        std::vector<std::uint32_t> list;
        for (; count > 30; --count) list.push_back(0x100 + choice() % 16);
        return list;
    }
    // A further child, or one in place of another.
    std::vector<Payload> child(unsigned kind) {
        std::vector<Payload> list{
            offer_esp(0x100 + choice() % 16),
            NoncePayload{random_.bytes(kNonceSize)},
            any_selectors(false),
            any_selectors(true)};
        if (kind % 2 == 0) {
            list.insert(
                list.begin(),
                NotifyPayload{notify::rekey_sa, Protocol::esp, bytes_of(0x100 + choice() % 16, 4), {}}
            );
        }
        return list;
    }

    void say(ExchangeType exchange, const std::vector<Payload>& list, bool as_answer) {
        if (sas_.empty()) return;
        Sa& sa = sas_[current_];
        const unsigned how = choice();
        const bool answers = as_answer && sa.asked;
        Header header = answers ? sa.answer_header() : sa.request_header(exchange);
        if (how % 8 == 7) header.message_id += how / 8 - 16;
        if (how % 8 == 6) header.flags = static_cast<std::uint8_t>(how);
        const bool right = how % 8 < 6 && !as_answer;
        if (how % 2 == 0) {
            deliver_sealed(seal(header, list, sa.sealer(random_)));
        } else {
            for (const Bytes& part : seal_in_fragments(header, list, sa.sealer(random_), 150))
                deliver_sealed(part);
        }
        if (right && current_ < sas_.size()) ++sas_[current_].next_id;
    }

    void open_sa() {
        Opening opening(random_);
        heard_.clear();
        deliver_sealed(opening.request());
        auto answer = heard_.empty() ? std::nullopt : message_of(heard_.back());
        if (answer && opening.follow(*answer)) {
            deliver_sealed(opening.request());
            answer = message_of(heard_.back());
        }
        auto sa = answer ? opening.take(*answer) : std::nullopt;
        if (!sa) {
            ++unproven_;
            return;
        }
        keep(std::move(*sa));
        std::vector<Payload> auth = credentials();
        if (choice() % 2 == 0) auth.push_back(make_notify(notify::initial_contact));
        for (Payload& more : payloads()) auth.push_back(std::move(more));
        heard_.clear();
        say(ExchangeType::ike_auth, auth, false);
        const auto proven = opened_answer();
        if (!proven || proven->find<AuthPayload>() == nullptr) ++unproven_;
    }

    // The hub's own IKE_SA_INIT, which is answered as often as the input wants: it follows several answers.
    void answer_knock() {
        auto sa = knock_ ? answer_opening(*knock_, random_, payloads()) : std::nullopt;
        if (!sa) return;
        const Bytes answer = sa->init;
        keep(std::move(*sa));
        deliver_sealed(answer);
    }
    // The hub's IKE_AUTH on the SA in use.
    void answer_auth() {
        if (sas_.empty() || sas_[current_].initiator) return;
        const auto& asked = sas_[current_].asked;
        if (!asked || asked->exchange != ExchangeType::ike_auth) return;
        std::vector<Payload> auth = credentials();
        for (Payload& more : payloads()) auth.push_back(std::move(more));
        say(ExchangeType::ike_auth, auth, true);
    }
    std::vector<Payload> credentials() {
        std::vector<Payload> list = proof(sas_[current_], 2, 0);
        for (Payload& each : child_of(sas_[current_], 0x100 + choice() % 16)) list.push_back(std::move(each));
        return list;
    }

    void rekey_sa() {
        if (sas_.empty()) return;
        const KeyPair ke = generate(DhGroup::curve25519, random_);
        const Bytes nonce(kNonceSize, static_cast<base::Byte>(choice()));
        Sa next;
        next.spi_i = random_.u64();
        const SaPayload offer = offer_ike_again(sas_[current_].suite, bytes_of(next.spi_i, 8));
        heard_.clear();
        say(ExchangeType::create_child_sa,
            {offer, NoncePayload{nonce}, KePayload{group::curve25519, ke.public_value}},
            false);
        const auto answer = opened_answer();
        const auto* sa = answer ? answer->find<SaPayload>() : nullptr;
        const auto* theirs = answer ? answer->find<KePayload>() : nullptr;
        const auto chosen = sa == nullptr ? std::nullopt : accept_ike(offer, *sa);
        if (!chosen || theirs == nullptr) return;
        const Sa& old = sas_[current_];
        next.suite = chosen->suite;
        next.spi_r = base::Reader(sa->proposals.front().spi).u64();
        next.next_id = 0;
        const auto secret = shared_secret(ke, theirs->data);
        const Nonces nonces{nonce, answer->find<NoncePayload>()->data};
        next.keys = derive_rekeyed_keys(
            old.suite.prf, old.keys.d, next.suite, nonces, *secret, next.spi_i, next.spi_r
        );
        keep(std::move(next));
    }

    void keep(Sa sa) {
        if (sas_.size() > 16) sas_.erase(sas_.begin());
        sas_.push_back(std::move(sa));
        current_ = sas_.size() - 1;
    }

    // --- What the hub says to it

    std::optional<Message> opened_answer() const {
        for (const Bytes& bytes : heard_) {
            const auto raw = parse(bytes);
            if (!raw || !raw->header.is_response()) continue;
            if (auto message = open(*raw, sas_[current_].opener())) return std::move(*message);
        }
        return std::nullopt;
    }
    void hear(const Bytes& datagram) {
        if (datagram.size() < 4) return;
        heard_.emplace_back(datagram.begin() + 4, datagram.end());
        const auto raw = parse(heard_.back());
        if (!raw || raw->header.is_response()) return;
        if (raw->header.exchange == ExchangeType::ike_sa_init) knock_ = heard_.back();
        for (Sa& sa : sas_) {
            if (!sa.holds(raw->header)) continue;
            sa.asked = raw->header;
            sa.request = heard_.back();
        }
    }

    void deliver_sealed(const Bytes& message) {
        Bytes bytes(4, 0);
        bytes.insert(bytes.end(), message.begin(), message.end());
        if (said_.size() < 32) said_.push_back(bytes);
        deliver_to_hub(bytes);
    }
    void deliver_to_hub(const Bytes& bytes) {
        hub_.engine->handle({bytes, member_, hub_.endpoint}, now_, hub_.actions);
        perform(hub_);
    }

    // --- The world

    void check() const {
        base::ensure(hub_.sending.at(kHonest) == child_, "the honest tunnel is the same");
        const auto& ours = hub_.children.at(child_).second;
        const auto& theirs = honest_.children.at(honest_.sending.at(kHonest)).second;
        base::ensure(ours.first == theirs.second && ours.second == theirs.first, "and has the same keys");
        base::ensure(honest_.engine->sessions() == 1, "on one IKE SA");
        base::ensure(hub_.engine->sessions() <= kSessionsMax + unproven_ + left_behind_, "few SAs are kept");
        base::ensure(hub_.children.size() <= 1 + 5 * 9, "and few children");
    }

    void advance(Duration d) {
        const Instant end = now_ + d;
        for (;;) {
            Instant next = end;
            for (const Flight& flight : flights_) next = std::min(next, flight.at);
            for (const Host* host : {&hub_, &honest_}) {
                if (const auto at = host->engine->deadline()) next = std::min(next, std::max(now_, at->at));
            }
            now_ = next;
            for (const Flight& flight : std::exchange(flights_, {})) {
                if (flight.at > now_) {
                    flights_.push_back(flight);
                    continue;
                }
                Host& host = flight.to == hub_.endpoint ? hub_ : honest_;
                host.engine->handle({flight.bytes, flight.from, flight.to}, now_, host.actions);
                perform(host);
            }
            for (Host* host : {&hub_, &honest_}) {
                host->engine->tick(now_, host->actions);
                const auto after = host->engine->deadline();
                base::ensure(!after || after->at > now_, "the deadline moves on");
                perform(*host);
            }
            if (now_ >= end) return;
        }
    }

    void perform(Host& host) {
        while (!host.actions.empty()) {
            const Actions actions = std::exchange(host.actions, {});
            for (const Action& action : actions) std::visit([&](const auto& a) { obey(host, a); }, action);
        }
    }
    void obey(Host& host, const Send& send) {
        if (send.to.address == member_.address) return hear(send.bytes);
        flights_.push_back({now_ + 10ms, host.endpoint, send.to, send.bytes});
    }
    void obey(Host& host, const ChildUp& up) {
        const auto bytes = [](const base::Secret& key) {
            return Bytes(key.view().begin(), key.view().end());
        };
        host.children[up.child] = {up.peer, {bytes(up.in.key), bytes(up.out.key)}};
        if (host.refuses && up.peer == kMember) {
            host.engine->refused(up.child, now_, host.actions);
        } else {
            host.engine->installed(up.child, now_, host.actions);
        }
    }
    void obey(Host& host, const ChildDown& down) {
        base::ensure(host.children.erase(down.child) == 1, "what goes down was up");
        std::erase_if(host.sending, [&](const auto& each) { return each.second == down.child; });
    }
    void obey(Host& host, const Switch& chosen) {
        base::ensure(host.children.contains(chosen.child), "what is sent on is up");
        base::ensure(host.children.at(chosen.child).first == chosen.peer, "and is the peer's");
        host.sending[chosen.peer] = chosen.child;
    }
    void obey(Host&, const base::Note& note) {
        base::ensure(note.level != base::Level::error, "no error is noted");
        for (const char c : note.text) base::ensure(c >= 0x20 && c < 0x7f, "notes are fit to print");
    }
    template <class Other>
    void obey(Host&, const Other&) {}  // ChildMoved, Silence, Doubted, Unreached

    struct Flight {
        Instant at;
        Endpoint from, to;
        Bytes bytes;
    };
    base::Reader input_;
    base::Random random_ = base::Random::from_number(1000);
    Instant now_{};
    Host hub_, honest_;
    Endpoint member_;
    ChildId child_ = 0;
    std::vector<Sa> sas_;
    std::size_t current_ = 0, unproven_ = 0;
    std::size_t left_behind_ = 0;  // on their way out when the member was removed last
    std::vector<Bytes> heard_, said_;
    std::optional<Bytes> knock_;  // the hub's last IKE_SA_INIT request
    std::vector<Flight> flights_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size > 1024) return 0;
    Siege(base::ByteView(bytes, size)).run();
    return 0;
}
