#!/bin/bash
# Keys that are changed under a thousand packets a second each way: of the data and of IKE, asked for by either side and by
# both at once. User data plane. Not one packet is lost.
# Alone: it sends as many packets as the machine can.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"

needs_namespaces
nodes=(athens cairo)
build_mesh netns user
for node in "${nodes[@]}"; do start $node; done
check 'both nodes reach each other' wait_for 30 all_reach 6 || { show_logs; exit 1; }

begin_stream ours athens cairo
sleep 1
check "the data's keys and those of IKE are changed $rekeyings times each" by_turns athens cairo both
sleep 6  # the last of the old SAs
check 'not one packet is lost' end_stream ours
check "they were $rate a second each way" as_fast_as_asked ours
told ours
check 'the tunnel was never down, as athens sees it' never_down athens maple/cairo
check 'the tunnel was never down, as cairo sees it' never_down cairo olive/athens
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 40; exit 1; }
