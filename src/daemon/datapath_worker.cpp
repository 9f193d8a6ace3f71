#include "daemon/datapath_worker.hpp"

#include "daemon/clock.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <csignal>
#include <system_error>

namespace aronet::daemon {
namespace {

constexpr int kRounds = 4;  // batches from one descriptor before the others have their turn
constexpr std::size_t kPacketMax = kSlotSize - esp::kHeadroom - esp::kTailroom;
static_assert(kMtuMax <= kPacketMax);

void require(bool done, const char* what) {
    if (!done) throw std::system_error(errno, std::generic_category(), what);
}

constexpr std::uint32_t socket_key(std::uint16_t port, base::Family family) {
    return static_cast<std::uint32_t>(port) << 8 | static_cast<std::uint8_t>(family);
}

// RFC 3948 2.2 and 2.3: four zero octets mark IKE, one 0xff octet keeps a NAT mapping.
bool is_keepalive(base::ByteView bytes) { return bytes.size() == 1 && bytes[0] == 0xff; }
bool is_esp(base::ByteView bytes) {
    return bytes.size() >= esp::kHeaderSize &&
           std::ranges::any_of(bytes.first(4), [](auto b) { return b != 0; });
}

}  // namespace

const DatapathPlan::Tunnel* DatapathPlan::tunnel(std::uint32_t if_id) const {
    const auto it = std::ranges::lower_bound(tunnels, if_id, {}, &Tunnel::if_id);
    return it != tunnels.end() && it->if_id == if_id ? &*it : nullptr;
}

const DatapathPlan::Socket* DatapathPlan::socket(std::uint16_t port, base::Family family) const {
    const auto it =
        std::ranges::find_if(sockets, [&](const Socket& s) { return s.port == port && s.family == family; });
    return it != sockets.end() ? &*it : nullptr;
}

DatapathWorker::DatapathWorker(DatapathQueue& queue)
    : queue_(queue), epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    require(bool(epoll_), "epoll");
    require(bool(wake_), "eventfd");
    require(watch(Source::wake, 0, wake_.get()) == 0, "epoll");
    thread_ = std::thread([this] { run(); });
}

DatapathWorker::~DatapathWorker() {
    stopping_ = true;
    eventfd_write(wake_.get(), 1);
    thread_.join();
    delete next_.exchange(nullptr);
}

void DatapathWorker::publish(std::unique_ptr<const DatapathPlan> plan) {
    delete next_.exchange(plan.release(), std::memory_order_acq_rel);
    eventfd_write(wake_.get(), 1);
}

void DatapathWorker::wait_until_adopted(std::uint64_t epoch) const {
    for (auto seen = adopted(); seen < epoch; seen = adopted()) adopted_.wait(seen);
}

int DatapathWorker::watch_tunnel(std::uint32_t if_id, int tun) { return watch(Source::tunnel, if_id, tun); }

int DatapathWorker::watch_socket(std::uint16_t port, base::Family family, int descriptor) {
    return watch(Source::socket, socket_key(port, family), descriptor);
}

int DatapathWorker::watch(Source source, std::uint32_t key, int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<std::uint64_t>(source) << 32 | key;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

void DatapathWorker::forget(int descriptor) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr); }

void DatapathWorker::run() {
    sigset_t all;  // signals are the main thread's
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::array<epoll_event, 64> events;
    while (!stopping_) {
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        adopt();
        for (int i = 0; i < count; ++i) {
            const std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
            serve(static_cast<Source>(key >> 32), static_cast<std::uint32_t>(key));
        }
    }
}

void DatapathWorker::adopt() {
    if (next_.load(std::memory_order_relaxed) == nullptr) return;
    const DatapathPlan* next = next_.exchange(nullptr, std::memory_order_acq_rel);
    if (!next) return;
    plan_.reset(next);
    adopted_.store(next->epoch, std::memory_order_release);
    adopted_.notify_all();
}

void DatapathWorker::serve(Source source, std::uint32_t key) {
    if (source == Source::wake) {
        eventfd_t ignored = 0;
        eventfd_read(wake_.get(), &ignored);
        adopt();  // a plan that came since would wake nobody any more
    } else if (source == Source::tunnel) {
        if (const auto* tunnel = plan_->tunnel(key)) send_from(*tunnel);
    } else {
        receive_from(static_cast<std::uint16_t>(key >> 8), static_cast<base::Family>(key & 0xff));
    }
}

void DatapathWorker::send_from(const DatapathPlan::Tunnel& tunnel) {
    for (int round = 0; round < kRounds; ++round) {
        const std::size_t count = read_batch(tunnel);
        if (count == 0) return;
        const std::span batch(packets_.data(), count);
        const auto* way = plan_->table.seal(tunnel.if_id, batch, now(), counters_.esp);
        if (way) send_sealed(*way, batch);
        if (count < kBatchSize) return;
    }
}

std::size_t DatapathWorker::read_batch(const DatapathPlan::Tunnel& tunnel) {
    std::size_t count = 0;
    for (; count < kBatchSize; ++count) {
        esp::Packet& packet = packets_[count];
        packet.room = outgoing_slots_.at(count);
        packet.at = esp::kHeadroom;
        const ssize_t size = read(tunnel.tun, packet.room.data() + packet.at, kPacketMax);
        // Somebody else removed the device: it would stay readable for ever.
        if (size < 0 && errno == EBADFD) forget(tunnel.tun);
        if (size <= 0) break;
        packet.size = static_cast<std::size_t>(size);
    }
    return count;
}

void DatapathWorker::send_sealed(const esp::Table::Outbound& way, std::span<const esp::Packet> sealed) {
    const auto* socket = plan_->socket(way.source.port, way.destination.family());
    outgoing_.start({way.destination, way.source.address, way.mark});
    for (const esp::Packet& packet : sealed)
        if (packet.drop == esp::Drop::none) outgoing_.add(packet);
    if (way.sa->take_expiring()) tell(netlink::SaExpiring{way.id, false});
    if (!socket) return counters_.no_socket.add(outgoing_.size());
    const auto outcome = outgoing_.send(socket->descriptor);
    counters_.socket_full.add(outcome.full);
    counters_.too_big.add(outcome.too_big);
    counters_.send_refused.add(outcome.refused);
}

void DatapathWorker::receive_from(std::uint16_t port, base::Family family) {
    for (int round = 0; round < kRounds; ++round) {
        const auto* socket = plan_->socket(port, family);
        const std::size_t count = socket ? incoming_.receive(socket->descriptor) : 0;
        if (count == 0) return;
        // A peer sends under an SA as soon as it was told that it is there: what has just come may be younger
        // than the plan it was waited for with.
        adopt();
        const std::span batch(packets_.data(), sort_out(port, count));
        plan_->table.open(batch, now(), counters_.esp);
        deliver(batch);
        if (count < kBatchSize) return;
    }
}

// The ESP packets of a batch go to the front of packets_; the rest goes where it belongs. Returns how many
// are ESP.
std::size_t DatapathWorker::sort_out(std::uint16_t port, std::size_t count) {
    std::size_t esp = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto bytes = incoming_.room(i).first(incoming_.size(i));
        if (incoming_.truncated(i)) {
            counters_.truncated.add();
        } else if (is_esp(bytes)) {
            esp::Packet& packet = packets_[esp++];
            packet.room = incoming_.room(i);
            packet.at = 0;
            packet.size = bytes.size();
            packet.traffic_class = incoming_.traffic_class(i);
            packet.peer = incoming_.from(i);
        } else if (is_keepalive(bytes)) {
            counters_.keepalives.add();
        } else {
            const base::Endpoint to{incoming_.to(i), port};
            tell(DatapathQueue::Datagram{{bytes.begin(), bytes.end()}, incoming_.from(i), to, now()});
        }
    }
    return esp;
}

void DatapathWorker::deliver(std::span<const esp::Packet> opened) {
    for (const esp::Packet& packet : opened) {
        if (packet.peer_moved) tell(netlink::Mapping{packet.id, packet.peer});
        if (packet.expiring) tell(netlink::SaExpiring{packet.id, false});
        if (packet.drop != esp::Drop::none) continue;
        if (const auto* tunnel = plan_->tunnel(packet.if_id))
            write_to(*tunnel, packet);
        else
            counters_.no_tunnel.add();
    }
}

void DatapathWorker::write_to(const DatapathPlan::Tunnel& tunnel, const esp::Packet& packet) {
    if (write(tunnel.tun, packet.bytes().data(), packet.size) >= 0) return;
    if (errno == EAGAIN || errno == ENOBUFS)
        counters_.tun_full.add();
    else
        counters_.tun_refused.add();
}

void DatapathWorker::tell(DatapathQueue::Message message) {
    if (!queue_.push(std::move(message))) counters_.queue_full.add();
}

}  // namespace aronet::daemon
