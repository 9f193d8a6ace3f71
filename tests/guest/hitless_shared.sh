#!/bin/bash
# Restarts that nobody's traffic notices, over a link that many tunnels share, out of VRFs.
# Alone: it sends as many packets as the machine can.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/hitless.sh"
for node in "${nodes[@]}"; do daemon_keys[$node]='"links": "shared",'; done
share_a_link() { for node in "${nodes[@]}"; do ask "$node" tunnels --json | jq -e '[.tunnels[] | select(.state == "routed") | .link] | unique == ["aronet-x"]' || return 1; done; }
prepare_hitless vrf
check 'all tunnels are on a link that they share' share_a_link
goes_on kill cairo 2 'row 14: kill -9, in transit'
goes_on keep berlin 3 'row 15: stop --keep, at its end'
check 'all tunnels are on it still' share_a_link
end_hitless
