#!/bin/bash
# Somebody meddles with the kernel of a node of ours with the user data plane, in a namespace.
# Alone: it measures seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/healing.sh"

needs_namespaces
nodes=(athens berlin cairo)
rate=100
prefixes_of[berlin]=$(seq 200 | xargs printf ', "fd20:2:0:%x::/64"')
build_mesh netns user
for node in "${nodes[@]}"; do start "$node"; done
check 'every node reaches every other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
sleep 5
check_healing athens 1
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop "$node"; done
[ "$failures" = 0 ] || { show_logs 30; exit 1; }
