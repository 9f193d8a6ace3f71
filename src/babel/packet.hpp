#pragma once

// A Babel packet: its TLVs in order, and the state that one TLV leaves to the next (RFC 8966 4.2, 4.5, RFC
// 9229 4.1). The reader completes what compression left out; the writer leaves out what it can.

#include "babel/tlv.hpp"

namespace aronet::babel {

// The TLVs of a packet's body as they stand there, or those of its trailer.
class TlvWalker {
public:
    enum class Part : std::uint8_t { body, trailer };
    struct Item {
        std::uint8_t type = 0;
        base::ByteView body;
    };
    explicit TlvWalker(base::ByteView packet, Part part = Part::body);
    std::optional<Item> next();  // nothing at the end and at a framing error
    std::optional<Malformed> malformed() const { return malformed_; }

private:
    base::Reader in_{base::ByteView()};
    std::optional<Malformed> malformed_;
};

// An Update made whole.
struct Announcement {
    std::optional<Destination> about;  // absent: a wildcard retraction
    RouterId router_id = 0;            // this and the next two only where the metric is finite
    Address next_hop;
    SeqNo seqno = 0;
    Interval interval;
    Metric metric = kInfinity;
    bool operator==(const Announcement&) const = default;
};

using Event = std::variant<AckRequest, Ack, Hello, Ihu, Announcement, RouteRequest, SeqnoRequest, Malformed>;

class PacketReader {
public:
    PacketReader(base::ByteView packet, const Address& from) : walker_(packet), next_hop_v6_(from) {}
    std::optional<Event> next();

private:
    std::optional<Event> take(const Decoded& decoded);
    std::optional<Event> take_update(const Update& update, std::optional<Malformed> ignore);
    std::optional<Prefix> complete(const Update& update) const;
    Event announcement(const Update& update, const Prefix& prefix) const;

    TlvWalker walker_;
    bool told_framing_error_ = false;
    std::array<std::optional<Address>, 5> default_prefix_;  // by encoding
    std::optional<Address> next_hop_v4_;
    Address next_hop_v6_;
    std::optional<RouterId> router_id_;
};

class PacketWriter {
public:
    explicit PacketWriter(std::size_t size_max);

    bool add(const Tlv& tlv);  // false: it does not fit, and nothing was written
    // `v4` tells how IPv4 prefixes are announced; false as above.
    bool add(const Announcement& announcement, Encoding v4);
    bool empty() const { return bytes_.size() == kHeaderSize; }
    base::Bytes finish();  // the packet; the writer is then as new

private:
    bool write(const Announcement& announcement, Encoding v4);
    Update compressed(const Announcement& announcement, Encoding encoding);

    struct State {
        std::array<std::optional<Address>, 5> default_prefix;
        std::optional<Address> next_hop_v4;
        std::optional<RouterId> router_id;
    };
    std::size_t size_max_;
    base::Bytes bytes_;
    State state_;
};

}  // namespace aronet::babel
