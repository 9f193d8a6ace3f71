#!/bin/bash
# Four nodes of ours on the stock kernel with its own data plane: three in VRF mode, dakar in netns mode behind NAT.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"


check_transfers() {
    local from to family address
    # 10 MB once per family and direction, between the host behind cairo (VRF) and the one behind dakar (netns, NAT).
    check '10 MB of IPv4 from the host behind cairo to the one behind dakar' \
        transfer cairo-host dakar-host "${host_v4_of[dakar]}" 10000000
    check '10 MB of IPv4 from the host behind dakar to the one behind cairo' \
        transfer dakar-host cairo-host "${host_v4_of[cairo]}" 10000000
    check '10 MB of IPv6 from cairo to dakar' transfer cairo dakar "${v6_of[dakar]}" 10000000
    check '10 MB of IPv6 from dakar to cairo' transfer dakar cairo "${v6_of[cairo]}" 10000000
    for from in "${nodes[@]}"; do
        for to in "${nodes[@]}"; do
            [ "$from" = "$to" ] && continue
            case $from-$to in cairo-dakar | dakar-cairo) continue ;; esac
            for family in 4 6; do
                address=${v4_of[$to]}
                [ $family = 6 ] && address=${v6_of[$to]}
                check "200 kB of IPv$family from $from to $to" transfer "$from" "$to" "$address" 200000
            done
        done
    done
}

# cairo sent and received 10 MB of each family, and dakar spoke with it through one tunnel.
counted() {
    ask cairo tunnels --json | tee "$work/answer.json" | jq -e '.tunnels | all(.packets_in > 0 and .packets_out > 0) and
        any(.peer == "maple/dakar" and .bytes_in > 20000000 and .bytes_out > 20000000)' >/dev/null ||
        { head -c 600 "$work/answer.json"; return 1; }
}

load_modules
write_keys
for node in athens berlin cairo; do write_config $node vrf kernel; done
write_config dakar netns kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
for node in "${nodes[@]}"; do start "$node"; done
check 'every node reaches every other within a minute' wait_for 60 all_reach 4 6 || {
    show_logs
    exit 1
}
nothing_missed() { ! grep 'taken away by somebody' "$work"/*.log; }
check 'no link was thought to be taken away while it was made' nothing_missed
tunnel_has() {
    local tunnel
    tunnel=$(ask athens tunnels --json | jq -r '.tunnels[0].interface')
    [ "$(in_host athens sysctl -n "net.ipv4.conf.$tunnel.rp_filter" "net.ipv6.conf.$tunnel.seg6_enabled" | xargs)" = '0 1' ]
}
check 'athens sets what its tunnels need' tunnel_has
warns_of_nothing() { ask athens status --json | jq -e '.warnings == []'; }
check 'and misses nothing' warns_of_nothing
check_pairs
check_transfers
check 'tunnels count what has passed' counted
check_taken_away athens
check_taken_away dakar
check_restart athens
check_restart dakar
check_clean_stop
[ "${failures:-0}" = 0 ] || { show_logs; exit 1; }
