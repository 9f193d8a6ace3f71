#include "base/sa.hpp"

namespace aronet::base {

Sa Sa::without_key() const {
    Sa copy;
    copy.direction = direction;
    copy.source = source;
    copy.destination = destination;
    copy.spi = spi;
    copy.reqid = reqid;
    copy.if_id = if_id;
    copy.mode = mode;
    copy.udp_encapsulation = udp_encapsulation;
    copy.esn = esn;
    copy.replay_window = replay_window;
    copy.mark = mark;
    copy.soft_bytes = soft_bytes;
    copy.soft_packets = soft_packets;
    copy.suite = suite;
    return copy;
}

}  // namespace aronet::base
