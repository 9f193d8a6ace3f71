// Two engines talking over a wire that the input rules: each datagram is delivered, lost, doubled, held back,
// or damaged, and between them peers restart, move and refuse. Afterwards the wire is good again, and within
// two minutes exactly one tunnel must stand, with the same keys on both sides.

#include "ike/crypto.hpp"
#include "ike/engine.hpp"

#include <algorithm>
#include <map>

using namespace aronet;
using namespace aronet::ike;
using namespace std::chrono_literals;

namespace {

struct Host {
    std::unique_ptr<base::Random> random;
    std::unique_ptr<Engine> engine;
    Endpoint endpoint;
    Peer peer;
    Actions actions;
    std::map<ChildId, std::pair<base::Bytes, base::Bytes>> keys;  // in, out
    std::optional<ChildId> sending;
    bool refuses = false;
};

struct Flight {
    Instant at;
    std::uint64_t order;
    Datagram view() const { return {bytes, from, to}; }
    Endpoint from, to;
    base::Bytes bytes;
};

base::Secret seed_of(int host) {
    const base::Bytes bytes(32, static_cast<base::Byte>(host + 1));
    return base::Secret(base::ByteView(bytes));
}

class Wire {
public:
    explicit Wire(base::ByteView input) : input_(input) {
        for (int i = 0; i < 2; ++i) {
            Host& host = hosts_[i];
            host.endpoint = {*Address::parse(i == 0 ? "192.0.2.1" : "192.0.2.2"), 12025};
            host.peer.id = 1;
            host.peer.local = {"acme", i == 0 ? "alpha" : "bravo", "0", false};
            host.peer.remote = {"acme", i == 0 ? "bravo" : "alpha", "0", false};
            host.peer.remote_keys = {public_key_of(seed_of(1 - i))};
            const unsigned kind = choice();
            host.peer.initiate_first = (kind & 1) != 0;
            host.peer.child.esn = (kind & 2) != 0 ? Esn::preferred : Esn::no;
            if ((kind & 4) != 0) host.peer.ppk = Ppk{"one", secret_of(1), false};
        }
        share(choice());
        hosts_[0].peer.remote_endpoint = hosts_[1].endpoint;
        hosts_[1].peer.remote_endpoint = hosts_[0].endpoint;
        for (int i = 0; i < 2; ++i) start(i);
    }

    void run() {
        while (input_.left() != 0) {
            disturb();
            advance(std::chrono::milliseconds(1 + choice() * 16));
        }
        for (Host& host : hosts_) host.refuses = false;
        advance(120s);
        for (int i = 0; i < 2; ++i) {
            base::ensure(hosts_[i].keys.size() == 1 && hosts_[i].sending, "one child stands");
        }
        const auto& a = hosts_[0].keys.at(*hosts_[0].sending);
        const auto& b = hosts_[1].keys.at(*hosts_[1].sending);
        base::ensure(a.first == b.second && a.second == b.first, "both sides have the same keys");
    }

private:
    static SharedSecret secret_of(int number) { return SharedSecret(seed_of(100 + number).view()); }

    // What both sides have to have alike.
    void share(unsigned kind) {
        for (Host& host : hosts_) {
            if ((kind & 1) != 0) host.peer.psk = secret_of(0);
            if ((kind & 2) != 0) host.peer.child.mode = base::SaMode::transport;
            if ((kind & 4) != 0) host.peer.ppk = Ppk{"one", secret_of(1), true};
        }
    }

    unsigned choice() { return input_.left() == 0 ? 0 : input_.u8(); }

    void start(int index) {
        Host& host = hosts_[index];
        host.engine.reset();
        host.random.reset(new base::Random(base::Random::from_number(++starts_)));
        EngineConfig config;
        config.private_key = seed_of(index);
        config.fragment_size = (choice() & 1) != 0 ? 300 : 1280;
        config.cookie_threshold = (choice() & 1) != 0 ? 0 : 64;
        host.engine = std::make_unique<Engine>(std::move(config), *host.random);
        host.keys.clear();
        host.sending.reset();
        host.engine->connect(host.peer, now_, host.actions);
        perform(host);
    }

    void disturb() {
        const unsigned what = choice();
        Host& host = hosts_[what & 1];
        switch (what >> 1 & 15) {
            case 0:
                return start(static_cast<int>(what & 1));
            case 1:
                host.engine->drop(1, now_, host.actions);
                break;
            case 2:
                host.refuses = !host.refuses;
                break;
            case 3:
                host.engine->traffic_seen(1, now_);
                break;
            case 4:
                host.engine->renew(1, now_, host.actions);
                break;
            case 5:
                if (host.sending) host.engine->rekey(*host.sending, now_, host.actions);
                break;
            default:
                return;
        }
        perform(host);
        host.engine->connect(host.peer, now_, host.actions);
        perform(host);
    }

    void advance(Duration d) {
        const Instant end = now_ + d;
        for (;;) {
            Instant next = end;
            for (const Flight& flight : flights_) next = std::min(next, flight.at);
            for (const Host& host : hosts_) {
                const auto deadline = host.engine->deadline();
                if (deadline) next = std::min(next, std::max(now_, deadline->at));
            }
            now_ = next;
            deliver_due();
            for (Host& host : hosts_) {
                const auto before = host.engine->deadline();
                if (!before || before->at > now_) continue;
                host.engine->tick(now_, host.actions);
                const auto after = host.engine->deadline();
                base::ensure(!after || after->at > now_, "the deadline moves on");
                perform(host);
            }
            if (now_ >= end) return;
        }
    }

    void deliver_due() {
        for (;;) {
            const auto due =
                std::min_element(flights_.begin(), flights_.end(), [](const Flight& x, const Flight& y) {
                    return std::pair(x.at, x.order) < std::pair(y.at, y.order);
                });
            if (due == flights_.end() || due->at > now_) return;
            const Flight flight = std::move(*due);
            flights_.erase(due);
            for (Host& host : hosts_) {
                if (host.endpoint != flight.to) continue;
                host.engine->handle(flight.view(), now_, host.actions);
                perform(host);
            }
        }
    }

    void perform(Host& host) {
        while (!host.actions.empty()) {
            const Actions actions = std::exchange(host.actions, {});
            for (const Action& action : actions) std::visit([&](const auto& a) { obey(host, a); }, action);
        }
    }

    void obey(Host& host, const Send& send) {
        Flight flight{now_ + 10ms, ++order_, host.endpoint, send.to, send.bytes};
        const unsigned fate = choice();
        switch (fate % 8) {
            case 1:
                return;
            case 2:
                flights_.push_back({now_ + 15ms, ++order_, flight.from, flight.to, flight.bytes});
                break;
            case 3:
                flight.at += std::chrono::milliseconds(fate);
                break;
            case 4:
                if (!flight.bytes.empty()) {
                    const std::size_t at = (fate / 8 * 256u + choice()) % flight.bytes.size();
                    flight.bytes[at] = static_cast<base::Byte>(flight.bytes[at] ^ 1u << choice() % 8);
                }
                break;
            default:
                break;
        }
        flights_.push_back(std::move(flight));
    }

    void obey(Host& host, const ChildUp& up) {
        const auto bytes = [](const base::Secret& key) {
            return base::Bytes(key.view().begin(), key.view().end());
        };
        host.keys[up.child] = {bytes(up.in.key), bytes(up.out.key)};
        if (host.refuses) {
            host.engine->refused(up.child, now_, host.actions);
        } else {
            host.engine->installed(up.child, now_, host.actions);
        }
    }

    void obey(Host& host, const ChildDown& down) {
        base::ensure(host.keys.erase(down.child) == 1, "what goes down was up");
        if (host.sending == down.child) host.sending.reset();
    }

    void obey(Host& host, const Switch& chosen) {
        base::ensure(host.keys.contains(chosen.child), "what is sent on is up");
        host.sending = chosen.child;
    }

    void obey(Host&, const ChildMoved&) {}
    void obey(Host&, const Unreached&) {}
    void obey(Host&, const Silence&) {}
    void obey(Host&, const Doubted&) {}
    void obey(Host&, const KeysMade&) {}

    void obey(Host&, const base::Note& note) {
        base::ensure(note.level != base::Level::error, "no error is noted");
        for (const char c : note.text) base::ensure(c >= 0x20 && c < 0x7f, "notes are fit to print");
    }

    base::Reader input_;
    Host hosts_[2];
    Instant now_{};
    std::vector<Flight> flights_;
    std::uint64_t order_ = 0, starts_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size > 512) return 0;
    Wire(base::ByteView(bytes, size)).run();
    return 0;
}
