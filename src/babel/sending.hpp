#pragma once

// Fills packets up to the size of the interface, and signs and sends each as it gets full. Packets with
// updates ask those who shall acknowledge them, and are remembered until they did.

#include "babel/state.hpp"

namespace aronet::babel {

class Sender {
public:
    Sender(Interface& interface, const Address& to, const Turn& turn)
        : interface_(interface),
          v4_(interface.config.v4 ? Encoding::v4 : Encoding::v4_via_v6),
          to_(to),
          writer_(interface.payload_max()),
          turn_(turn) {}

    void acknowledged_by(std::vector<Neighbour*> listeners, Calendar& timers) {
        listeners_ = std::move(listeners);
        timers_ = &timers;
    }
    void acknowledged_by_nobody() {
        if (asks_) finish();
        listeners_.clear();
    }
    bool reliable() const { return !listeners_.empty(); }
    bool room() const;  // for another packet on its way
    void attempt(unsigned number) { attempts_ = number; }

    void add(const Tlv& tlv) {
        if (writer_.add(tlv)) return;
        finish();
        writer_.add(tlv);
    }
    bool add_if_it_fits(const Tlv& tlv) { return writer_.add(tlv); }
    void add(const Item& item);
    void finish();

private:
    bool write(const Item& item);

    Interface& interface_;
    Encoding v4_;
    Address to_;
    PacketWriter writer_;
    const Turn& turn_;
    std::vector<Neighbour*> listeners_;
    Calendar* timers_ = nullptr;
    unsigned attempts_ = 0;
    Delivery::Parcel parcel_;  // the packet being filled
    bool asks_ = false;        // it has an acknowledgment request
};

}  // namespace aronet::babel
