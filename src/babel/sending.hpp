#pragma once

// Fills packets up to the size of the interface, and signs and sends each as it gets full.

#include "babel/state.hpp"

namespace aronet::babel {

class Sender {
public:
    Sender(const Interface& interface, const Address& to, Actions& out)
        : on_(interface.id),
          v4_(interface.config.v4 ? Encoding::v4 : Encoding::v4_via_v6),
          from_(interface.config.link_local),
          to_(to),
          mac_(interface.mac.get()),
          writer_(interface.payload_max()),
          out_(out) {}

    void add(const Tlv& tlv) {
        if (writer_.add(tlv)) return;
        finish();
        writer_.add(tlv);
    }
    void add(const Announcement& update) {
        if (writer_.add(update, v4_)) return;
        finish();
        writer_.add(update, v4_);
    }
    bool add_if_it_fits(const Tlv& tlv) { return writer_.add(tlv); }
    bool empty() const { return writer_.empty(); }
    void finish() {
        if (writer_.empty()) return;
        base::Bytes packet = writer_.finish();
        if (mac_ != nullptr) mac_->sign(packet, from_, to_);
        out_.emplace_back(Send{on_, from_, to_, std::move(packet)});
    }

private:
    InterfaceId on_;
    Encoding v4_;
    Address from_, to_;
    MacLink* mac_;
    PacketWriter writer_;
    Actions& out_;
};

}  // namespace aronet::babel
