#include "host.hpp"
#include "recorder.hpp"

#include <algorithm>
#include <ostream>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;
using base::Address;
using base::Endpoint;
using base::Prefix;

constexpr std::uint16_t kPort = 12025;
// A route of an earlier life lives for 3.5 of its update intervals where nothing came through since.
constexpr Duration kTwoOrigins = 60s;
constexpr std::ptrdiff_t kMessages = 40;  // are remembered

Address numbered(const char* text, std::size_t number) { return Address::parse(text)->plus(number); }

}  // namespace

World::World(std::uint64_t seed, const std::vector<HostPlan>& plans)
    : random_(base::Random::from_number(seed)) {
    for (const HostPlan& plan : plans) {
        auto host = std::make_unique<Host>();
        const std::size_t i = hosts_.size();
        host->number = i;
        host->plan = plan;
        host->network = {*Address::parse("fd10:" + std::to_string(i + 1) + "::"), 64};
        host->prefix = {*Address::parse("10.10." + std::to_string(i + 1) + ".0"), 24};
        host->key = base::Secret(base::ByteView(random_.bytes(32)));
        host->public_key = ike::public_key_of(host->key);
        host->address = numbered(plan.behind_nat ? "172.16.0.1" : "192.0.2.1", host->number);
        host->outside = {plan.behind_nat ? numbered("198.51.100.1", host->number) : host->address, kPort};
        host->space = overlay::overlay_space(host->config());
        host->table = overlay::overlay_table(host->config());
        by_outside_[host->outside] = i;
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
        node.keys = {host.public_key};
        node.network = host.network;
        node.prefixes = {host.prefix};
        if (host.plan.tells_connect && host.plan.configure) node.connect = host.config().connect;
        overlay::RegistryEndpoint endpoint;
        if (!host.plan.behind_nat) endpoint.address = host.address;
        endpoint.serial_number = "0";
        node.endpoints.push_back(endpoint);
        registry.nodes.push_back(std::move(node));
    }
    std::sort(registry.nodes.begin(), registry.nodes.end());
    return registry;
}

overlay::Registry World::learn(Host& host) {
    host.known.clear();
    for (const std::size_t member : host.members) {
        const Host& other = *hosts_[member];
        if (!other.plan.behind_nat) host.known[member] = other.address;
    }
    return registry_of(host.members);
}

void World::schedule(Instant at, std::size_t host, std::function<void(Host&)> happens) {
    events_.emplace(std::pair(at, order_++), Event{host, std::move(happens)});
}

void World::start(std::size_t number, bool has_registry) {
    Host& host = *hosts_[number];
    host.unsettled_until = now_ + kTwoOrigins;
    disturb();
    host.alive = true;
    host.stopped = host.asleep = false;
    host.untold.clear();
    ++host.life;
    host.tick_at.reset();
    base::Random::Seed seed;
    random_.fill(seed);
    host.random = std::make_unique<base::Random>(seed);
    overlay::Host facts{true, {}, "sim", 1};
    facts.remembers = true;
    facts.remembered = host.remembered;
    host.node = std::make_unique<overlay::Node>(host.config(), facts, *host.random);
    host.node->start(now_, host.actions);
    host.listens = false;
    if (has_registry) host.node->handle(overlay::RegistryChanged{learn(host), 0}, now_, host.actions);
    settle(host);
}

void World::start_all() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) start(i);
}

void World::stop(std::size_t number, bool keep) {
    Host& host = *hosts_[number];
    host.node->handle(overlay::Stop{keep}, now_, host.actions);
    settle(host);
}

void World::kill(std::size_t number) {
    Host& host = *hosts_[number];
    host.unsettled_until = now_ + kTwoOrigins;
    disturb();
    host.alive = false;
    ++host.life;
    host.node.reset();
    host.actions.clear();
}

void World::suspend(std::size_t number) {
    hosts_[number]->asleep = true;
    disturb();
}

void World::resume(std::size_t number) {
    Host& host = *hosts_[number];
    host.asleep = false;
    host.tick_at.reset();
    disturb();
    for (const netlink::Notice& notice : std::exchange(host.untold, {})) tell(number, notice);
    if (std::exchange(host.config_waits, false)) reconfigure(number, host.plan.configure);
    if (std::exchange(host.registry_waits, false)) load_registry(number, host.members);
    settle(host);
}

bool World::is_awake(std::size_t host) const { return hosts_[host]->is_awake(); }

void World::cut(std::size_t a, std::size_t b) {
    cut_one_way(a, b);
    cut_one_way(b, a);
}

void World::mend(std::size_t a, std::size_t b) {
    mend_one_way(a, b);
    mend_one_way(b, a);
}

void World::cut_one_way(std::size_t from, std::size_t to) {
    cuts_.emplace(from, to);
    disturb();
}

void World::mend_one_way(std::size_t from, std::size_t to) {
    const auto one = cuts_.find({from, to});
    if (one != cuts_.end()) cuts_.erase(one);
    disturb();
}

void World::rebind(std::size_t number) {
    Host& host = *hosts_[number];
    by_outside_.erase(host.outside);
    ++host.outside.port;
    by_outside_[host.outside] = number;
    disturb();
}

void World::roam(std::size_t number) {
    Host& host = *hosts_[number];
    const Address before = std::exchange(host.address, host.address.plus(256));
    by_outside_.erase(host.outside);
    host.outside.address = host.plan.behind_nat ? host.outside.address.plus(64) : host.address;
    by_outside_[host.outside] = number;
    disturb();
    const std::vector<netlink::Notice> notices{
        netlink::AddressVanished{netlink::Space::underlay, "eth0", before},
        netlink::AddressAppeared{netlink::Space::underlay, "eth0", host.address}};
    for (const netlink::Notice& notice : notices) {
        host.node->handle(overlay::Event(notice), now_, host.actions);
        settle(host);
    }
}

void World::change_key(std::size_t number) {
    Host& host = *hosts_[number];
    host.key = base::Secret(base::ByteView(random_.bytes(32)));
    host.public_key = ike::public_key_of(host.key);
}

void World::load_registry(std::size_t number, const std::set<std::size_t>& members) {
    Host& host = *hosts_[number];
    host.members = members;
    disturb();
    host.registry_waits = host.asleep;
    if (!host.is_awake()) return;
    host.node->handle(overlay::RegistryChanged{learn(host), 0}, now_, host.actions);
    settle(host);
}

void World::reconfigure(std::size_t number, std::function<void(overlay::Config&)> configure) {
    Host& host = *hosts_[number];
    host.plan.configure = std::move(configure);
    host.config_waits = host.asleep;
    if (!host.is_awake()) return;
    host.node->handle(overlay::ConfigChanged{host.config()}, now_, host.actions);
    settle(host);
}

void World::load_registries() {
    for (auto& host : hosts_) {
        const std::set<std::size_t> members = host->members;
        load_registry(host->number, members);
    }
}

void World::tell(std::size_t number, netlink::Notice notice) {
    Host& host = *hosts_[number];
    host.node->handle(overlay::Event(std::move(notice)), now_, host.actions);
    settle(host);
}

void World::suffer(std::size_t number, netlink::Wish wish) {
    for (netlink::Notice& notice : hosts_[number]->kernel.suffer(std::move(wish)))
        tell(number, std::move(notice));
}

void World::occupy(std::size_t number, const netlink::Link& link) {
    in_trouble(*hosts_[number]);
    for (netlink::Notice& notice : hosts_[number]->kernel.occupy(link)) tell(number, std::move(notice));
}

void World::vacate(std::size_t number, const netlink::Link& link) {
    Host& host = *hosts_[number];
    for (netlink::Notice& notice : host.kernel.vacate(link)) {
        if (host.asleep) host.untold.push_back(notice);
        if (host.is_awake()) tell(number, std::move(notice));
    }
}

void World::suffer_untold(std::size_t number, std::vector<netlink::Wish> wishes) {
    in_trouble(*hosts_[number]);
    for (netlink::Wish& wish : wishes) hosts_[number]->kernel.suffer(std::move(wish));
    lose_notices(number);
}

void World::lose_address_untold(std::size_t number) {
    hosts_[number]->has_address = false;
    lose_notices(number);
}

void World::in_trouble(Host& host) { host.trouble_until = now_ + 30s; }

std::string World::ask(std::size_t number, const std::string& verb, const std::string& body) {
    Host& host = *hosts_[number];
    host.answer.clear();
    host.node->handle(overlay::Request{1, verb, body}, now_, host.actions);
    settle(host);
    if (host.answer.empty()) run_for(1ms + kernels_take);  // its kernel is asked first
    return host.answer;
}

Kernel& World::kernel(std::size_t host) { return hosts_[host]->kernel; }
const HostPlan& World::plan(std::size_t host) const { return hosts_[host]->plan; }
bool World::is_stopped(std::size_t host) const { return hosts_[host]->stopped; }
bool World::is_behind_nat(std::size_t host) const { return hosts_[host]->plan.behind_nat; }

// Performs what the node wants, then makes sure it is woken when it asked to be.
void World::settle(Host& host) {
    while (!host.actions.empty()) {
        overlay::Actions actions = std::exchange(host.actions, {});
        for (overlay::Action& action : actions) perform(host, action);
    }
    if (!host.is_awake()) return;
    const auto deadline = host.node->deadline();
    if (!deadline || (host.tick_at && *host.tick_at <= deadline->at && *host.tick_at > now_)) return;
    host.tick_at = std::max(deadline->at, now_);
    schedule(*host.tick_at, host.number, [life = host.life, at = *host.tick_at, this](Host& woken) {
        if (woken.life != life) return;
        if (woken.tick_at == at) woken.tick_at.reset();
        if (woken.asleep) return;
        woken.node->tick(now_, woken.actions);
        if (const auto next = woken.node->deadline(); next && next->at <= now_) {
            violate("a deadline is over after its tick", woken.plan.name + ": " + next->why);
        }
    });
}

void World::perform(Host& host, overlay::Action& action) {
    if (auto* ike = std::get_if<overlay::SendIke>(&action)) return send_ike(host, *ike);
    if (auto* babel = std::get_if<overlay::SendBabel>(&action)) return send_babel(host, *babel);
    if (auto* change = std::get_if<netlink::Change>(&action)) {
        if (watch) watch(host.number, change->wish);
        if (const auto* sa = std::get_if<netlink::AddSa>(&change->wish); sa != nullptr && recorder != nullptr)
            recorder->add(sa->sa);
        const std::uint64_t failures = host.kernel.failures();
        std::vector<netlink::Notice> notices;
        if (std::holds_alternative<netlink::TakeSnapshot>(change->wish) && host.has_address)
            notices.push_back(netlink::AddressAppeared{netlink::Space::underlay, "eth0", host.address});
        for (netlink::Notice& notice : host.kernel.perform(std::move(*change)))
            notices.push_back(std::move(notice));
        for (netlink::Notice& notice : notices) {
            auto is_heard = [life = host.life, notice = std::move(notice), this](Host& told) {
                if (told.life != life) return;
                if (told.asleep) return told.untold.push_back(notice);
                told.node->handle(overlay::Event(notice), now_, told.actions);
            };
            schedule(now_ + kernels_take, host.number, std::move(is_heard));
        }
        if (host.kernel.failures() == failures) return;
        in_trouble(host);
        host.refused_until = now_ + 30s;
    } else if (auto* note = std::get_if<base::Note>(&action)) {
        remember(host, note->text);
        const bool allowed = errors_allowed || now_ < host.trouble_until;
        if (note->level == base::Level::error && !allowed)
            violate("an error in the log", host.plan.name + ": " + note->text);
    } else if (const auto* keys = std::get_if<overlay::TellKeys>(&action)) {
        if (recorder != nullptr) recorder->add(*keys);
    } else if (auto* answer = std::get_if<overlay::Answer>(&action)) {
        host.answer = answer->body;
    } else if (auto* kept = std::get_if<overlay::Remember>(&action)) {
        if (kept->key.empty()) {
            host.remembered.clear();
        } else if (kept->value.empty()) {
            host.remembered.erase(kept->key);
        } else {
            host.remembered[kept->key] = kept->value;
        }
    } else if (std::holds_alternative<overlay::ListenBabel>(action)) {
        host.listens = true;
    } else if (const auto* stopped = std::get_if<overlay::Stopped>(&action)) {
        host.stopped = true;
        host.alive = false;
        disturb();
        ++host.life;
        if (!stopped->keeps && !host.kernel.is_empty())
            violate("something is left behind", host.plan.name + ": " + host.kernel.what_is_left());
    }
}

void World::remember(const Host& host, const std::string& text) {
    if (messages_.size() == 2 * kMessages) messages_.erase(messages_.begin(), messages_.begin() + kMessages);
    messages_.push_back(
        std::to_string(base::milliseconds(now_.time_since_epoch())) + " " + host.plan.name + ": " + text
    );
    if (log != nullptr) *log << messages_.back() << "\n";
}

World::Host* World::owner_of(const Endpoint& endpoint) const {
    const auto found = by_outside_.find(endpoint);
    return found == by_outside_.end() ? nullptr : hosts_[found->second].get();
}

void World::carry(const Host& from, const Host& to, const std::function<void()>& deliver) {
    if (is_cut(from.number, to.number) || random_.below(100) < weather.loss_percent) return;
    deliver();
    if (random_.below(100) < weather.duplicate_percent) deliver();
}

void World::send_ike(Host& host, overlay::SendIke& send) {
    ++ike_sent_;
    Host* target = owner_of(send.to);
    if (target == nullptr || !host.alive) return;
    const Endpoint seen{host.outside.address, host.plan.behind_nat ? host.outside.port : send.from.port};
    if (recorder != nullptr) recorder->ike(now_, seen, send.to, send.bytes);
    carry(host, *target, [&] {
        const Instant at = now_ + weather.delay + random_.between(0ms, weather.jitter);
        const Endpoint local{target->address, kPort};
        schedule(at, target->number, [bytes = send.bytes, seen, local, this](Host& arrived) {
            if (arrived.is_awake())
                arrived.node->handle(overlay::IkeDatagram{bytes, seen, local}, now_, arrived.actions);
        });
    });
}

// A tunnel carries a packet exactly if both ends hold the two halves of an SA pair.
void World::send_babel(Host& host, overlay::SendBabel& send) {
    const auto sa = host.kernel.outbound(send.link, send.to);
    Host* target = sa ? owner_of(sa->destination) : nullptr;
    if (target == nullptr || !host.kernel.has_address(send.link, send.from)) return;
    host.kernel.count_outbound(sa->id, send.bytes.size());
    if (recorder != nullptr) recorder->babel(now_, *sa, host.outside, send.from, send.to, send.bytes);
    if (!esp_arrives) return;
    carry(host, *target, [&] {
        const Instant at = now_ + weather.delay + random_.between(0ms, weather.jitter);
        schedule(
            at,
            target->number,
            [bytes = send.bytes, to = send.to, from = send.from, sa = *sa, seen = host.outside, this](
                Host& arrived
            ) {
                const auto link = arrived.kernel.inbound(sa.id.spi, sa.key, netlink::Pin{to, from});
                if (!link || arrived.asleep) return;
                const auto news = arrived.kernel.count_inbound(sa.id.spi, sa.key, bytes.size(), seen);
                if (!arrived.alive || !arrived.listens)
                    return to.is_multicast() ? void() : refuse(arrived, *link, from, to);
                if (news) arrived.node->handle(overlay::Event(netlink::Notice(*news)), now_, arrived.actions);
                arrived.node->handle(
                    overlay::BabelDatagram{bytes, *link, from, to, 6696, now_}, now_, arrived.actions
                );
            }
        );
    });
}

// A kernel whose daemon is away answers for it (ICMPv6: port unreachable).
void World::refuse(Host& host, const std::string& link, const Address& asker, const Address& there) {
    const auto sa = host.kernel.outbound(link, asker);
    Host* target = sa ? owner_of(sa->destination) : nullptr;
    if (target == nullptr || !host.kernel.link_is_up(link)) return;
    host.kernel.count_outbound(sa->id, 100);
    if (!esp_arrives) return;
    carry(host, *target, [&] {
        schedule(
            now_ + weather.delay,
            target->number,
            [sa = *sa, there, seen = host.outside, this](Host& told) {
                const auto in = told.kernel.inbound(sa.id.spi, sa.key);
                if (!in || !told.is_awake()) return;
                if (const auto news = told.kernel.count_inbound(sa.id.spi, sa.key, 100, seen))
                    told.node->handle(overlay::Event(netlink::Notice(*news)), now_, told.actions);
                told.node->handle(overlay::NobodyListens{*in, there}, now_, told.actions);
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
    check_holes();
}

bool World::converge(Duration limit) {
    const Instant end = now_ + limit;
    while (now_ < end && violations_.empty()) {
        run_for(200ms);
        if (all_reached()) return true;
    }
    return false;
}

std::vector<std::string> World::last_messages() const {
    const auto count = std::min<std::size_t>(messages_.size(), kMessages);
    return {messages_.end() - static_cast<std::ptrdiff_t>(count), messages_.end()};
}

}  // namespace aronet::sim
