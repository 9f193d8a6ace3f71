#!/bin/bash
# babeld, BIRD and, where it is installed, FRR on a bridge behind one of three nodes with tunnels, in the namespace of its overlay.
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
peers=(babeld bird)
[ ! -x /usr/lib/frr/babeld ] || peers+=(frr)
for peer in "${peers[@]}"; do
    site_router $peer
    inside link add to-$peer type veth peer name site netns "${holder[$peer]}"
    inside link set to-$peer master site up
    in_host $peer ip link set site up
    address $peer site "10.83.0.${number_of[$peer]}/24"
    record $peer site
done
start_babeld_there() { babeld_on babeld 'interface site type wired hello-interval 1 update-interval 4'; }
start_bird_there() { bird_on bird 'interface "site" { type wired; hello interval 1 s; update interval 4 s; };'; }
start_frr_there() { frr_on frr site; }
start_babeld_there
start_bird_there
[ -z "${holder[frr]:-}" ] || start_frr_there
check_joined babeld babeld
check_joined bird BIRD
if [ -n "${holder[frr]:-}" ] && kill -0 "${daemon_pid[frr]}" 2>/dev/null; then check_joined frr FRR
else echo 'left out: FRR is not installed, or does not start here'; fi
check 'babeld reaches BIRD' carries babeld 10.80.2.1 10.80.1.1
check_death babeld babeld start_babeld_there
check_death bird BIRD start_bird_there
check 'tcpdump and tshark can read all that was said' well_formed
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
