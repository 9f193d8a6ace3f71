# shellcheck shell=bash
# Paths that take less than they seem to, and say so to nobody: of IPv4 between athens and dakar, whose middle takes 1280
# octets, and of IPv6 between athens and berlin, 1380. To be sourced after peers.sh and four_nodes.sh.

nodes=(athens berlin dakar)

# Larger packets that may not be fragmented are lost there without a word.
narrow() {
    in_host router nft 'add table ip quiet; add chain ip quiet out { type filter hook output priority 0; };
        add rule ip quiet out icmp type destination-unreachable drop'
    in_host router ip route change 172.16.0.0/24 dev inside src 172.16.0.1 mtu lock 1280
    in_host router ip route change 192.0.2.0/24 dev eth0 src "$(underlay4 router)" mtu lock 1280
}
too_large_is_lost() { ! in_host dakar ping -c1 -W1 -M 'do' -s 1300 192.0.2.1 && in_host dakar ping -c1 -W1 -M 'do' -s 1200 192.0.2.1; }
# in_time SECONDS COMMAND...
in_time() {
    local began=${EPOCHREALTIME/./} seconds=$1
    shift
    "$@" || return 1
    recovered=$(((${EPOCHREALTIME/./} - began) / 1000))
    echo "$recovered ms"
    [ $recovered -le $((seconds * 1000)) ]
}

# exact FROM TO MTU: what takes so many octets, and may not be fragmented, passes; one more is answered with that number.
exact() {
    local headers=28
    case $2 in *:*) headers=48 ;; esac
    in_host "$1" ping -q -c2 -W5 -M 'do' -s $(($3 - headers)) "$2" &&
        in_host "$1" ping -c1 -W5 -M 'do' -s $(($3 - headers + 1)) "$2" 2>&1 | tee "$work/told" |
        grep -iE "(frag needed.*mtu = |too big: mtu=|message too long, mtu[:=] ?)$3\\b" || { cat "$work/told"; return 1; }
}
check_exact() {
    local pair from to
    for pair in 'athens dakar' 'dakar berlin' 'berlin athens'; do
        read -r from to <<<"$pair"
        check "1400 octets of IPv4 from $from to $to pass, of one more it is told how many would" exact "$from" "${v4_of[$to]}" 1400
        check "and of IPv6" exact "$from" "${v6_of[$to]}" 1400
        check "the same from the host behind $from to that behind $to, IPv4" exact "$from-host" "${host_v4_of[$to]}" 1400
        check "and IPv6" exact "$from-host" "${host_v6_of[$to]}" 1400
    done
}

# What is sent over IPv6 nobody may fragment on the way: the tunnels' MTU has to fit.
narrow6() {
    in_host "$1" nft 'add table inet quiet; add chain inet quiet in { type filter hook prerouting priority -500; };
        add rule inet quiet in ip saddr { 192.0.2.1, 192.0.2.2 } udp dport 12025 drop;
        add rule inet quiet in iifname "eth0" meta nfproto ipv6 meta length gt 1380 drop'
}
large_is_lost() {
    in_host athens ping -c3 -W2 -s 100 "${v6_of[berlin]}" >/dev/null && ! in_host athens ping -c2 -W1 -s 1300 "${v6_of[berlin]}"
}
alone_on_v6() { ask athens tunnels --json | jq -e '[.tunnels[] | select(.peer == "olive/berlin") | {six: (.remote | startswith("[")), state}]
    | any(.six and .state == "routed") and all(.six or .state != "routed")' >/dev/null; }
check_mtu6() {
    local node
    for node in athens berlin; do narrow6 $node; done
    check 'athens and berlin have a tunnel over IPv6 alone' wait_for 60 alone_on_v6
    check 'what is small passes it, what is large does not' wait_for 20 large_is_lost
    for node in athens berlin; do
        jq '.daemon.mtu = 1280' "${config_of[$node]}" >"$work/changed" && cp "$work/changed" "${config_of[$node]}"
        check "$node has tunnels that fit" ask $node reload
    done
    check 'row 31: 1 MB of IPv4 passes a path of IPv6' in_time 10 transfer athens-host berlin-host "${host_v4_of[berlin]}" 1000000
    check 'row 31: and of IPv6, the other way' in_time 10 transfer berlin-host athens-host "${host_v6_of[athens]}" 1000000
}

check_mtu() {  # MODE DATAPATH
    local node pair from to
    write_keys
    for node in "${nodes[@]}"; do write_config $node "$1" "$2"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    for node in "${nodes[@]}"; do start $node; done
    check 'everybody reaches everybody' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
    check_exact
    check '1 MB over a wide path' transfer athens dakar "${v4_of[dakar]}" 1000000
    narrow
    check 'packets of 1328 octets that may not be fragmented are lost' too_large_is_lost
    for pair in 'athens dakar' 'dakar athens'; do
        read -r from to <<<"$pair"
        check "row 32: 1 MB of IPv4 from $from to $to after the path shrank" in_time 10 \
            transfer "$from" "$to" "${v4_of[$to]}" 1000000
        check "row 32: 1 MB of IPv6 from the host behind $from to that behind $to" in_time 10 \
            transfer "$from-host" "$to-host" "${host_v6_of[$to]}" 1000000
    done
    for node in "${nodes[@]}"; do stop $node; start $node; done
    check 'row 31: IKE agrees over the narrow path' wait_for 60 all_reach 4 6
    check 'row 31: 1 MB of IPv4 passes it' in_time 10 transfer athens-host dakar-host "${host_v4_of[dakar]}" 1000000
    check 'row 31: and of IPv6' in_time 10 transfer dakar-host athens-host "${host_v6_of[athens]}" 1000000
    check_mtu6
    for node in "${nodes[@]}"; do check "row 31, 32: the kernel of $node has what it tells of" agree $node; done
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}
