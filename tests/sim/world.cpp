#include "world.hpp"

#include "overlay/parse.hpp"

#include <algorithm>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;
using base::Address;
using base::Endpoint;
using base::Family;
using base::Prefix;

constexpr std::uint16_t kPort = 12025;
constexpr Duration kLonely = 60s;  // an SA without its other half may be so old

Address numbered(const char* text, std::size_t number) { return Address::parse(text)->plus(number); }
Prefix network_of(std::size_t i) { return {*Address::parse("fd10:" + std::to_string(i + 1) + "::"), 64}; }
Prefix prefix_of(std::size_t i) {
    return Prefix(*Address::parse("10.10." + std::to_string(i + 1) + ".0"), 24);
}

}  // namespace

struct World::Host {
    std::size_t number = 0;
    HostPlan plan;
    base::Secret key;
    Address address;         // its own
    Endpoint outside;        // what the others see
    std::uint64_t life = 0;  // counts starts: what was on its way to an earlier life is lost
    bool alive = false, stopped = false;
    std::unique_ptr<base::Random> random;
    std::unique_ptr<overlay::Node> node;
    Kernel kernel;
    overlay::Actions actions;
    std::optional<Instant> tick_at;
    std::set<std::size_t> members;
    std::string answer;

    overlay::Config config() const {
        overlay::Config out;
        out.private_key = key.copy();
        out.organization = "sim";
        out.common_name = plan.name;
        out.network = network_of(number);
        out.prefixes = {prefix_of(number)};
        out.mode = plan.mode;
        out.babel.hello_interval = 2s;
        out.babel.update_interval = 8s;
        out.ike.dpd_interval = 5s;
        overlay::EndpointConfig endpoint;
        if (!plan.behind_nat) endpoint.address = address;
        endpoint.serial_number = "0";
        out.endpoints.push_back(endpoint);
        return out;
    }
};

World::World(std::uint64_t seed, const std::vector<HostPlan>& plans)
    : random_(base::Random::from_number(seed)) {
    for (const HostPlan& plan : plans) {
        auto host = std::make_unique<Host>();
        host->number = hosts_.size();
        host->plan = plan;
        host->key = base::Secret(base::ByteView(random_.bytes(32)));
        host->address = numbered(plan.behind_nat ? "172.16.0.1" : "192.0.2.1", host->number);
        host->outside = {plan.behind_nat ? numbered("198.51.100.1", host->number) : host->address, kPort};
        hosts_.push_back(std::move(host));
    }
    for (auto& host : hosts_) {
        for (std::size_t i = 0; i < hosts_.size(); ++i) host->members.insert(i);
    }
}

World::~World() = default;

overlay::Registry World::registry_of(const std::set<std::size_t>& members) const {
    overlay::Registry registry;
    for (const std::size_t member : members) {
        const Host& host = *hosts_[member];
        overlay::RegistryNode node;
        node.organization = "sim";
        node.common_name = host.plan.name;
        node.keys = {ike::public_key_of(host.key)};
        node.network = network_of(member);
        node.prefixes = {prefix_of(member)};
        overlay::RegistryEndpoint endpoint;
        if (!host.plan.behind_nat) endpoint.address = host.address;
        endpoint.serial_number = "0";
        node.endpoints.push_back(endpoint);
        registry.nodes.push_back(std::move(node));
    }
    std::sort(registry.nodes.begin(), registry.nodes.end());
    return registry;
}

void World::schedule(Instant at, std::size_t host, std::function<void(Host&)> happens) {
    events_.emplace(std::pair(at, order_++), Event{host, std::move(happens)});
}

void World::start(std::size_t number) {
    Host& host = *hosts_[number];
    unsettled_until_ = now_ + 20s;
    host.alive = true;
    host.stopped = false;
    ++host.life;
    host.tick_at.reset();
    base::Random::Seed seed;
    random_.fill(seed);
    host.random = std::make_unique<base::Random>(seed);
    overlay::Host facts{true, {}, "sim", 1};
    host.node = std::make_unique<overlay::Node>(host.config(), facts, *host.random);
    host.node->start(now_, host.actions);
    host.node->handle(overlay::RegistryChanged{registry_of(host.members), 0}, now_, host.actions);
    settle(host);
}

void World::start_all() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) start(i);
}

void World::stop(std::size_t number) {
    Host& host = *hosts_[number];
    host.node->handle(overlay::Stop{}, now_, host.actions);
    settle(host);
}

void World::kill(std::size_t number) {
    Host& host = *hosts_[number];
    unsettled_until_ = now_ + 40s;
    host.alive = false;
    ++host.life;
    host.node.reset();
    host.actions.clear();
}

void World::cut(std::size_t a, std::size_t b) { cuts_.insert(std::minmax(a, b)); }
void World::mend(std::size_t a, std::size_t b) { cuts_.erase(std::minmax(a, b)); }
void World::rebind(std::size_t host) { ++hosts_[host]->outside.port; }

void World::load_registry(std::size_t number, const std::set<std::size_t>& members) {
    Host& host = *hosts_[number];
    host.members = members;
    if (!host.alive) return;
    host.node->handle(overlay::RegistryChanged{registry_of(members), 0}, now_, host.actions);
    settle(host);
}

void World::lose_notices(std::size_t number) {
    Host& host = *hosts_[number];
    host.node->handle(overlay::Event(netlink::Notice(netlink::Lost{})), now_, host.actions);
    settle(host);
}

std::string World::ask(std::size_t number, const std::string& verb) {
    Host& host = *hosts_[number];
    host.node->handle(overlay::Request{1, verb, ""}, now_, host.actions);
    settle(host);
    return host.answer;
}

Kernel& World::kernel(std::size_t host) { return hosts_[host]->kernel; }
bool World::is_stopped(std::size_t host) const { return hosts_[host]->stopped; }

// Performs what the node wants, then makes sure it is woken when it asked to be.
void World::settle(Host& host) {
    while (!host.actions.empty()) {
        overlay::Actions actions = std::exchange(host.actions, {});
        for (overlay::Action& action : actions) perform(host, action);
    }
    if (!host.alive) return;
    const auto deadline = host.node->deadline();
    if (!deadline || (host.tick_at && *host.tick_at <= deadline->at && *host.tick_at > now_)) return;
    host.tick_at = std::max(deadline->at, now_);
    schedule(*host.tick_at, host.number, [life = host.life, at = *host.tick_at, this](Host& woken) {
        if (woken.life != life) return;
        if (woken.tick_at == at) woken.tick_at.reset();
        woken.node->tick(now_, woken.actions);
        if (const auto next = woken.node->deadline(); next && next->at <= now_) {
            violate(woken.plan.name + ": a deadline that is over after its tick: " + next->why);
        }
    });
}

void World::perform(Host& host, overlay::Action& action) {
    if (auto* ike = std::get_if<overlay::SendIke>(&action)) return send_ike(host, *ike);
    if (auto* babel = std::get_if<overlay::SendBabel>(&action)) return send_babel(host, *babel);
    if (auto* change = std::get_if<netlink::Change>(&action)) {
        for (netlink::Notice& notice : host.kernel.perform(std::move(*change))) {
            schedule(now_, host.number, [life = host.life, notice = std::move(notice), this](Host& told) {
                if (told.life == life) told.node->handle(overlay::Event(notice), now_, told.actions);
            });
        }
    } else if (auto* note = std::get_if<base::Note>(&action)) {
        messages_.push_back(
            std::to_string(base::milliseconds(now_.time_since_epoch())) + " " + host.plan.name + ": " +
            note->text
        );
        if (note->level == base::Level::error && !errors_allowed) violate(host.plan.name + ": " + note->text);
    } else if (auto* answer = std::get_if<overlay::Answer>(&action)) {
        host.answer = answer->body;
    } else if (std::holds_alternative<overlay::Stopped>(action)) {
        host.stopped = true;
        host.alive = false;
        ++host.life;
        if (!host.kernel.is_empty()) violate(host.plan.name + " left behind: " + host.kernel.what_is_left());
    }
}

World::Host* World::owner_of(const Endpoint& endpoint) {
    for (auto& host : hosts_) {
        if (host->outside == endpoint) return host.get();
    }
    return nullptr;
}

bool World::is_cut(const Host& a, const Host& b) const {
    return cuts_.contains(std::minmax(a.number, b.number));
}

void World::carry(const Host& from, const Host& to, const std::function<void()>& deliver) {
    if (is_cut(from, to) || random_.below(100) < weather.loss_percent) return;
    deliver();
    if (random_.below(100) < weather.duplicate_percent) deliver();
}

void World::send_ike(Host& host, overlay::SendIke& send) {
    Host* target = owner_of(send.to);
    if (target == nullptr || !host.alive) return;
    const Endpoint seen{host.outside.address, host.plan.behind_nat ? host.outside.port : send.from.port};
    carry(host, *target, [&] {
        const Instant at = now_ + weather.delay + random_.between(0ms, weather.jitter);
        const Endpoint local{target->address, kPort};
        schedule(at, target->number, [bytes = send.bytes, seen, local, this](Host& arrived) {
            if (arrived.alive)
                arrived.node->handle(overlay::IkeDatagram{bytes, seen, local}, now_, arrived.actions);
        });
    });
}

// A tunnel carries a packet exactly if both ends hold the two halves of an SA pair.
void World::send_babel(Host& host, overlay::SendBabel& send) {
    const auto sa = host.kernel.outbound(send.link);
    const auto from = host.kernel.link_local(send.link);
    Host* target = sa ? owner_of(sa->destination) : nullptr;
    if (target == nullptr || !from || !host.kernel.link_is_up(send.link)) return;
    carry(host, *target, [&] {
        const Instant at = now_ + weather.delay + random_.between(0ms, weather.jitter);
        schedule(
            at,
            target->number,
            [bytes = send.bytes, to = send.to, from = *from, sa = *sa, this](Host& arrived) {
                const auto link = arrived.kernel.inbound(sa.id.spi, sa.key);
                if (!arrived.alive || !link) return;
                arrived.node->handle(
                    overlay::BabelDatagram{bytes, *link, from, to, 6696, now_}, now_, arrived.actions
                );
            }
        );
    });
}

void World::step() {
    auto first = events_.extract(events_.begin());
    now_ = first.key().first;
    Host& host = *hosts_[first.mapped().host];
    first.mapped().happens(host);
    settle(host);
    check(host);
}

void World::run_for(Duration duration) {
    const Instant end = now_ + duration;
    while (!events_.empty() && events_.begin()->first.first <= end && violations_.empty()) step();
    if (violations_.empty()) now_ = end;
    check_sas();
}

bool World::converge(Duration limit) {
    const Instant end = now_ + limit;
    while (now_ < end && violations_.empty()) {
        run_for(200ms);
        if (unreached().empty()) return true;
    }
    return false;
}

const World::Host* World::next_hop(const Host& host, const Address& to, bool& reached) const {
    reached = network_of(host.number).contains(to) || prefix_of(host.number).contains(to);
    if (reached) return nullptr;
    const overlay::Config config = host.config();
    const auto* route =
        host.kernel.lookup(overlay::overlay_space(config), overlay::overlay_table(config), to);
    if (route == nullptr || route->kind != netlink::RouteKind::unicast || !route->key.destination.length())
        return nullptr;
    const auto sa = host.kernel.outbound(route->link);
    if (!sa) return nullptr;
    for (const auto& other : hosts_) {
        if (other->outside == sa->destination && !is_cut(host, *other) &&
            other->kernel.inbound(sa->id.spi, sa->key)) {
            return other.get();
        }
    }
    return nullptr;
}

World::Walk World::walk(const Host& from, const Address& to) const {
    std::set<std::size_t> visited;
    for (const Host* at = &from; at != nullptr;) {
        if (!visited.insert(at->number).second) return Walk::loop;
        bool reached = false;
        at = next_hop(*at, to, reached);
        if (reached) return Walk::reached;
    }
    return Walk::lost;
}

std::vector<std::string> World::unreached() const {
    std::vector<std::string> list;
    for (const auto& from : hosts_) {
        for (const std::size_t to : from->members) {
            const Host& target = *hosts_[to];
            if (!from->alive || !target.alive || from->number == to) continue;
            for (const Address& address :
                 {network_of(to).address().plus(1), prefix_of(to).address().plus(1)}) {
                if (walk(*from, address) != Walk::reached)
                    list.push_back(from->plan.name + " cannot reach " + address.to_string());
            }
        }
    }
    return list;
}

// After each event of a host: no loop through it, and no route of it over a link that is not there.
void World::check(const Host& host) {
    for (const auto& [key, route] : host.kernel.routes()) {
        if (route.kind == netlink::RouteKind::unicast && !host.kernel.link_is_up(route.link)) {
            violate(host.plan.name + ": a route over a link that is gone");
        }
    }
    if (now_ < unsettled_until_) return;
    for (std::size_t to = 0; to < hosts_.size(); ++to) {
        if (walk(host, prefix_of(to).address().plus(1)) == Walk::loop) {
            violate("a loop towards " + hosts_[to]->plan.name + " through " + host.plan.name);
        }
    }
}

void World::check_sas() {
    std::set<std::pair<std::size_t, base::SaId>> lonely;
    for (const auto& host : hosts_) {
        if (!host->alive) continue;
        for (const auto& [id, sa] : host->kernel.sas()) {
            const bool paired = std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& other) {
                return other != host && std::any_of(
                                            other->kernel.sas().begin(),
                                            other->kernel.sas().end(),
                                            [&](const auto& entry) {
                                                return entry.first.spi == id.spi &&
                                                       entry.second.key == sa.key &&
                                                       entry.second.direction != sa.direction;
                                            }
                                        );
            });
            if (!paired) lonely.emplace(host->number, id);
        }
    }
    std::erase_if(lonely_since_, [&](const auto& entry) { return !lonely.contains(entry.first); });
    for (const auto& one : lonely) {
        const auto since = lonely_since_.try_emplace(one, now_).first->second;
        if (now_ - since > kLonely) violate(hosts_[one.first]->plan.name + ": an SA without its other half");
    }
}

void World::violate(const std::string& text) {
    violations_.push_back(std::to_string(base::milliseconds(now_.time_since_epoch())) + " ms: " + text);
}

std::vector<std::string> World::last_messages() const {
    const std::size_t count = std::min<std::size_t>(messages_.size(), 30);
    return {messages_.end() - static_cast<std::ptrdiff_t>(count), messages_.end()};
}

}  // namespace aronet::sim
