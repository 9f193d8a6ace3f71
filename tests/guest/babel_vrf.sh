#!/bin/bash
# Babel on ordinary interfaces and VRFs: one that is enslaved to the VRF of the overlay is heard, and its routes land in the
# VRF's table alone; one outside of it is not heard, and neither is one in a VRF of others.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"
load_modules
modprobe dummy

in_table() { in_host near ip -6 route show table "$1" fd60:2::1 | grep -q via; }
hears_far() { neighbours near 'any(.reachable)'; }
hears_nobody() { neighbours near 'any(.reachable) | not'; }

router near far
cable near far
address far lo fd60:2::1/128
in_host near ip link add inside type dummy
in_host near ip link set inside up
ours far '"interfaces": [{"name": "near", "hello_interval": "1s"}]'
config_of[near]=$work/near.json
echo '{"daemon": {"mode": "vrf", "route_table": 200}, "endpoints": [],
    "babel": {"interfaces": [{"name": "far", "hello_interval": "1s"}]}}' >"$work/near.json"
start near
check 'the VRF of the overlay is there' wait_for 60 in_host near ip link show aronet
sleep 10
check 'an interface outside of it is not heard' hears_nobody
in_host near ip link set far master aronet
in_host near ip link set inside master aronet
address near inside fd60:1::1/128
check 'enslaved to it, it is' wait_for 60 hears_far
check 'its routes are in the table of the VRF' wait_for 20 in_table 200
check 'and not in the main table' eval '! in_table main'
check 'packets go both ways in the VRF' wait_for 20 in_host near ip vrf exec aronet ping -c1 -W2 -q -I fd60:1::1 fd60:2::1
in_host near ip link set far nomaster
check 'freed from it, it is not heard any more' wait_for 60 hears_nobody
check 'and its routes are gone' wait_for 20 eval '! in_table 200'
check 'it stops with exit status 0' stop near

# In the present namespace, with a VRF of somebody else.
in_host near ip link add blue type vrf table 300
in_host near ip link set blue up
in_host near ip link set far master blue
ours near '"interfaces": [{"name": "far", "hello_interval": "1s"}]'
sleep 15
check 'in a VRF of others an interface is not heard' hears_nobody
check 'and no table has its routes' eval '! in_table main && ! in_table 300'
check 'it stops with exit status 0 there, too' stop near
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
