#!/bin/bash
# babeld behind a WireGuard tunnel and BIRD behind a GRE tunnel, which end in the VRF of one of three nodes with tunnels.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/babel_peers.sh"
. "$root/tests/joined.sh"
load_modules
modprobe -a ip_gre wireguard

table=128
own_key() { openssl genpkey -algorithm X25519 -outform DER -out "$work/$1.x25519" && tail -c 32 "$work/$1.x25519" | od -An -v -tx1 | tr -d ' \n'; }
public_key() { openssl pkey -inform DER -in "$work/$1.x25519" -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n'; }

# underlay PEER: a cable, outside of the VRF.
underlay() {
    cable athens "$1"
    address athens "$1" "198.51.100.$((4 * number_of[$1] + 1))/30"
    address "$1" athens "198.51.100.$((4 * number_of[$1] + 2))/30"
}
gre() {  # HOST NAME LOCAL REMOTE
    in_host "$1" ip link add "$2" type gre local "198.51.100.$3" remote "198.51.100.$4" ttl 64
    in_host "$1" ip link set "$2" multicast on up
}

build_joined vrf kernel 'site-*'
for peer in babeld bird; do
    site_router $peer
    underlay $peer
done
gre athens site-bird 9 10
gre bird site 10 9
in_host athens ip link set site-bird master aronet
address athens site-bird 10.83.2.1/30
address bird site 10.83.2.2/30
athens_key=$(own_key athens) babeld_key=$(own_key babeld)
in_host athens ip link add site-babeld type wireguard
in_host babeld ip link add site type wireguard
in_host athens "$root/tests/wireguard.py" site-babeld "$athens_key" 51820 "$(public_key babeld)" 198.51.100.6
in_host babeld "$root/tests/wireguard.py" site "$babeld_key" 51820 "$(public_key athens)" 198.51.100.5
in_host athens ip link set site-babeld master aronet multicast on up
in_host babeld ip link set site multicast on up
address athens site-babeld fe80::1/64
address babeld site fe80::2/64
start_babeld_there() { babeld_on babeld 'interface site type tunnel hello-interval 1 update-interval 4 v4-via-v6 true'; }
start_bird_there() { bird_on bird 'interface "site" { type wired; hello interval 1 s; update interval 4 s; };'; }
start_babeld_there
start_bird_there
check_joined babeld 'babeld over WireGuard'
check_joined bird 'BIRD over GRE'
check_death babeld 'babeld over WireGuard' start_babeld_there
check_death bird 'BIRD over GRE' start_bird_there
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
