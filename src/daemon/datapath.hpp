#pragma once

// The user data plane: ESP in UDP between TUN devices and the UDP sockets, for hosts whose kernel has no ESP.
// It knows SAs as the values XFRM would get, and nothing of IKE: what is not ESP on a socket goes to the
// control thread.
//
// All methods belong to the control thread and answer with 0 or an errno. Packets are moved by a worker
// thread that works by an immutable plan; each change publishes a new one, and what the old one pointed to
// lives until the worker has let go of it.

#include "daemon/datapath_queue.hpp"
#include "daemon/datapath_worker.hpp"
#include "daemon/descriptor.hpp"
#include "esp/registry.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aronet::daemon {

class Datapath {
public:
    Datapath();  // throws std::system_error
    ~Datapath();
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;

    // Makes the TUN device in the namespace of the calling thread, with its MTU; it may be moved from there.
    // It is up when somebody sets it up, and stays up without an SA. EEXIST: the if_id has another device.
    // EMSGSIZE: no such MTU here.
    int add_tunnel(const std::string& name, std::uint32_t if_id, std::uint32_t mtu);
    bool has_device(std::uint32_t if_id) const;  // that has the name it was made with
    int remove_tunnel(std::uint32_t if_id);      // the device is gone on return; absent: 0

    int add_sa(const base::Sa& sa);  // see esp::Registry::add
    int move_sa(const base::SaId& id, const base::Endpoint& source, const base::Endpoint& destination);
    int remove_sa(const base::SaId& id);
    // The outbound SA of the tunnel from now on; it sends between the endpoints it was added with or moved
    // to.
    int set_outbound(
        std::uint32_t if_id, std::uint32_t spi, const base::Address& local, const base::Address& remote
    );
    int remove_outbound(std::uint32_t if_id);

    // Reads this bound UDP socket from now on (and only the Datapath may); the caller keeps its descriptor
    // for sending.
    int add_socket(int descriptor, std::uint16_t port, base::Family family);
    void remove_socket(
        std::uint16_t port, base::Family family
    );  // nobody reads it on return; absent: nothing

    void let_go();  // of the keys of SAs that are gone and that the worker uses no more; now and then

    using Datagram = DatapathQueue::Datagram;
    using Message = DatapathQueue::Message;
    int queue_descriptor() const { return queue_.descriptor(); }  // readable while messages wait
    std::optional<Message> pop() { return queue_.pop(); }

    struct SaCounters {
        base::SaId id;
        base::Direction direction = base::Direction::in;
        std::uint32_t if_id = 0;
        std::uint64_t bytes = 0, packets = 0, drops = 0;
        std::optional<base::Instant> last_used;
    };
    std::vector<SaCounters> counters() const;
    // What was lost, by reason, all tunnels together; reasons that never happened are left out.
    std::vector<std::pair<std::string_view, std::uint64_t>> drops() const;

private:
    struct Tunnel {
        std::string name;
        Descriptor tun;
    };
    struct Socket {
        Descriptor descriptor;
        std::uint16_t port;
        base::Family family;
    };
    struct Retired {
        std::uint64_t epoch;  // no longer in use from this plan on
        std::vector<esp::Registry::Ended> associations;
    };

    void publish();

    base::Random random_;
    esp::Registry registry_;
    std::map<std::uint32_t, Tunnel> tunnels_;  // by if_id
    std::vector<Socket> sockets_;
    std::deque<Retired> retired_;
    std::uint64_t epoch_ = 0;
    DatapathQueue queue_;
    DatapathWorker worker_;  // last: its thread ends before anything it uses does
};

}  // namespace aronet::daemon
