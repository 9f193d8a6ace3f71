#!/bin/bash
# cairo is known by a domain name whose addresses are of IPv6, as is the underlay; those of IPv4 beside them lead nowhere.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/name_server.sh"
nodes=(athens cairo)

endpoints() {
    case $1 in
        cairo) echo '[{"serial_number": 0, "address": "cairo.test", "address_family": "ip6", "port": 12025}]' ;;
        *) echo "[{\"serial_number\": 0, \"address\": \"2001:db8::$(number "$1")\", \"port\": 12025}]" ;;
    esac
}
moves() { in_host cairo ip addr del "2001:db8::$1/64" dev eth0; in_host cairo ip addr add "2001:db8::$2/64" dev eth0 nodad; }
reach_each_other() { reaches athens "${v4_of[cairo]}" && reaches cairo "${v4_of[athens]}"; }
to_cairo() { ask athens tunnels --json | jq -e ".tunnels[] | select(.peer == \"maple/cairo\") | $1"; }

build_mesh netns user
in_host cairo ip addr add 2001:db8::3/64 dev eth0 nodad
# cairo knows nobody's address: the others must come to it.
jq '(.[] | select(.organization == "olive") | .nodes[].endpoints[]) += {address: null, address_family: "ip6"}' \
    "$work/registry.json" >"$work/cairo-registry.json"
registry_of[cairo]=$work/cairo-registry.json
name_is 192.0.2.3
ask_own_name_server
for node in "${nodes[@]}"; do start $node; done
sleep 3
check 'an address of the other family leads nowhere' to_cairo '.state == "wanted" and .remote == null'
name_is 192.0.2.3 2001:db8::3
check 'that of IPv6 is found' wait_for 20 reach_each_other || show_logs
check 'and shown' to_cairo '.remote == "[2001:db8::3]:12025"'

name_is 192.0.2.3 2001:db8::33
moves 3 33
check 'cairo is found again at its new address' wait_for 40 reach_each_other || show_logs
check 'which the tunnel shows' to_cairo '.remote == "[2001:db8::33]:12025"'

name_is 2001:db8::77 2001:db8::33
kill_hard athens
start athens
check 'where the first of two addresses is dead the second is tried within seconds' wait_for 8 reach_each_other || show_logs
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
