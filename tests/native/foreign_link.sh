#!/bin/bash
# Somebody else has a link, or a table of packet filters, under a name that a node of ours wants: it is told, and nothing is
# done to what is theirs.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"

needs_namespaces
nodes=(athens berlin)
build_mesh netns user
picture() { in_host athens sh -c 'ip -o link show dev aronet; ip -o addr show dev aronet; ip route show dev aronet' | sed 's/valid_lft.*//'; }
is_untouched() { picture | diff "$work/before" -; }
refuses() { ends_with 1 && grep -q 'aronet: there is a link of this name (bridge) that is not ours' "$work/athens.log"; }
ends_with() { local status=0; wait "${daemon_pid[athens]}" || status=$?; [ $status = "$1" ] || { echo "exit status $status"; return 1; }; }
gives_up() { start athens; refuses; }

in_host athens ip link add aronet type bridge
in_host athens ip link set aronet up
in_host athens ip addr add 198.51.100.1/24 dev aronet
sleep 1
picture >"$work/before"
check 'row 13: a node whose main interface has the name of a bridge does not start, exit status 1, and says why' gives_up
check 'the bridge is as it was' is_untouched
in_host athens ip link del aronet

# A table of packet filters with the name of ours: what it has in it stays, and TCP is clamped when it has gone.
in_host athens nft 'add table inet aronet_aronet; add chain inet aronet_aronet forward { type filter hook forward priority 5; };
    add rule inet aronet_aronet forward tcp dport 9 drop comment "theirs"'
table() { in_host athens nft list ruleset; }
tells_of_table() { ask athens status --json | jq -e '.warnings | any(test("nft add table inet aronet_aronet.*: File exists"))' >/dev/null; }
clamps() { table | grep -q 'maxseg size set'; }
table >"$work/table"
for node in "${nodes[@]}"; do start "$node"; done
check 'without it the node starts' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check "row 13: a table of packet filters that has our table's name is told of" wait_for 5 tells_of_table
sleep 4  # it is asked for again by then
check 'row 13: and is as it was' eval 'table | diff "$work/table" -'
in_host athens nft delete table inet aronet_aronet
check 'once it has gone TCP is clamped' wait_for 40 clamps
check 'and there is no more to tell' wait_for 5 eval '! tells_of_table'
tunnel=$(in_host athens ip -n aronet -br link | sed -n 's/^\(aronet-[0-9a-f]*\).*/\1/p' | head -n 1)
check 'athens stops' stop athens
check 'with its table' eval '[ -z "$(table)" ]'
in_host athens ip netns add aronet
in_host athens ip -n aronet link add "$tunnel" type dummy 2>/dev/null || in_host athens ip -n aronet link add "$tunnel" type bridge
in_host athens ip -n aronet link set "$tunnel" up
in_host athens ip netns exec aronet sysctl -qw "net.ipv4.conf.$tunnel.rp_filter=2"
tunnel_picture() { in_host athens ip netns exec aronet sh -c "ip link show '$tunnel'; cat /proc/sys/net/ipv4/conf/$tunnel/rp_filter"; }
sleep 1
tunnel_picture >"$work/tunnel"
start athens
warns() { ask athens status --json | jq -e '.warnings | any(contains("not ours"))' >/dev/null; }
check 'a link under the name of a tunnel is reported by status' wait_for 20 warns
check 'and is as it was' eval 'tunnel_picture | diff "$work/tunnel" -'
check 'Babel is not spoken on it' eval '! ask athens neighbours --json | jq -e --arg on "$tunnel" "any(.neighbours[]; .interface == \$on)"'
in_host athens ip -n aronet link del "$tunnel"
check 'once it has gone the tunnel is there' wait_for 30 all_reach 4 6
check 'row 13: the kernels have what the nodes tell of' agree athens berlin
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop "$node"; done
[ "$failures" = 0 ] || { show_logs 30; exit 1; }
