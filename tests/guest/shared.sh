#!/bin/bash
# Tunnels that share a link, with the kernel's own ESP: athens and cairo (VRF) and berlin (namespace) have one for all peers
# that want it; dakar, behind NAT, has a link for each peer, and so have the others for dakar.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"

inside_of() { if [ "$1" = berlin ]; then inside=(ip -n aronet); else inside=(ip); fi; }
tunnel_links() { inside_of "$1"; in_host "$1" "${inside[@]}" -br link show type xfrm | sed 's/[@ ].*//' | sort; }
# NODE: what carries its tunnels, as the kernel and as its status have it.
carried_as_told() {
    tunnel_links "$1" >"$work/links"
    ask "$1" tunnels --json | jq -r '[.tunnels[] | select(.state == "routed") | .link] | unique[]' | diff "$work/links" -
}
shares() { ask "$1" tunnels --json | jq -e --arg peer "$2" --argjson shared "$3" \
    '[.tunnels[] | select(.peer == $peer)] | length > 0 and all((.link == "aronet-x") == $shared)' >/dev/null; }
blocked() { in_host "$1" awk '/XfrmInPolBlock/ { print $2 }' /proc/net/xfrm_stat; }
neighbours() { ask "$1" neighbours --json | jq -c '[.neighbours[] | [.peer, .address]] | sort'; }

# neighbour_of NODE PEER: the address on the shared link that the one knows the other by.
neighbour_of() { ask "$1" neighbours --json | jq -r --arg of "$(organization "$2")/$2" \
    '[.neighbours[] | select(.peer == $of) | .address][0]'; }
# cairo says that it is berlin: its packet comes over cairo's tunnel, with berlin's address, or with that of nobody.
spoofs() {
    local to from=$1 before
    to=$(neighbour_of cairo "$2")
    before=$(blocked "$2")
    echo "to $to as $from, $before blocked"
    in_host cairo ip addr add "$from/128" dev aronet-x nodad 2>/dev/null
    echo spoofed | in_host cairo socat -u - "UDP6-SENDTO:[$to%aronet-x]:6696,bind=[$from%aronet-x],so-bindtodevice=aronet-x"
    in_host cairo ip addr del "$from/128" dev aronet-x
    sleep 0.5
    [ "$(blocked "$2")" -gt "$before" ]
}

load_modules
write_keys
for node in athens berlin cairo; do daemon_keys[$node]='"links": "shared",'; done
# Who has lost the other goes through cairo, and not over links of their own.
for node in athens berlin; do babel_keys[$node]=', "peers": [{"common_name": "dakar", "cost": 500}]'; done
write_config athens vrf kernel
write_config berlin netns kernel
write_config cairo vrf kernel
write_config dakar netns user
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
for node in "${nodes[@]}"; do start "$node"; done
check 'every node reaches every other within a minute' wait_for 60 all_reach 4 6 || { show_logs 40; exit 1; }
for node in athens berlin; do
    check "$node shares a link with cairo" shares $node maple/cairo true
    check "$node has a link of its own for dakar" shares $node maple/dakar false
done
check 'athens and berlin share a link, twice' shares athens olive/berlin true
for node in athens berlin cairo; do check "$node has the links that it tells of" wait_for 10 carried_as_told $node; done
check_pairs

neighbours athens >"$work/neighbours"
check 'a packet of cairo with an address of nobody is refused by athens' spoofs fe80::1 athens
check 'a packet of cairo with the address of another member is refused by athens' spoofs \
    "$(neighbour_of athens berlin)" athens
check 'the neighbours of athens are those they were' eval '[ "$(neighbours athens)" = "$(cat "$work/neighbours")" ]'

part_athens_from_berlin
check 'with their direct path cut athens reaches berlin through cairo' wait_for 40 via athens fd10:2::/64 maple/cairo
check 'IPv4, too' wait_for 20 via athens 10.10.2.0/24 maple/cairo
check '200 kB of IPv6 from the host behind athens to the one behind berlin, through cairo' \
    transfer athens-host berlin-host "${host_v6_of[berlin]}" 200000
check '200 kB of IPv4 from the host behind berlin to the one behind athens, through cairo' \
    transfer berlin-host athens-host "${host_v4_of[athens]}" 200000
in_host switch nft delete table bridge cut

count_settled athens
kill_hard athens
start athens
check 'row 14: after kill -9 and a start athens knows its peers again, on links of both kinds' wait_for 20 eval \
    '[ "$(ask athens tunnels --json | jq "[.tunnels[] | select(.state == \"routed\")] | length")" = 4 ] && carried_as_told athens'
check 'row 14: nothing of athens is there twice' wait_for 60 same_count athens

whole() { same_count "$1" && all_reach 4 6; }
for node in athens berlin; do
    inside_of $node
    count_settled $node
    in_host $node "${inside[@]}" link del aronet-x
    check "row 7: $node gets back the shared link that somebody removed" wait_for 30 whole $node
done
inside_of athens
in_host athens ip -6 route flush table 128 dev aronet-x proto 140
check 'row 2: athens gets back what somebody flushed' wait_for 30 whole athens

has_own_links() { shares cairo olive/athens false && shares cairo olive/berlin false && shares athens maple/cairo false && shares berlin maple/cairo false; }
# There can be one such link in a namespace, and here it is somebody else's.
check 'cairo stops' stop cairo
in_host cairo ip link add other type xfrm external
in_host cairo ip link set other up
kernel_of cairo >"$work/cairo.beside"
start cairo
check 'row 13: beside an external link of somebody else cairo has a link for each peer' wait_for 40 has_own_links
check 'row 13: it says whose that is' grep 'aronet-x .*the external interface of this namespace is that of other' "$work/cairo.log"
check 'every node reaches every other' wait_for 40 all_reach 4 6
check 'athens and berlin still share one' shares athens olive/berlin true
for node in athens berlin; do check "$node has the links that it tells of" wait_for 10 carried_as_told $node; done
# A plan would have the link that is refused.
check 'cairo has in its kernel what it tells of' wait_for 10 in_host cairo python3 "$root/tests/audit.py" /run/aronet/aronet.sock
check 'cairo stops once more' stop cairo
check 'row 13: the link is there still, and nothing of ours' eval 'kernel_of cairo | diff "$work/cairo.beside" -'
in_host cairo ip link del other
start cairo
check 'without that cairo shares a link again' wait_for 40 eval 'shares cairo olive/athens true && shares cairo olive/berlin true'
check 'every node reaches every other again' wait_for 40 all_reach 4 6
check 'what each node tells of is what its kernel has' agree "${nodes[@]}"
check_clean_stop
[ "$failures" = 0 ] || { show_logs 60; exit 1; }
