#pragma once

// One thread that moves packets by a plan: from the TUN devices sealed to the sockets, from the sockets
// opened to the TUN devices. It decides nothing and owns no descriptor. More workers would each have their
// own tunnels and SAs, for a cipher context and a sequence counter belong to one thread at a time.

#include "daemon/datapath_queue.hpp"
#include "daemon/udp_batch.hpp"
#include "esp/table.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace aronet::daemon {

// Immutable once published.
struct DatapathPlan {
    struct Tunnel {
        std::uint32_t if_id;
        int tun;
    };
    struct Socket {
        int descriptor;
        std::uint16_t port;
        base::Family family;
    };

    const Tunnel* tunnel(std::uint32_t if_id) const;
    const Socket* socket(std::uint16_t port, base::Family family) const;

    std::uint64_t epoch = 0;
    esp::Table table;
    std::vector<Tunnel> tunnels;  // by if_id
    std::vector<Socket> sockets;
};

struct DatapathCounters {
    esp::DropCounters esp;
    esp::Counter keepalives;    // not a loss
    esp::Counter truncated;     // larger than any datagram we take
    esp::Counter queue_full;    // the control thread does not keep up
    esp::Counter no_tunnel;     // an SA whose tunnel is not there
    esp::Counter tun_full;      // EAGAIN, ENOBUFS
    esp::Counter tun_refused;   // for instance a device that is down
    esp::Counter no_socket;     // an SA whose source port no socket has
    esp::Counter socket_full;   // EAGAIN, ENOBUFS
    esp::Counter too_big;       // EMSGSIZE: larger than the path takes
    esp::Counter send_refused;  // no route and the like
};

class DatapathWorker {
public:
    explicit DatapathWorker(DatapathQueue& queue);  // starts; throws std::system_error
    ~DatapathWorker();                              // stops and joins

    void publish(std::unique_ptr<const DatapathPlan> plan);  // takes the place of one not yet adopted
    std::uint64_t adopted() const { return adopted_.load(std::memory_order_acquire); }
    void wait_until_adopted(std::uint64_t epoch) const;

    // Descriptors to wait for: after the plan that has them is published, until before the one that has them
    // not.
    int watch_tunnel(std::uint32_t if_id, int tun);
    int watch_socket(std::uint16_t port, base::Family family, int descriptor);
    void forget(int descriptor);

    const DatapathCounters& counters() const { return counters_; }

private:
    enum class Source : std::uint32_t { wake, tunnel, socket };

    void run();
    void adopt();
    int watch(Source source, std::uint32_t key, int descriptor);
    void serve(Source source, std::uint32_t key);
    void send_from(const DatapathPlan::Tunnel& tunnel);
    std::size_t read_batch(const DatapathPlan::Tunnel& tunnel);
    void send_sealed(const esp::Table::Outbound& way, std::span<const esp::Packet> sealed);
    void receive_from(std::uint16_t port, base::Family family);
    std::size_t sort_out(std::uint16_t port, std::size_t count);
    void deliver(std::span<const esp::Packet> opened);
    void write_to(const DatapathPlan::Tunnel& tunnel, const esp::Packet& packet);
    void tell(DatapathQueue::Message message);

    DatapathQueue& queue_;
    Descriptor epoll_, wake_;
    std::atomic<const DatapathPlan*> next_{nullptr};  // owned by whoever exchanges it out
    std::atomic<std::uint64_t> adopted_{0};
    std::atomic<bool> stopping_{false};
    DatapathCounters counters_;

    // The rest belongs to the thread.
    std::unique_ptr<const DatapathPlan> plan_ = std::make_unique<DatapathPlan>();
    ReceiveBatch incoming_;
    Slots outgoing_slots_;
    SendBatch outgoing_;
    std::array<esp::Packet, kBatchSize> packets_;
    std::thread thread_;
};

}  // namespace aronet::daemon
