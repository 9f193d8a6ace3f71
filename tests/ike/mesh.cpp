#include "mesh.hpp"

#include <algorithm>

namespace aronet::ike::test {

using namespace std::chrono_literals;

namespace {

constexpr Duration kDelay = 10ms, kTrafficInterval = 3s, kPatience = 7s;

base::Secret seed_of(std::size_t host) {
    base::Secret seed(32);
    base::Random::from_number(7000 + host).fill(seed.mutable_view());
    return seed;
}

std::string name(std::size_t host) { return "node" + std::to_string(100 + host); }

Identity identity(std::size_t host) { return {"acme", name(host), "0", false}; }

base::Bytes bytes_of(const base::Secret& key) { return {key.view().begin(), key.view().end()}; }

PeerId id_of(std::size_t host) { return static_cast<PeerId>(host + 1); }

}  // namespace

Mesh::Mesh(std::uint64_t seed, std::size_t count)
    : random_(base::Random::from_number(seed)), hosts_(count), next_traffic_(now_) {
    for (std::size_t i = 0; i < count; ++i) {
        hosts_[i].index = i;
        const std::string last = std::to_string(i + 1);
        const Endpoint inside{*Address::parse("192.0.2." + last), 12025};
        const bool nat = i + 1 == count;
        hosts_[i].places = {{inside, nat ? Endpoint{*Address::parse("203.0.113." + last), 20000} : inside}};
        if (!nat) hosts_[i].published = inside;
    }
    starts_ = seed << 20;
    mover_ = random_.below(2) == 0 ? count - 1 : any().index;
    watches_ = random_.below(2) == 0;
    for (Host& host : hosts_) start(host);
}

Mesh::~Mesh() = default;

// ---- what happens ----

void Mesh::start(Host& host) {
    if (host.engine) return;
    host.random = std::unique_ptr<base::Random>(new base::Random(base::Random::from_number(++starts_)));
    EngineConfig config;
    config.private_key = seed_of(host.index);
    config.cookie_threshold = random_.below(4) == 0 ? 0 : 64;
    host.engine = std::make_unique<Engine>(std::move(config), *host.random);
    for (std::size_t other = 0; other < hosts_.size(); ++other) connect(host, other);
}

void Mesh::connect(Host& host, std::size_t other) {
    if (other == host.index) return;
    Peer peer;
    peer.id = id_of(other);
    peer.local = identity(host.index);
    peer.remote = identity(other);
    peer.remote_keys = {public_key_of(seed_of(other))};
    peer.remote_endpoint = hosts_[other].published;
    peer.only_we_initiate = !host.published;
    peer.initiate_first = host.index < other || peer.only_we_initiate;
    host.engine->connect(peer, now_, host.actions);
    perform(host);
}

// What it held is gone with its kernel; nobody is told.
void Mesh::kill(Host& host) {
    host.engine.reset();
    host.actions.clear();
    host.children.clear();
    host.sending.clear();
    host.heard.clear();
    host.doubts.clear();
}

void Mesh::disturb() {
    Host& host = any();
    switch (random_.below(10)) {
        case 0:
            kill(host);
            advance(random_.between(0s, 40s));
            start(host);
            break;
        case 1:
            host.refuses_percent = random_.below(60);
            break;
        case 2:
        case 3:
            move();
            break;
        case 4:
            if (!host.engine) break;
            host.engine->drop(id_of((host.index + 1) % hosts_.size()), now_, host.actions);
            perform(host);
            advance(random_.between(0s, 5s));
            connect(host, (host.index + 1) % hosts_.size());
            break;
        case 5:
        case 6:
            for (Host& each : hosts_) change_keys(each);
            break;
        case 7:
            suspect_some(host);
            break;
        default:
            change_wires();
            break;
    }
    if (random_.below(2) == 0) publish();
    advance(random_.between(10ms, 20s));
}

// Of half its children, and of half its IKE SAs.
void Mesh::change_keys(Host& host) {
    for (const auto& [peer, child] : std::map(host.sending)) {
        if (random_.below(2) == 0) host.engine->rekey(child, now_, host.actions);
        if (random_.below(2) == 0) host.engine->renew(id_of(peer), now_, host.actions);
        perform(host);
    }
}

// Another network before the old one goes or after it, a second one beside it, or another route. A NAT may
// map anew.
void Mesh::move() {
    Host& host = hosts_[mover_];
    switch (random_.below(4)) {
        case 0:
            gain(host);
            advance(random_.between(0s, 5s));
            if (host.places.size() > 1) lose(host);
            break;
        case 1:
            lose(host);
            advance(random_.between(0s, 10s));
            if (host.places.empty()) gain(host);
            break;
        case 2:
            host.published ? gain(host) : void(++host.places.front().outside.port);
            break;
        default:  // of which nobody is told
            std::rotate(host.places.begin(), host.places.begin() + 1, host.places.end());
            break;
    }
}

// The route leads from there. Only behind a NAT is it seen as another.
void Mesh::gain(Host& host) {
    const std::string last = std::to_string(++places_);
    const Endpoint inside{*Address::parse("198.51.100." + last), 12025};
    const Endpoint outside{*Address::parse("203.0.113.1" + last), 20000};
    host.places.insert(host.places.begin(), {inside, host.published ? inside : outside});
    if (!host.engine) return;
    for (const Host& peer : hosts_) {
        if (peer.index != host.index) host.engine->roam(id_of(peer.index), now_, host.actions);
    }
    perform(host);
}

// The oldest, or the one that the route leads from. Whose tunnels ran from there are told.
void Mesh::lose(Host& host) {
    const auto gone = random_.below(3) == 0 ? host.places.begin() : std::prev(host.places.end());
    const Endpoint inside = gone->inside;
    host.places.erase(gone);
    std::set<std::size_t> concerned;
    for (const auto& [id, child] : host.children) {
        if (child.from == inside) concerned.insert(child.peer);
    }
    for (const std::size_t peer : concerned) host.engine->roam(id_of(peer), now_, host.actions);
    perform(host);
}

// The name servers learn where it is, and all others look.
void Mesh::publish() {
    const Host& mover = hosts_[mover_];
    if (!mover.published || mover.places.empty()) return;
    hosts_[mover_].published = mover.places.front().outside;
    std::vector<Endpoint> where;
    for (const Place& each : mover.places) where.push_back(each.outside);
    for (Host& host : hosts_) {
        if (host.index == mover_ || !host.engine) continue;
        host.engine->resolved(id_of(mover_), where, now_, host.actions);
        perform(host);
    }
}

// Rightly or not.
void Mesh::suspect_some(Host& host) {
    for (const Host& peer : hosts_) {
        if (!host.engine || peer.index == host.index || random_.below(2) == 0) continue;
        host.engine->suspect(id_of(peer.index), now_, host.actions);
        perform(host);
    }
}

void Mesh::change_wires() {
    loss_percent_ = random_.below(30);
    doubled_percent_ = random_.below(10);
    jitter_ = random_.between(0ms, 200ms);
    cuts_.clear();
    for (std::uint64_t i = random_.below(3 * hosts_.size()); i > 0; --i)
        cuts_.insert(std::minmax(any().index, any().index));
}

void Mesh::calm() {
    loss_percent_ = doubled_percent_ = 0;
    jitter_ = 0s;
    cuts_.clear();
    for (Host& host : hosts_) {
        host.refuses_percent = 0;
        start(host);
    }
    publish();
}

void Mesh::stop() {
    for (Host& host : hosts_) {
        host.engine->stop(now_, host.actions);
        perform(host);
    }
}

// ---- time and wires ----

void Mesh::advance(Duration time) {
    const Instant end = now_ + time;
    while (now_ < end) {
        Instant next = std::min(end, next_traffic_);
        if (!flights_.empty()) next = std::min(next, flights_.begin()->first);
        for (const Host& host : hosts_) {
            const auto deadline = host.engine ? host.engine->deadline() : std::nullopt;
            if (deadline) next = std::min(next, std::max(now_, deadline->at));
        }
        now_ = next;
        while (!flights_.empty() && flights_.begin()->first <= now_) {
            const auto flight = flights_.extract(flights_.begin());
            arrive(flight.mapped());
        }
        for (Host& host : hosts_) {
            const auto due = host.engine ? host.engine->deadline() : std::nullopt;
            if (!due || due->at > now_) continue;
            host.engine->tick(now_, host.actions);
            const auto next_due = host.engine->deadline();
            if (next_due && next_due->at <= now_) complain(host, "its deadline does not move on");
            perform(host);
        }
        if (now_ < next_traffic_) continue;
        next_traffic_ = now_ + kTrafficInterval;
        pass_traffic();
    }
}

void Mesh::pass_traffic() {
    for (Host& host : hosts_) {
        for (const auto& [peer, child] : host.sending) {
            const Carried& carried = host.children.at(child);
            send(host, carried.from, {{}, carried.to, {}, carried.spi_out});
        }
        if (watches_) watch(host);
    }
}

// Traffic goes out all the time: who is not heard is suspected.
void Mesh::watch(Host& host) {
    for (const auto& [peer, child] : std::map(host.sending)) {
        if (host.heard[peer] + kPatience < now_) host.engine->suspect(id_of(peer), now_, host.actions);
    }
    perform(host);
}

// From an address that it has; of any() the route decides.
void Mesh::send(const Host& host, const Endpoint& from, Flight flight) {
    const Place* where = host.places.empty() ? nullptr : &host.places.front();
    if (!from.address.is_any()) where = place(host, from);
    if (where == nullptr) return;
    flight.from = where->outside;
    pass(host, std::move(flight));
}

const Mesh::Place* Mesh::place(const Host& host, const Endpoint& inside) {
    const auto found = std::find_if(host.places.begin(), host.places.end(), [&](const Place& each) {
        return each.inside == inside;
    });
    return found == host.places.end() ? nullptr : &*found;
}

void Mesh::pass(const Host& from, Flight flight) {
    const auto to = std::find_if(hosts_.begin(), hosts_.end(), [&](const Host& host) {
        return std::any_of(host.places.begin(), host.places.end(), [&](const Place& each) {
            return each.outside == flight.to;
        });
    });
    if (to == hosts_.end() || cuts_.contains(std::minmax(from.index, to->index))) return;
    if (random_.below(100) < loss_percent_) return;
    const bool doubled = random_.below(100) < doubled_percent_;
    if (doubled) flights_.emplace(now_ + kDelay + random_.between(0s, jitter_), flight);
    flights_.emplace(now_ + kDelay + random_.between(0s, jitter_), std::move(flight));
}

void Mesh::arrive(const Flight& flight) {
    for (Host& host : hosts_) {
        for (const Place& each : std::vector(host.places)) {
            if (host.engine && each.outside == flight.to) arrive(host, each, flight);
        }
    }
}

// SAs are found by SPI and destination (RFC 4301 4.1), as the kernel does.
void Mesh::arrive(Host& host, const Place& place, const Flight& flight) {
    if (flight.spi == 0) host.engine->handle({flight.bytes, flight.from, place.inside}, now_, host.actions);
    for (const auto& [id, child] : host.children) {
        if (flight.spi == 0 || child.spi_in != flight.spi || child.from != place.inside) continue;
        host.heard[child.peer] = now_;
        if (host.doubts.contains(child.peer)) host.engine->traffic_seen(id_of(child.peer), now_);
        if (child.to != flight.from)  // what a kernel reports by XFRM_MSG_MAPPING
            host.engine->mapping(id_of(child.peer), flight.from, now_, host.actions);
        break;
    }
    perform(host);
}

// ---- what engines want ----

void Mesh::perform(Host& host) {
    while (!host.actions.empty()) {
        const Actions actions = std::exchange(host.actions, {});
        for (const Action& action : actions) std::visit([&](const auto& a) { obey(host, a); }, action);
    }
}

void Mesh::obey(Host& host, const Send& sent) { send(host, sent.from, {{}, sent.to, sent.bytes, 0}); }

void Mesh::obey(Host& host, const ChildUp& up) {
    for (const auto& [id, child] : host.children) {
        if (child.spi_in == up.in.spi) complain(host, "one SPI twice");
    }
    if (random_.below(100) < host.refuses_percent) return host.engine->refused(up.child, now_, host.actions);
    host.children[up.child] = {
        up.peer - 1,
        up.in.spi,
        up.out.spi,
        bytes_of(up.in.key),
        bytes_of(up.out.key),
        up.out.source,
        up.out.destination};
    host.engine->installed(up.child, now_, host.actions);
}

void Mesh::obey(Host& host, const Switch& chosen) {
    if (!host.children.contains(chosen.child)) return complain(host, "sends on a child that is not there");
    host.sending[chosen.peer - 1] = chosen.child;
    host.doubts.erase(chosen.peer - 1);
}

// Also of a child that was refused.
void Mesh::obey(Host& host, const ChildDown& down) {
    host.children.erase(down.child);
    if (std::erase_if(host.sending, [&](const auto& pair) { return pair.second == down.child; }) > 0)
        host.doubts.erase(down.peer - 1);
}

void Mesh::obey(Host& host, const ChildMoved& moved) {
    const auto child = host.children.find(moved.child);
    if (child == host.children.end()) return complain(host, "moves a child that is not there");
    child->second.from = moved.local;
    child->second.to = moved.remote;
}

void Mesh::obey(Host& host, const Doubted& doubted) {
    const std::size_t peer = doubted.peer - 1;
    if (!host.sending.contains(peer)) complain(host, "doubts a peer without a tunnel");
    host.doubts[peer] = doubted.trust;
    if (doubted.trust == Trust::full) host.doubts.erase(peer);
}

void Mesh::obey(Host& host, const Silence& silence) {
    const auto heard = host.heard.find(silence.peer - 1);
    if (heard != host.heard.end()) host.engine->traffic_seen(silence.peer, heard->second);
}

void Mesh::obey(Host& host, const base::Note& note) {
    if (note.level == base::Level::error) complain(host, note.text);
}

// ---- what must hold ----

void Mesh::complain(const Host& host, const std::string& what) {
    complaints_.push_back(name(host.index) + ": " + what);
}

std::vector<std::string> Mesh::complaints(Held held) const {
    std::vector<std::string> all = complaints_;
    for (const Host& a : hosts_) {
        for (const Host& b : hosts_) {
            if (a.index >= b.index) continue;
            std::string what = complaint(a, b);
            if (what.empty() && held == Held::one) what = surplus(a, b);
            if (!what.empty()) all.push_back(name(a.index) + " and " + name(b.index) + ": " + what);
        }
    }
    return all;
}

std::string Mesh::complaint(const Host& a, const Host& b) {
    if (!a.sending.contains(b.index) || !b.sending.contains(a.index)) return "no tunnel";
    const Carried& x = a.children.at(a.sending.at(b.index));
    const Carried& y = b.children.at(b.sending.at(a.index));
    if (x.spi_in != y.spi_out || x.spi_out != y.spi_in) return "they send on different children";
    if (x.key_in != y.key_out || x.key_out != y.key_in) return "different keys";
    const Place *here = place(a, x.from), *there = place(b, y.from);
    if (here == nullptr || there == nullptr) return "a child that begins where nobody is";
    if (x.to != there->outside || y.to != here->outside) return "a child that leads elsewhere";
    if (a.doubts.contains(b.index) || b.doubts.contains(a.index)) return "no trust";
    return {};
}

std::string Mesh::surplus(const Host& a, const Host& b) {
    const auto count = [](const Host& host, const Host& peer) {
        return std::count_if(host.children.begin(), host.children.end(), [&](const auto& child) {
            return child.second.peer == peer.index;
        });
    };
    if (count(a, b) == 1 && count(b, a) == 1) return {};
    return std::to_string(count(a, b)) + " and " + std::to_string(count(b, a)) + " children";
}

std::size_t Mesh::children() const {
    std::size_t count = 0;
    for (const Host& host : hosts_) count += host.children.size();
    return count;
}

}  // namespace aronet::ike::test
