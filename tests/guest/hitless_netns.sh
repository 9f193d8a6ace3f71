#!/bin/bash
# Restarts that nobody's traffic notices, out of namespaces, with IPv4 inside IPv6 and a way by segments.
# Alone: it counts packets.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/srv6.sh"
. "$root/tests/hitless.sh"
rate=${ARONET_RATE:-300}  # through two namespaces, and in two headers, a packet costs the emulated machine more
for node in athens berlin; do daemon_keys[$node]='"ipv4_transport": "srv6",'; done
segments='[{"prefix": "fd10:3::/64", "via": ["olive/berlin"]}]'
has_segments() { in_host athens ip -6 route show table 12025 fd10:3::/64 | grep 'encap seg6.*fd10:2::ffff:0:0:a fd10:3::ffff:0:0:c'; }
prepare_hitless netns
check 'athens carries IPv6 to cairo by way of a segment of berlin' has_segments
check 'it carries IPv4 to berlin in IPv6' carried athens 10.10.2.0/24 fd10:2::ffff:0:0:b
check 'and berlin to it' carried berlin 10.10.1.0/24 fd10:1::ffff:0:0:b
for node in athens berlin; do check "what comes out of IPv6 in $node meets End.DX4" comes_out_by $node End.DX4; done
for pair in 'athens berlin' 'berlin athens'; do
    read -r from to <<<"$pair"
    check "1 MB of IPv4 from $from to $to" transfer "$from" "$to" "${v4_of[$to]}" 1000000
    check "1 MB of IPv4 from the host behind $from to that behind $to" transfer "$from-host" "$to-host" "${host_v4_of[$to]}" 1000000
done
goes_on kill cairo 2 'row 14: kill -9, in transit'
goes_on keep berlin 3 'row 15: stop --keep, at its end'
end_hitless
