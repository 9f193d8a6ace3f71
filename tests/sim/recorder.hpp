#pragma once

// What passes through the simulated underlay as a capture (pcap, raw IP), and the keys that decrypt it, as
// Wireshark wants them. Packets are written as they are sent, also those that are lost on the way.

#include "base/random.hpp"
#include "esp/association.hpp"
#include "kernel.hpp"
#include "overlay/node.hpp"

#include <memory>
#include <set>
#include <string>

namespace aronet::sim {

class Recorder {
public:
    Recorder();

    void ike(
        base::Instant at, const base::Endpoint& from, const base::Endpoint& to, const base::Bytes& datagram
    );
    // Sealed as a real node would have.
    void babel(
        base::Instant at,
        const Kernel::Outbound& sa,
        const base::Endpoint& seen_as,
        const base::Address& from,
        const base::Address& to,
        const base::Bytes& datagram
    );
    void add(const base::Sa& sa);            // before it is used
    void add(const overlay::TellKeys& row);  // of nodes that tell them

    std::size_t frames() const { return frames_; }
    void write(const std::string& file) const;
    void write_keys(const std::string& folder) const;  // ikev2_decryption_table and esp_sa

private:
    void frame(
        base::Instant at, const base::Endpoint& from, const base::Endpoint& to, base::ByteView payload
    );

    base::Bytes capture_;
    std::size_t frames_ = 0;
    base::Random random_;  // its own, so that who is recorded does the same
    std::map<base::Bytes, std::unique_ptr<esp::OutboundSa>> sas_;  // by key
    std::set<std::string> ike_rows_, esp_rows_;
};

}  // namespace aronet::sim
