#!/bin/bash
# A node with the kernel's data plane and one with ours, in either mode of the first; with the narrowest replay window, and with
# extended sequence numbers and the widest.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens dakar)

run() {
    local mode=$1 window=$2 node
    write_config athens "$mode" kernel
    write_config dakar netns user
    write_registry "$work/registry.json" "${nodes[@]}"
    for node in "${nodes[@]}"; do start "$node"; done
    check "athens ($mode, kernel) and dakar (netns, user) reach each other within 40 s" wait_for 40 all_reach 4 6 ||
        show_logs
    check_pairs
    check "athens has the replay window of its configuration" in_host athens sh -c \
        'ip xfrm state | grep -q "replay-window $1\|replay_window $1"' sh "$window"
    check "1 MB of IPv4 from athens ($mode) to dakar" transfer athens dakar "${v4_of[dakar]}" 1000000
    check "1 MB of IPv4 from dakar to athens ($mode)" transfer dakar athens "${v4_of[athens]}" 1000000
    check "1 MB of IPv6 between the hosts behind athens ($mode) and dakar" \
        transfer athens-host dakar-host "${host_v6_of[dakar]}" 1000000
    check "1 MB of IPv6 between the hosts behind dakar and athens ($mode)" \
        transfer dakar-host athens-host "${host_v6_of[athens]}" 1000000
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop "$node"; done
}

load_modules
write_keys
for node in "${nodes[@]}"; do ike_keys[$node]='"replay_window": 32,'; done
write_config athens vrf kernel
write_config dakar netns user
build_hosts
run vrf 32
for node in "${nodes[@]}"; do ike_keys[$node]='"esn": true, "replay_window": 4096,'; done
run netns 4096
[ "$failures" = 0 ] || { show_logs; exit 1; }
