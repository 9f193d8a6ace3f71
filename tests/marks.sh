# shellcheck shell=bash
# A mark on the outer packets: policy routing by it sends ESP another way than everything else. athens has two cables to
# berlin; only marked packets may take the second one. To be sourced after peers.sh and four_nodes.sh.

nodes=(athens berlin)

endpoints() {
    echo "[{\"serial_number\": 0, \"address\": \"192.0.2.$(number "$1")\", \"port\": 12025, \"fwmark\": \"0x2a\"}]"
}
second_way() {
    link athens second berlin second
    in_host athens ip addr add 198.18.0.1/30 dev second
    in_host berlin ip addr add 198.18.0.2/30 dev second
    in_host athens ip route add 192.0.2.2/32 via 198.18.0.2 table 77
    in_host athens ip rule add fwmark 0x2a lookup 77
    for host in athens berlin; do in_host $host sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.second.rp_filter=0; done
}
count_outer() {
    in_host athens nft delete table ip seen 2>/dev/null
    # What goes out where, by kind: IKE begins with four zero octets behind the UDP header, ESP does not.
    in_host athens nft 'add table ip seen; add chain ip seen out { type filter hook postrouting priority 300; };
        add rule ip seen out oifname "second" udp dport 12025 @th,64,32 != 0 counter comment "marked";
        add rule ip seen out oifname "second" udp dport 12025 @th,64,32 0 counter comment "ike";
        add rule ip seen out oifname "eth0" udp dport 12025 @th,64,32 != 0 udp length > 9 counter comment "astray"'
}
packets() { in_host athens nft -j list table ip seen |
    jq "[.nftables[].rule | select(. != null and .comment == \"$1\") | .expr[].counter | select(. != null) | .packets] | add"; }
some() { [ "$(packets "$1")" -ge "${2:-1}" ] || { in_host athens nft list table ip seen; return 1; }; }
none() { [ "$(packets "$1")" = 0 ] || { in_host athens nft list table ip seen; return 1; }; }
marked_states() { [ "$(in_host athens ip xfrm state | grep -c 'output-mark 0x2a')" = 1 ] || { in_host athens ip xfrm state; return 1; }; }

run() {
    local datapath=$1
    for node in "${nodes[@]}"; do write_config $node netns "$datapath"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    count_outer
    for node in "${nodes[@]}"; do start $node; done
    check "$datapath data plane: the two reach each other" wait_for 40 all_reach 4 6 || show_logs
    [ "$datapath" = user ] || check 'the outbound SA carries the mark, the inbound one does not' marked_states
    check "$datapath data plane: 200 kB of IPv4" transfer athens berlin "${v4_of[berlin]}" 200000
    check "$datapath data plane: ESP takes the way of its mark" some marked 100
    check "$datapath data plane: no ESP takes the way of others" none astray
    check "$datapath data plane: IKE is not marked" none ike
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
}

# check_marks DATAPATH
check_marks() {
    write_keys
    for node in "${nodes[@]}"; do write_config $node netns "$1"; done
    build_hosts
    second_way
    run "$1"
    [ "$failures" = 0 ] || { show_logs; exit 1; }
}
