#!/bin/bash
# Calls, reloads and rekeyings without number, ten thousand of each with --all: memory and descriptors stay as they were. athens
# and berlin have six addresses each, so that 36 tunnels change their keys at once.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin)
times=300
[ -z "${ARONET_ALL:-}" ] || times=10000

address() { echo "192.0.2.$(($(number "$1") * 10 + $2))"; }
endpoints() {
    local i
    for i in 0 1 2 3 4 5; do echo "{\"serial_number\": $i, \"address\": \"$(address "$1" "$i")\", \"port\": 12025}"; done | jq -s .
}
whole() { ask athens tunnels --json | jq -e '[.tunnels[] | select(.state == "routed")] | length == 36'; }
# stays KIND: grows by less than a hundredth in the second half.
stays() {
    in_host athens python3 "$root/tests/rounds.py" /run/aronet/aronet.sock "${daemon_pid[athens]}" olive/berlin "$1" $times |
        tee "$work/$1" | {
        read -r _ before after descriptors open
        [ -n "$open" ] && [ $(((after - before) * 100)) -lt "$before" ] && [ $((open - descriptors)) -le 2 ]
    } || { cat "$work/$1"; return 1; }
}

needs_namespaces
write_keys
for node in "${nodes[@]}"; do write_config $node netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
for node in "${nodes[@]}"; do
    for i in 0 1 2 3 4 5; do in_host $node ip addr add "$(address $node $i)/24" dev eth0; done
    start $node
done
check 'all tunnels are there' wait_for 30 whole || { show_logs; exit 1; }
for kind in calls reloads rekeyings; do
    check "row 23: memory is as it was after $times $kind" stays $kind
    read -r each before after _ <"$work/$kind"
    echo "# $each ms each, $before KiB in the midst of them, $after KiB in the end"
done
check 'all tunnels are there still' whole
check 'row 23: the kernels have what the nodes tell of' agree athens berlin
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
