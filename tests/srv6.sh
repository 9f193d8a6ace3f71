# shellcheck shell=bash
# IPv4 inside IPv6 between athens and berlin; from athens to cairo by way of berlin, though there is a tunnel; cairo sends
# IPv4 by IPv6 next hops. To be sourced after peers.sh and four_nodes.sh.

. "$root/tests/healing.sh"

nodes=(athens berlin cairo)

# How many packets came to NODE through its tunnels.
arrivals() {
    local inside=(ip)
    in_host "$1" test -e /run/netns/aronet && inside=(ip -n aronet)
    in_host "$1" "${inside[@]}" -s -j link | jq '[.[] | select(.ifname | startswith("aronet-")) | .stats64.rx.packets] | add'
}
# passes NODE FROM TO: of 50 packets all do, beside what Babel says.
passes() {
    local before after
    before=$(arrivals "$1")
    in_host "$2" ping -q -c50 -i0.02 -W2 "$3" | grep -q ' 0% packet loss' || return 1
    after=$(arrivals "$1")
    echo "$((after - before)) packets"
    [ $((after - before)) -ge 50 ]
}
# carried NODE PREFIX SEGMENTS: behind a plain route that knows what fits.
carried() {
    local room=1336 inside=(ip route show table 128)
    in_host "$1" test -e /run/netns/aronet && inside=(ip -n aronet route show)
    [ "$3" = "${3#* }" ] || room=1320
    in_host "$1" "${inside[@]}" "$2" | grep "encap seg6 mode encap.red segs.*$3.*mtu 1400" &&
        in_host "$1" ip route show table 12025 "$2" | grep "dev aronet.* mtu $room"
}
# What comes out of IPv6 in NODE meets ACTION.
comes_out_by() { { in_host "$1" ip -6 route show table 128; in_host "$1" ip -n aronet -6 route; } 2>/dev/null | grep "ffff:0:0:b .*action $2"; }
# Who sends too much is told, and what may be fragmented passes.
too_large() {
    in_host "$1" nft flush ruleset
    in_host "$1" ping -c1 -W1 -M 'do' -s 1380 "$2" 2>&1 | grep -i 'frag needed.*mtu = 13[23][06]' &&
        in_host "$1" ping -q -c3 -W2 -M dont -s 2000 "$2" | grep ' 0% packet loss'
}
# What comes on the way from FROM to TO, hop by hop, is no silence.
every_hop_answers() {
    local hops
    for hops in 1 2 3 4; do
        in_host "$1" ping -c1 -W2 -t "$hops" "$2" | grep -i -E "from [1-9]" || { echo "hop $hops is silent"; return 1; }
    done
}

# What carries, what comes out of it, and what stands behind it.
check_removals() {
    local inside table
    inside_of berlin
    watch_kernel berlin
    healed 1 'row 1: a SID that is deleted' berlin "${inside[@]}" -6 route del fd10:2::ffff:0:0:b table $table proto 140
    inside_of athens
    watch_kernel athens
    healed 1 'row 1: a way by segments that is deleted' athens "${inside[@]}" route del 10.10.3.0/24 table $table proto 140 metric 16
    healed 1 'row 1: a guard that is deleted' athens ip route del 10.10.3.0/24 table 12025 proto 140 metric 4278198272
}

check_srv6() {  # MODE DATAPATH ACTION
    local node pair from to size=1000000
    write_keys
    for node in athens berlin; do daemon_keys[$node]='"ipv4_transport": "srv6",'; done
    for node in "${nodes[@]}"; do write_config $node "$1" "$2"; done
    sed -i '2i "segments": [{"prefix": "10.10.3.0/24", "via": ["olive/berlin"]}, {"prefix": "fd10:3::/64", "via": ["olive/berlin"]}],' \
        "${config_of[athens]}"
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    sleep 1
    for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
    for node in "${nodes[@]}"; do start $node; done
    check 'everybody reaches everybody' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
    check 'athens carries IPv4 to berlin in IPv6' carried athens 10.10.2.0/24 fd10:2::ffff:0:0:b
    check 'berlin does so to cairo' carried berlin 10.10.3.0/24 fd10:3::ffff:0:0:b
    check 'athens to cairo by way of berlin' carried athens 10.10.3.0/24 'fd10:2::ffff:0:0:a fd10:3::ffff:0:0:b'
    check "what comes out of IPv6 in berlin meets $3" wait_for 15 comes_out_by berlin "$3"
    check_pairs
    # TCP between hosts is told of what fits when it begins, so that it need not hear of what does not.
    for node in "${nodes[@]}"; do
        in_host $node-host nft 'add table inet deaf; add chain inet deaf in { type filter hook input priority 0; };
            add rule inet deaf in icmp type destination-unreachable drop; add rule inet deaf in icmpv6 type packet-too-big drop'
        check "$node clamps the segments of forwarded TCP" eval "in_host $node nft list table inet aronet_aronet | grep -c 'maxseg size set' | grep -qx 4"
    done
    in_host cairo nft flush ruleset
    check 'nobody flushes that' eval "in_host cairo nft list table inet aronet_aronet | grep -q 'maxseg size set 1360'"
    for pair in 'athens berlin' 'berlin athens' 'athens cairo' 'cairo athens'; do
        read -r from to <<<"$pair"
        check "1 MB of IPv4 from $from to $to" transfer "$from" "$to" "${v4_of[$to]}" $size
        check "1 MB of IPv4 from the host behind $from to that behind $to" \
            transfer "$from-host" "$to-host" "${host_v4_of[$to]}" $size
    done
    check '1 MB of IPv6 by way of berlin' transfer athens-host cairo-host "${host_v6_of[cairo]}" $size
    check 'what athens sends to cairo passes berlin, IPv4' passes berlin athens "${v4_of[cairo]}"
    check 'what the host behind athens sends there, too' passes berlin athens-host "${host_v4_of[cairo]}"
    check 'and IPv6' passes berlin athens-host "${host_v6_of[cairo]}"
    check 'what cairo sends to berlin does not pass athens' eval '! passes athens cairo ${v4_of[berlin]}'
    check 'a host that sends more than fits is told, and fragments pass' too_large athens-host "${host_v4_of[berlin]}"
    check 'on the way with two segments, too' too_large athens-host "${host_v4_of[cairo]}"
    check 'every hop of IPv4 answers when its time is up' every_hop_answers cairo-host "${host_v4_of[athens]}"
    check_removals
    check_clean_stop
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}
