#!/bin/bash
# Restarts that nobody's traffic notices, out of namespaces, with IPv4 inside IPv6 and a way by segments.
# Alone: it counts packets.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/hitless.sh"
rate=${ARONET_RATE:-300}  # through two namespaces, and in two headers, a packet costs the emulated machine more
for node in athens berlin; do daemon_keys[$node]='"ipv4_transport": "srv6",'; done
segments='[{"prefix": "fd10:3::/64", "via": ["olive/berlin"]}]'
has_segments() { in_host athens ip -6 route show table 12025 fd10:3::/64 | grep 'encap seg6.*fd10:2::ffff:0:0:a fd10:3::ffff:0:0:c'; }
prepare_hitless netns
check 'athens carries IPv6 to cairo by way of a segment of berlin' has_segments
goes_on kill cairo 2 'row 14: kill -9, in transit'
goes_on keep berlin 3 'row 15: stop --keep, at its end'
end_hitless
