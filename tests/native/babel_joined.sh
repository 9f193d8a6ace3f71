#!/bin/bash
# babeld and BIRD on a bridge behind one of three nodes with tunnels, in the namespace of its overlay.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/babel_peers.sh"
. "$root/tests/joined.sh"

in_namespace=yes
inside() { in_host athens ip -n aronet "$@"; }

needs_namespaces
build_joined netns user site
inside link add site type bridge mcast_snooping 0
inside link set site up
inside addr add 10.83.0.254/24 dev site
for peer in babeld bird; do
    site_router $peer
    inside link add to-$peer type veth peer name site netns "${holder[$peer]}"
    inside link set to-$peer master site up
    in_host $peer ip link set site up
    address $peer site "10.83.0.${number_of[$peer]}/24"
done
start_babeld_there() { babeld_on babeld 'interface site type wired hello-interval 1 update-interval 4'; }
start_bird_there() { bird_on bird 'interface "site" { type wired; hello interval 1 s; update interval 4 s; };'; }
start_babeld_there
start_bird_there
check_joined babeld babeld
check_joined bird BIRD
check 'babeld reaches BIRD' carries babeld 10.80.2.1 10.80.1.1
check_death babeld babeld start_babeld_there
check_death bird BIRD start_bird_there
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
