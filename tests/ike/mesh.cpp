#include "mesh.hpp"

#include <algorithm>

namespace aronet::ike::test {

using namespace std::chrono_literals;

namespace {

constexpr Duration kDelay = 10ms, kTrafficInterval = 3s;

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
        hosts_[i].inside = hosts_[i].outside = {*Address::parse("192.0.2." + last), 12025};
        if (i + 1 == count) hosts_[i].outside = {*Address::parse("203.0.113." + last), 20000};
    }
    starts_ = seed << 20;
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
    const bool known = hosts_[other].inside == hosts_[other].outside;
    if (known) peer.remote_endpoint = hosts_[other].outside;
    peer.only_we_initiate = host.inside != host.outside;
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
}

void Mesh::disturb() {
    Host& host = any();
    switch (random_.below(8)) {
        case 0:
            kill(host);
            advance(random_.between(0s, 40s));
            start(host);
            break;
        case 1:
            host.refuses_percent = random_.below(60);
            break;
        case 2:
            hosts_.back().outside.port = static_cast<std::uint16_t>(hosts_.back().outside.port + 1);
            break;
        case 3:
            if (!host.engine) break;
            host.engine->drop(id_of((host.index + 1) % hosts_.size()), now_, host.actions);
            perform(host);
            advance(random_.between(0s, 5s));
            connect(host, (host.index + 1) % hosts_.size());
            break;
        case 4:
        case 5:
            for (Host& each : hosts_) change_keys(each);
            break;
        default:
            change_wires();
            break;
    }
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
    for (const Host& host : hosts_) {
        for (const auto& [peer, child] : host.sending) {
            const Carried& carried = host.children.at(child);
            pass(host, {host.outside, carried.to, {}, carried.spi_out});
        }
    }
}

void Mesh::pass(const Host& from, Flight flight) {
    const auto to = std::find_if(hosts_.begin(), hosts_.end(), [&](const Host& host) {
        return host.outside == flight.to;
    });
    if (to == hosts_.end() || cuts_.contains(std::minmax(from.index, to->index))) return;
    if (random_.below(100) < loss_percent_) return;
    const bool doubled = random_.below(100) < doubled_percent_;
    if (doubled) flights_.emplace(now_ + kDelay + random_.between(0s, jitter_), flight);
    flights_.emplace(now_ + kDelay + random_.between(0s, jitter_), std::move(flight));
}

void Mesh::arrive(const Flight& flight) {
    for (Host& host : hosts_) {
        if (!host.engine || host.outside != flight.to) continue;
        if (flight.spi == 0) {
            host.engine->handle({flight.bytes, flight.from, host.inside}, now_, host.actions);
        } else {
            for (const auto& [id, child] : host.children) {
                if (child.spi_in != flight.spi) continue;
                host.heard[child.peer] = now_;
                if (child.to != flight.from)  // what a kernel reports by XFRM_MSG_MAPPING
                    host.engine->mapping(id_of(child.peer), flight.from, now_, host.actions);
                break;
            }
        }
        perform(host);
    }
}

// ---- what engines want ----

void Mesh::perform(Host& host) {
    while (!host.actions.empty()) {
        const Actions actions = std::exchange(host.actions, {});
        for (const Action& action : actions) std::visit([&](const auto& a) { obey(host, a); }, action);
    }
}

void Mesh::obey(Host& host, const Send& send) { pass(host, {host.outside, send.to, send.bytes, 0}); }

void Mesh::obey(Host& host, const ChildUp& up) {
    for (const auto& [id, child] : host.children) {
        if (child.spi_in == up.in.spi) complain(host, "one SPI twice");
    }
    if (random_.below(100) < host.refuses_percent) return host.engine->refused(up.child, now_, host.actions);
    host.children[up.child] = {
        up.peer - 1,         up.in.spi,           up.out.spi, bytes_of(up.in.key),
        bytes_of(up.out.key), up.out.destination};
    host.engine->installed(up.child, now_, host.actions);
}

void Mesh::obey(Host& host, const Switch& chosen) {
    if (!host.children.contains(chosen.child)) return complain(host, "sends on a child that is not there");
    host.sending[chosen.peer - 1] = chosen.child;
}

// Also of a child that was refused.
void Mesh::obey(Host& host, const ChildDown& down) {
    host.children.erase(down.child);
    std::erase_if(host.sending, [&](const auto& pair) { return pair.second == down.child; });
}

void Mesh::obey(Host& host, const ChildMoved& moved) {
    const auto child = host.children.find(moved.child);
    if (child == host.children.end()) return complain(host, "moves a child that is not there");
    child->second.to = moved.remote;
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
    if (x.to != b.outside || y.to != a.outside) return "a child that leads elsewhere";
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
