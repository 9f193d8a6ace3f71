# shellcheck shell=bash
# Keys that are changed because so much went under them, by the data plane's own count and nobody's wish: athens counts
# packets, cairo bytes, dakar nothing, and no key is old. To be sourced after peers.sh, four_nodes.sh and rekeyings.sh.

nodes=(athens cairo dakar)
rate_back=${ARONET_RATE_BACK:-100}
times=${times:-5}  # of each limit
ike_keys[athens]='"child_packets": 3000,'
ike_keys[cairo]='"child_bytes": 1000000,'
for node in "${nodes[@]}"; do ike_keys[$node]+=${more_ike_keys:-}; done

# changes_by_amount WORDS FROM TO NODE MOST: FROM sends until the keys were changed `times` times, every MOST packets or
# earlier, by the limit of NODE.
changes_by_amount() {
    local peer=$3 sent
    [ "$4" = "$2" ] || peer=$2
    begin_stream "$2-$3" "$2" "$3"
    check "$1: keys are changed, and again" wait_for 60 changed "$4" "$(organization "$peer")/$peer" "$times" 0
    sleep 1
    check "$1: not one packet is lost" end_stream "$2-$3"
    told "$2-$3"
    sent=$(sed -n '1s/^lost 0 of \([0-9]*\),.*/\1/p' "$work/stream.$2-$3.2")  # as TO has seen it
    check "$1: they were by that limit" by_that_limit "$4" "$(organization "$peer")/$peer" "$sent" "$5"
    check "$1: the tunnel was never down" never_down "$4" "$(organization "$peer")/$peer"
}
# As many as the packets ask for, but for some on their way, and hardly more.
by_that_limit() {
    tunnels_to "$1" "$2" ".rekeyings.child >= ($3 / $4 - 2) and .rekeyings.child <= ($3 / $4 * 1.3 + 2) and .rekeyings.ike == 0"
}

# check_limits DATAPATH
check_limits() {
    local node
    write_keys
    for node in "${nodes[@]}"; do write_config $node netns "$1"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    for node in "${nodes[@]}"; do start $node; done
    check 'everybody reaches everybody' wait_for 40 all_reach 6 || { show_logs; exit 1; }
    changes_by_amount 'a limit of packets sent' athens dakar athens 3000
    changes_by_amount 'a limit of bytes received' dakar cairo cairo 4000
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}
