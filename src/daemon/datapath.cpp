#include "daemon/datapath.hpp"

#include "daemon/entropy.hpp"
#include "daemon/tun.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

namespace aronet::daemon {
namespace {

constexpr int kSocketBuffer = 4 << 20;

// Only asked for: without the privilege the system's limit holds.
void want_buffer(int descriptor, int privileged, int ordinary) {
    if (setsockopt(descriptor, SOL_SOCKET, privileged, &kSocketBuffer, sizeof kSocketBuffer) != 0)
        setsockopt(descriptor, SOL_SOCKET, ordinary, &kSocketBuffer, sizeof kSocketBuffer);
}

}  // namespace

Datapath::Datapath() : random_(entropy().view()), registry_(random_), worker_(queue_) {}
Datapath::~Datapath() = default;

int Datapath::add_tunnel(const std::string& name, std::uint32_t if_id, std::uint32_t mtu) {
    if (if_id == 0) return EINVAL;
    if (mtu > kMtuMax) return EMSGSIZE;
    if (const auto it = tunnels_.find(if_id); it != tunnels_.end()) {
        if (it->second.name != name) return EEXIST;
        if (is_attached(it->second.tun.get(), name)) return 0;
        remove_tunnel(if_id);
    }
    Descriptor tun;
    if (const int error = open_tun(name, mtu, tun)) return error;
    const int descriptor = tun.get();
    tunnels_[if_id] = {name, std::move(tun)};
    publish();
    const int error = worker_.watch_tunnel(if_id, descriptor);
    if (error != 0) remove_tunnel(if_id);  // nobody would read it
    return error;
}

bool Datapath::has_device(std::uint32_t if_id) const {
    const auto it = tunnels_.find(if_id);
    return it != tunnels_.end() && is_attached(it->second.tun.get(), it->second.name);
}

int Datapath::remove_tunnel(std::uint32_t if_id) {
    auto node = tunnels_.extract(if_id);
    if (node.empty()) return 0;
    worker_.forget(node.mapped().tun.get());
    publish();
    worker_.wait_until_adopted(epoch_);  // at most a few batches: the worker never blocks
    return 0;
}

int Datapath::add_sa(const base::Sa& sa) {
    const std::errc error = registry_.add(sa);
    if (error == std::errc{}) publish();
    return static_cast<int>(error);
}

int Datapath::move_sa(const base::SaId& id, const base::Endpoint& source, const base::Endpoint& destination) {
    const std::errc error = registry_.move(id, source, destination);
    if (error == std::errc{}) publish();
    return static_cast<int>(error);
}

int Datapath::remove_sa(const base::SaId& id) {
    registry_.remove(id);
    publish();
    return 0;
}

int Datapath::set_outbound(
    std::uint32_t if_id, std::uint32_t spi, const base::Address&, const base::Address& remote
) {
    const std::errc error = registry_.set_outbound(if_id, {remote, spi});
    if (error == std::errc{}) publish();
    return static_cast<int>(error);
}

int Datapath::remove_outbound(std::uint32_t if_id) {
    registry_.remove_outbound(if_id);
    publish();
    return 0;
}

int Datapath::add_socket(int descriptor, std::uint16_t port, base::Family family) {
    Descriptor own(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!own) return errno;
    if (const int error = ask_for_ancillary(own.get(), family)) return error;
    want_buffer(own.get(), SO_SNDBUFFORCE, SO_SNDBUF);
    want_buffer(own.get(), SO_RCVBUFFORCE, SO_RCVBUF);
    const bool taken =
        std::ranges::any_of(sockets_, [&](const Socket& s) { return s.port == port && s.family == family; });
    if (taken) return EEXIST;
    const int number = own.get();
    sockets_.push_back({std::move(own), port, family});
    publish();
    const int error = worker_.watch_socket(port, family, number);
    if (error != 0) remove_socket(port, family);
    return error;
}

void Datapath::remove_socket(std::uint16_t port, base::Family family) {
    const auto it =
        std::ranges::find_if(sockets_, [&](const Socket& s) { return s.port == port && s.family == family; });
    if (it == sockets_.end()) return;
    const Socket gone = std::move(*it);
    sockets_.erase(it);
    worker_.forget(gone.descriptor.get());
    publish();
    worker_.wait_until_adopted(epoch_);
}

void Datapath::publish() {
    auto plan = std::make_unique<DatapathPlan>();
    plan->epoch = ++epoch_;
    plan->table = registry_.table();
    for (const auto& [if_id, tunnel] : tunnels_) plan->tunnels.push_back({if_id, tunnel.tun.get()});
    for (const Socket& s : sockets_) plan->sockets.push_back({s.descriptor.get(), s.port, s.family});
    worker_.publish(std::move(plan));
    if (auto ended = registry_.take_ended(); !ended.empty()) retired_.push_back({epoch_, std::move(ended)});
    let_go();
}

void Datapath::let_go() {
    while (!retired_.empty() && retired_.front().epoch <= worker_.adopted()) retired_.pop_front();
}

std::vector<Datapath::SaCounters> Datapath::counters() const {
    std::vector<SaCounters> all;
    for (const auto& entry : registry_.entries()) {
        const esp::Tally& tally = *entry.tally;
        SaCounters counters{
            entry.id, entry.direction, entry.if_id, tally.bytes.value(), tally.packets.value(), 0, {}};
        for (std::size_t i = 0; i < esp::kDropReasons; ++i)
            counters.drops += tally.drops.value(static_cast<esp::Drop>(i));
        if (const auto at = tally.last_used.load(std::memory_order_relaxed))
            counters.last_used = base::Instant(base::Duration(at));
        all.push_back(counters);
    }
    return all;
}

std::vector<std::pair<std::string_view, std::uint64_t>> Datapath::drops() const {
    const DatapathCounters& c = worker_.counters();
    std::vector<std::pair<std::string_view, std::uint64_t>> all;
    for (std::size_t i = 0; i < esp::kDropReasons; ++i) {
        const auto reason = static_cast<esp::Drop>(i);
        all.emplace_back(esp::to_string(reason), c.esp.value(reason));
    }
    all.emplace_back("datagram truncated", c.truncated.value());
    all.emplace_back("queue to the control thread full", c.queue_full.value());
    all.emplace_back("no tunnel for the SA", c.no_tunnel.value());
    all.emplace_back("TUN full", c.tun_full.value());
    all.emplace_back("TUN refused", c.tun_refused.value());
    all.emplace_back("no socket for the source port", c.no_socket.value());
    all.emplace_back("socket full", c.socket_full.value());
    all.emplace_back("larger than the path takes", c.too_big.value());
    all.emplace_back("sending refused", c.send_refused.value());
    std::erase_if(all, [](const auto& entry) { return entry.second == 0; });
    return all;
}

}  // namespace aronet::daemon
