#!/bin/bash
# Daemons with a user of their own and CAP_NET_ADMIN alone on the stock kernel with its own ESP: athens in VRF mode, with
# nothing handed over, dakar in a namespace that was, behind NAT; cairo is root's.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/privileges.sh"
nodes=(athens cairo dakar)

is_kernels() { ask "$1" status --json | jq -e '.datapath == "kernel"' >/dev/null; }
nothing_tried() { ! in_host athens ip link show aronet-probe && ! in_host athens ip xfrm state | grep 192.0.2.2; }
vrf_is_back() { in_host athens ip link show aronet type vrf >/dev/null 2>&1 && all_reach 4 6; }

load_modules
write_keys
write_config athens vrf auto
write_config cairo vrf auto
write_config dakar netns auto
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
settle_in
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
start_as_user athens
start_prepared dakar
start cairo
check 'every node reaches every other within a minute' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
for node in athens dakar; do
    check "$node has a user of its own and CAP_NET_ADMIN alone, filtered, with no way to more" has_only $node
    check "$node has found the kernel's ESP" is_kernels $node
done
for node in "${nodes[@]}"; do check "$node misses nothing" warns_of_nothing $node; done
check 'what was tried for that is gone' nothing_tried
tunnel_has() {
    local tunnel
    tunnel=$(ask "$1" tunnels --json | jq -r '.tunnels[0].interface')
    [ "$(in_host "$1" sysctl -n "net.ipv4.conf.$tunnel.rp_filter" "net.ipv6.conf.$tunnel.seg6_enabled" | xargs)" = '0 1' ]
}
for node in athens cairo; do check "$node sets what its tunnels need" tunnel_has $node; done
check_pairs
check '1 MB of IPv4 from the host behind athens to the one behind dakar' \
    transfer athens-host dakar-host "${host_v4_of[dakar]}" 1000000
check '1 MB of IPv6 from dakar to athens' transfer dakar athens "${v6_of[athens]}" 1000000
for peer in maple/dakar maple/cairo; do check "athens has new keys with $peer" ask athens rekey $peer; done
check_taken_away athens
check_taken_away dakar
in_host athens ip link del aronet
check 'athens gets back its VRF that somebody removed' wait_for 60 vrf_is_back
kill_hard athens
start_as_user athens
knows_peers() { ask athens tunnels --json | jq -e '.tunnels | length == 2 and all(.ike == "established" and .state == "routed")'; }
check 'after kill -9 and a restart athens knows its peers again' wait_for 60 knows_peers
check 'and the mesh works as before' wait_for 60 all_reach 4 6
for node in athens cairo; do check "$node stops with exit status 0" stop $node; done
check 'dakar stops with exit status 0' stop dakar
check 'until root removes it, the namespace stays' in_host dakar "$aronet" netns remove -c "${config_of[dakar]}"
left_nothing() { kernel_of "$1" | head -n -3 >"$work/left"; head -n -3 "$work/$1.clean" | diff - "$work/left"; }
for node in dakar cairo; do check "row 16: $node leaves the kernel as it was" left_nothing $node; done
[ "$failures" = 0 ] || { show_logs; exit 1; }
