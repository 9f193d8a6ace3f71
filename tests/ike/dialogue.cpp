#include "dialogue.hpp"

#include "ike/crypto.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

namespace aronet::ike::test {

using namespace std::chrono_literals;

namespace {

base::Secret key_for(std::uint64_t seed) {
    base::Secret key(32);
    base::Random::from_number(seed).fill(key.mutable_view());
    return key;
}

constexpr std::uint64_t kKeyOfA = 1001, kKeyOfB = 1002;

Identity identity(const char* name) { return {"acme", name, "0", false}; }

EngineConfig with_key(EngineConfig config, std::uint64_t seed) {
    config.private_key = key_for(seed);
    return config;
}

base::Sa copy_of(const base::Sa& from) {
    base::Sa to = from.without_key();
    to.key = from.key.copy();
    return to;
}

}  // namespace

EngineConfig copy(const EngineConfig& config) {
    EngineConfig out;
    out.private_key = config.private_key.copy();
    out.dpd_interval = config.dpd_interval;
    out.keepalive_interval = config.keepalive_interval;
    out.half_open_max = config.half_open_max;
    out.cookie_threshold = config.cookie_threshold;
    out.cookie_threshold_per_source = config.cookie_threshold_per_source;
    out.half_open_max_per_source = config.half_open_max_per_source;
    out.child_lifetime = config.child_lifetime;
    out.child_bytes = config.child_bytes;
    out.child_packets = config.child_packets;
    out.ike_lifetime = config.ike_lifetime;
    out.ike_requests = config.ike_requests;
    out.concurrent_per_endpoint = config.concurrent_per_endpoint;
    out.retry_cap = config.retry_cap;
    out.fragment_size = config.fragment_size;
    out.has_shared_link = config.has_shared_link;
    out.tells_keys = config.tells_keys;
    return out;
}

EngineConfig without_dpd() {
    EngineConfig config;
    config.dpd_interval = Duration::zero();
    return config;
}

base::Secret key_of(const Side& side) { return key_for(side.name == "a" ? kKeyOfA : kKeyOfB); }

bool Passing::marked() const {
    base::Reader in(bytes);
    return in.u32() == 0 && !in.failed();
}

base::ByteView Passing::message() const { return base::ByteView(bytes).subspan(marked() ? 4 : 0); }

std::uint32_t Passing::id() const {
    base::Reader in(message());
    in.skip(20);
    return in.u32();
}

Side::Side(const char* side_name, const char* address, std::uint64_t seed, EngineConfig config)
    : name(side_name),
      endpoint{*Address::parse(address), 12025},
      random(new base::Random(base::Random::from_number(seed))),
      engine(std::make_unique<Engine>(std::move(config), *random)) {}

PeerView Side::view(PeerId id) const {
    for (const PeerView& each : engine->peers()) {
        if (each.id == id) return each;
    }
    return {};
}

std::uint64_t Side::drops(std::string_view reason) const {
    const auto it = engine->drops().totals().find(reason);
    return it == engine->drops().totals().end() ? 0 : it->second;
}

namespace {

Peer peer_at(const Side& other) {
    Peer peer;
    peer.id = 1;
    peer.remote_keys = {public_key_of(key_of(other))};
    peer.remote_endpoint = other.endpoint;
    return peer;
}

}  // namespace

Dialogue::Dialogue(std::uint64_t seed, EngineConfig for_a, EngineConfig for_b)
    : a("a", "192.0.2.1", 2 * seed, with_key(copy(for_a), kKeyOfA)),
      b("b", "192.0.2.2", 2 * seed + 1, with_key(copy(for_b), kKeyOfB)),
      config_a_(with_key(std::move(for_a), kKeyOfA)),
      config_b_(with_key(std::move(for_b), kKeyOfB)) {}

Peer Dialogue::peer_of_a() const {
    Peer peer = peer_at(b);
    peer.local = identity("alpha");
    peer.remote = identity("bravo");
    peer.initiate_first = true;
    peer.only_we_initiate = a_unknown;
    peer.if_id = 7;
    peer.reqid = 8;
    return peer;
}

Peer Dialogue::peer_of_b() const {
    Peer peer = peer_at(a);
    peer.local = identity("bravo");
    peer.remote = identity("alpha");
    peer.initiate_first = false;
    if (a_unknown) peer.remote_endpoint.reset();
    peer.if_id = 9;
    peer.reqid = 10;
    return peer;
}

Dialogue& Dialogue::a_connects() {
    return call(a, [&](Engine& engine, Actions& out) { engine.connect(peer_of_a(), now, out); });
}

Dialogue& Dialogue::b_connects() {
    return call(b, [&](Engine& engine, Actions& out) { engine.connect(peer_of_b(), now, out); });
}

Dialogue& Dialogue::both_connect() { return b_connects().a_connects(); }

Dialogue& Dialogue::connect(const std::function<void(Peer&)>& of_a, const std::function<void(Peer&)>& of_b) {
    Peer peer_a = peer_of_a(), peer_b = peer_of_b();
    of_a(peer_a);
    of_b(peer_b);
    call(b, [&](Engine& engine, Actions& out) { engine.connect(peer_b, now, out); });
    return call(a, [&](Engine& engine, Actions& out) { engine.connect(peer_a, now, out); });
}

Dialogue& Dialogue::call(Side& side, const std::function<void(Engine&, Actions&)>& what) {
    what(*side.engine, side.actions);
    perform(side);
    return *this;
}

Dialogue& Dialogue::advance(Duration d) {
    return advance_until(d, [] { return false; });
}

Dialogue& Dialogue::advance_until(Duration at_most, const std::function<bool()>& reached) {
    const Instant end = now + at_most;
    while (!reached()) {
        Instant next = end;
        for (const Flight& flight : flights_) next = std::min(next, flight.at);
        for (const Side* side : {&a, &b}) {
            if (side == sleeping) continue;
            if (const auto deadline = side->engine->deadline())
                next = std::min(next, std::max(now, deadline->at));
        }
        now = next;
        for (;;) {
            const auto due =
                std::min_element(flights_.begin(), flights_.end(), [](const Flight& x, const Flight& y) {
                    return std::pair(x.at, x.order) < std::pair(y.at, y.order);
                });
            if (due == flights_.end() || due->at > now) break;
            const Passing message = std::move(due->message);
            flights_.erase(due);
            deliver(message);
        }
        for (Side* side : {&a, &b}) {
            const auto deadline = side->engine->deadline();
            if (side == sleeping || !deadline || deadline->at > now) continue;
            side->engine->tick(now, side->actions);
            check_contract(*side);
            perform(*side);
        }
        if (now >= end) break;
    }
    return *this;
}

// After tick(now) the deadline lies ahead, and another tick does nothing.
void Dialogue::check_contract(Side& side) {
    const auto deadline = side.engine->deadline();
    if (deadline && deadline->at <= now)
        FAIL("deadline of " << side.name << " does not move on: " << deadline->why);
    const std::size_t before = side.actions.size();
    side.engine->tick(now, side.actions);
    if (side.actions.size() != before) FAIL("a spurious tick of " << side.name << " acted");
}

void Dialogue::deliver(const Passing& message) {
    for (Side* side : {&a, &b}) {
        if (side->endpoint != message.to || side == sleeping) continue;
        side->engine->handle({message.bytes, message.from, message.to}, now, side->actions);
        perform(*side);
    }
}

void Dialogue::perform(Side& side) {
    while (!side.actions.empty()) {
        const Actions actions = std::exchange(side.actions, {});
        for (const Action& action : actions) {
            if (const auto* send = std::get_if<Send>(&action)) {
                post(side, *send);
            } else if (const auto* up = std::get_if<ChildUp>(&action)) {
                ++side.ups;
                side.children.insert_or_assign(up->child, std::pair(copy_of(up->in), copy_of(up->out)));
                side.sharing[up->child] = up->shares_link;
                side.replacing[up->child] = up->replaces;
                side.selectors[up->child] = {up->local, up->remote};
                if (side.refuses) {
                    side.engine->refused(up->child, now, side.actions);
                } else if (side.obedient) {
                    side.engine->installed(up->child, now, side.actions);
                }
            } else if (const auto* down = std::get_if<ChildDown>(&action)) {
                ++side.downs;
                REQUIRE(side.children.contains(down->child));
                CHECK(side.children.at(down->child).first.id() == down->in);
                CHECK(side.children.at(down->child).second.id() == down->out);
                side.children.erase(down->child);
                if (side.sending == down->child) side.sending.reset();
            } else if (const auto* chosen = std::get_if<Switch>(&action)) {
                ++side.switches;
                REQUIRE(side.children.contains(chosen->child));
                side.sending = chosen->child;
            } else if (const auto* moved = std::get_if<ChildMoved>(&action)) {
                ++side.moves;
                auto& sas = side.children.at(moved->child);
                sas.first.source = sas.second.destination = moved->remote;
                sas.first.destination = sas.second.source = moved->local;
            } else if (std::holds_alternative<Silence>(action)) {
                ++side.silences;
            } else if (std::holds_alternative<Unreached>(action)) {
                ++side.unreached;
            } else if (const auto* doubted = std::get_if<Doubted>(&action)) {
                side.trust.push_back(doubted->trust);
            } else if (const auto* told = std::get_if<KeysMade>(&action)) {
                side.keys.push_back(
                    {told->spi_i,
                     told->spi_r,
                     told->suite,
                     told->ei.copy(),
                     told->er.copy(),
                     told->ai.copy(),
                     told->ar.copy()}
                );
            } else if (const auto* note = std::get_if<base::Note>(&action)) {
                side.notes.push_back(note->text);
                if (note->level == base::Level::error) FAIL(note->text);
            }
        }
    }
}

void Dialogue::post(Side& side, const Send& send) {
    if (send.bytes.size() == 1) ++side.keepalives;
    Passing message{sent.size(), side.endpoint, send.to, send.bytes, &side == &a, send.from};
    sent.push_back(message);
    const Fate becomes = fate ? fate(message) : Fate::arrives;
    if (cut || becomes == Fate::lost || (middle && !middle(message))) return;
    const Duration late = becomes == Fate::late ? 3 * delay : 0s;
    flights_.push_back({now + delay + late, order_++, message});
    if (becomes == Fate::doubled) flights_.push_back({now + delay + delay / 2, order_++, message});
}

void Dialogue::restart(Side& side, std::uint64_t seed) {
    side.engine.reset();
    side.random.reset(new base::Random(base::Random::from_number(seed)));
    side.engine = std::make_unique<Engine>(copy(&side == &a ? config_a_ : config_b_), *side.random);
    side.children.clear();
    side.sending.reset();
    const Peer peer = &side == &a ? peer_of_a() : peer_of_b();
    call(side, [&](Engine& engine, Actions& out) { engine.connect(peer, now, out); });
}

std::size_t Dialogue::count(std::uint8_t exchange, bool by_a) const {
    return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [&](const Passing& message) {
        return message.by_a == by_a && message.bytes.size() > 20 && message.exchange() == exchange;
    }));
}

bool Dialogue::tunnel() const {
    if (!a.sending || !b.sending) return false;
    const auto carries = [](const Side& from, const Side& to) {
        const base::Sa& out = from.children.at(*from.sending).second;
        return std::any_of(to.children.begin(), to.children.end(), [&](const auto& child) {
            const base::Sa& in = child.second.first;
            return in.spi == out.spi && in.key == out.key && in.suite == out.suite;
        });
    };
    return carries(a, b) && carries(b, a);
}

bool Dialogue::single() const {
    return tunnel() && a.children.size() == 1 && b.children.size() == 1 &&
           a.view().state == PeerState::established && b.view().state == PeerState::established;
}

void Dialogue::expect_tunnel(const char* where) const {
    INFO(
        where << ": a " << a.children.size() << " children, " << a.view().reason << "; b "
              << b.children.size() << " children, " << b.view().reason
    );
    REQUIRE(single());
}

void for_each_fault(
    const std::function<void(Dialogue&)>& script, std::uint64_t seed, const EngineConfig& config
) {
    std::size_t count = 0;
    {
        Dialogue plain(seed, copy(config), copy(config));
        script(plain);
        count = plain.sent.size();
    }
    for (const Fate fault : {Fate::lost, Fate::doubled, Fate::late}) {
        for (std::size_t i = 0; i < count; ++i) {
            INFO(
                "message " << i
                           << (fault == Fate::lost      ? " lost"
                               : fault == Fate::doubled ? " doubled"
                                                        : " late")
            );
            Dialogue faulty(seed, copy(config), copy(config));
            faulty.fate = [&](const Passing& message) { return message.number == i ? fault : Fate::arrives; };
            script(faulty);
        }
    }
}

}  // namespace aronet::ike::test
