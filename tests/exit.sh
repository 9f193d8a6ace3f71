# shellcheck shell=bash
# athens is an exit: of IPv4 for everybody, of IPv6 for what comes from berlin's network. berlin takes what it offers, cairo
# the IPv6 alone, dakar nothing. Beyond athens is the internet, which knows no way to any of them but the one IPv6 comes
# back by. Nobody else has a default route. To be sourced after peers.sh and four_nodes.sh.

. "$root/tests/healing.sh"

nodes=(athens berlin cairo)
internet4=203.0.113.9
internet6=2001:db8:9::9

add_internet() {
    add_host internet
    link athens wan internet eth0
    in_host athens ip addr add 198.51.100.1/24 dev wan
    in_host athens ip addr add 2001:db8:1::1/64 dev wan nodad
    in_host internet ip addr add 198.51.100.2/24 dev eth0
    in_host internet ip addr add 2001:db8:1::2/64 dev eth0 nodad
    in_host internet ip addr add $internet4/32 dev lo
    in_host internet ip addr add $internet6/128 dev lo
    in_host internet ip -6 route add fd10::/16 via 2001:db8:1::1
    in_host athens nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };
        add rule ip nat out oifname "wan" masquerade'
}
open_wan() {
    in_host athens ip route add default via 198.51.100.2
    in_host athens ip -6 route add default via 2001:db8:1::2
}
close_wan() {
    in_host athens ip route del default
    in_host athens ip -6 route del default
}

# into_overlay NODE MODE: what comes from the host behind the node goes into the overlay, wherever it goes to.
into_overlay() {
    local node=$1 table=128
    if [ "$2" = netns ]; then
        table=77
        in_host "$node" ip -6 route add default via "${v6_of[$node]%1}2" dev aronet table $table
        in_host "$node" ip -4 route add default via inet6 "${v6_of[$node]%1}2" dev aronet table $table
    fi
    in_host "$node" ip rule add iif lan lookup $table priority 100
    in_host "$node" ip -6 rule add iif lan lookup $table priority 100
}

# inside NODE ARGUMENT...: `ip`, where the overlay is.
inside() {
    local node=$1
    shift
    if in_host "$node" test -e /run/netns/aronet; then in_host "$node" ip -n aronet "$@"; else in_host "$node" ip "$@"; fi
}
table_of() { if in_host "$1" test -e /run/netns/aronet; then echo main; else echo 128; fi; }
route_of() {
    local family=-4
    case $2 in *:*) family=-6 ;; esac
    inside "$1" $family route show table "$(table_of "$1")" "$2" proto 140
}
has_default4() { inside "$1" -4 route show table "$(table_of "$1")" proto 140 | grep -q '^default via .*metric 32'; }
has_default6() { inside "$1" -6 route show table "$(table_of "$1")" proto 140 | grep -q "^default from $2 via .*metric 32"; }
lacks_defaults() { ! has_default4 "$1" && ! has_default6 "$1" fd10:2::/64; }
exit_is() { ask athens status --json | jq -e ".exits | map(.announced) == [$1, $1]" >/dev/null; }
tells() { ask athens status | grep -q "$1"; }

# What was counted on the underlay alone.
has_stayed_outside() {
    in_host berlin nft list table inet own | tee "$work/own"
    [ "$(grep -c 'packets 0 ' "$work/own")" = 1 ] && grep 'packets 0 ' "$work/own" | grep -q aronet && in_host berlin nft delete table inet own
}
# offers JSON: athens, by its configuration, at once.
offers() {
    jq ".exit = $1" "${config_of[athens]}" >"$work/offered" && cp "$work/offered" "${config_of[athens]}" && ask athens reload
}
has_default6_of_all() { inside "$1" -6 route show table "$(table_of "$1")" proto 140 | grep -q '^default via .*metric 32'; }
# All of berlin goes into the overlay, whose default routes, and a prefix of cairo, hold the addresses of its peers. The one of
# IPv6 for berlin's network alone would not: the tunnels' own packets have another source.
check_own_packets() {  # MODE
    local family table=128 goes_astray exits
    [ "$1" = vrf ] || table=77
    exits=$(jq -c .exit "${config_of[athens]}")
    check 'athens is an exit of IPv6 for everybody, too' offers "$exits + [\"::/0\"]"
    check 'berlin has that default route' wait_for 10 has_default6_of_all berlin
    in_host berlin nft 'add table inet own; add chain inet own out { type filter hook output priority 0; };
        add rule inet own out oifname { "aronet", "aronet-*" } udp dport 12025 counter;
        add rule inet own out oifname "eth0" udp dport 12025 counter comment "watched"'
    goes_astray() { in_host berlin ip route get "$@" | grep -q 'dev aronet'; }
    for family in -4 -6; do in_host berlin ip $family rule add not fwmark 0x20a0 lookup $table priority 31000; done
    check "a peer's address lies in the overlay's default route of IPv6, whatever the source" goes_astray 2001:db8::1 from 2001:db8::2
    check "and in that of IPv4" goes_astray 192.0.2.1 from 192.0.2.2
    check "but not for the tunnels' own packets" eval \
        '! goes_astray 2001:db8::1 from 2001:db8::2 mark 0x20a0 && ! goes_astray 192.0.2.1 from 192.0.2.2 mark 0x20a0'
    check 'athens and berlin change the keys of IKE' ask berlin rekey olive/athens --ike
    sleep 6  # DPD is over by then
    check 'the tunnels do not go through themselves' all_reach 4 6
    for family in -4 -6; do in_host berlin ip $family rule del priority 31000; done
    check 'athens is that no longer' offers "$exits"
    check 'berlin has it no more' wait_for 10 eval '! has_default6_of_all berlin'
    check "a peer's address lies in a prefix of cairo" goes_astray 192.0.2.1
    check "which the tunnels' own packets do not look at" eval '! goes_astray 192.0.2.1 mark 0x20a0'
    check 'not one of theirs has gone into the overlay' has_stayed_outside
}

# What comes to athens from berlin's underlay as it is: of the registry's destinations, and of another, which goes that way.
watch_berlin() {
    in_host athens nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority -300; };
        add rule inet seen in iifname "eth0" ip daddr 10.10.0.0/16 counter comment "plain";
        add rule inet seen in iifname "eth0" ip6 daddr fd10::/16 counter comment "plain6";
        add rule inet seen in iifname "eth0" ip daddr 10.99.0.1 counter comment "watched"'
}
seen() {
    in_host athens nft -j list table inet seen | jq -r --arg of "$1" \
        '[.nftables[].rule | select(. != null and .comment == $of) | .expr[].counter | select(. != null) | .packets] | add'
}
# From berlin and from the host behind it to both others and what is behind them.
knocks() {
    local from to pids=()
    for from in berlin berlin-host; do
        for to in "${v4_of[athens]}" "${host_v4_of[cairo]}" "${v6_of[athens]}" "${host_v6_of[cairo]}" 10.99.0.1; do
            in_host $from ping -q -c"${1:-5}" -i0.05 -W1 "$to" >/dev/null 2>&1 &
            pids+=($!)
        done
    done
    wait "${pids[@]}"
    true
}
nothing_leaks() {
    local watched
    watched=$(seen watched)
    knocks
    echo "plain $(seen plain), of IPv6 $(seen plain6), watched $(seen watched)"
    [ "$(seen plain) $(seen plain6)" = '0 0' ] && [ "$(seen watched)" -gt "$watched" ]
}
# What leaks before the rule of berlin is back, of 20 packets a second to each of eight.
leaks_without_rule() {
    local knocking
    knocks 40 &
    knocking=$!
    sleep 0.5
    in_host berlin ip rule del pref 32000
    in_host berlin ip -6 rule del pref 32000
    wait $knocking
    echo "plain $(seen plain), of IPv6 $(seen plain6)"
    [ $(($(seen plain) + $(seen plain6))) -le 160 ] || return 1
    watch_anew
}
watch_anew() { in_host athens nft delete table inet seen && watch_berlin; }
silence() {  # add|delete
    local node
    for node in athens cairo; do
        if [ "$1" = add ]; then
            in_host $node nft 'add table inet silent; add chain inet silent in { type filter hook prerouting priority -300; };
                add rule inet silent in iifname "eth0" udp dport 12025 drop'
        else in_host $node nft delete table inet silent; fi
    done
}
knows_nobody() {
    ask berlin routes --json | jq -e 'all(.routes[]; (.selected and (.destination | test("^(10[.]10[.][13]|fd10:[13]:)"))) | not)'
}

# What is the others' does not leave by the host's default route while there is no main interface, no daemon, no peer.
check_guards() {
    local to
    # A prefix of cairo holds its address: it would be looked for in the overlay.
    in_host berlin ip route add default via 192.0.2.1 dev eth0
    in_host berlin ip -6 route add default via 2001:db8::1 dev eth0
    watch_berlin
    kill -STOP "${daemon_pid[berlin]}"
    in_host berlin ip link del aronet
    for to in "${v4_of[athens]}" "${host_v4_of[cairo]}" "${v6_of[athens]}" "${host_v6_of[cairo]}"; do
        check "without an overlay $to is unreachable from berlin" eval \
            '! in_host berlin ip route get $to 2>"$work/why" && grep -q -i -e "no route to host" -e unreachable "$work/why"'
    done
    check 'without an overlay not one packet leaves in the clear, own or forwarded' nothing_leaks
    kill -CONT "${daemon_pid[berlin]}"
    check 'and is reached again when that is back' wait_for 30 all_reach 4 6
    kill_hard berlin
    in_host berlin ip link del aronet
    check 'nor after a kill -9, with the overlay gone' nothing_leaks
    start berlin
    check 'and is reached again when there is a daemon' wait_for 30 all_reach 4 6
    silence add
    check 'nobody answers any more' wait_for 60 knows_nobody
    check 'nor while no peer answers' nothing_leaks
    silence delete
    check 'and is reached again when they do' wait_for 60 all_reach 4 6
    check 'without its rule packets leave for a second at most' leaks_without_rule
    check 'then none does again' nothing_leaks
    in_host athens nft delete table inet seen
    in_host berlin ip route del default
    in_host berlin ip -6 route del default
}

check_exit() {  # MODE DATAPATH
    local node src4 src6 inside table
    daemon_keys[athens]='"sysctl": "check",'
    write_keys
    prefixes_of[cairo]=', "192.0.2.0/28"'
    for node in "${nodes[@]}"; do write_config $node "$1" "$2"; done
    sed -i '2i "exit": ["0.0.0.0/0", {"prefix": "::/0", "source": "fd10:2::/64", "metric": 10}],' "${config_of[athens]}"
    babel_keys[berlin]=', "import": [{"peer": "olive/*", "unregistered": true, "max_length": 0}]'
    # Addresses of cairo that are where its overlay is.
    if [ "$1" = netns ]; then src4=192.168.168.168 src6=fd10:3::ffff:0:0:2; else src4=10.10.3.1 src6=fd10:3::ffff:0:0:1; fi
    babel_keys[cairo]=', "import": [{"prefix": "::/0", "max_length": 0, "unregistered": true}],
        "install": [{"prefix": "0.0.0.0/0", "peer": "olive/athens", "pref_src": "'$src4'"},
            {"prefix": "fd10::/16", "peer": "olive/athens", "pref_src": "'$src6'"}]'
    for node in berlin cairo; do write_config $node "$1" "$2"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    add_internet
    forward 1
    sleep 1
    for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
    for node in "${nodes[@]}"; do start $node; done
    [ "$1" != netns ] || wait_for 10 in_host athens test -e /run/netns/aronet
    forward 1
    check 'everybody reaches everybody' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
    for node in berlin cairo; do into_overlay $node "$1"; done
    check 'routes through the peer that a rule names have the source address it says' wait_for 10 eval \
        'route_of cairo 10.10.1.0/24 | grep -q "src $src4" && route_of cairo fd10:1::/64 | grep -q "src $src6"'
    check 'those through others have none' eval 'route_of cairo 10.10.2.0/24 | grep via | grep -q -v src'
    sleep 3
    check 'without a default route of its host athens is no exit' exit_is false
    check 'and says why' tells 'the exit 0.0.0.0/0 is not announced: the underlay has no default route'
    check 'berlin has no default route' lacks_defaults berlin
    open_wan
    check 'with one it is' wait_for 5 exit_is true
    check 'berlin has the default route of IPv4' wait_for 5 has_default4 berlin
    check 'and that of IPv6 for its own sources' wait_for 5 has_default6 berlin fd10:2::/64
    check 'the host behind berlin reaches the internet by IPv4' wait_for 5 reaches berlin-host $internet4
    check 'and by IPv6' wait_for 5 reaches berlin-host $internet6
    check '1 MB of IPv6 from the internet to the host behind berlin' \
        transfer internet berlin-host "${host_v6_of[berlin]}" 1000000
    check 'cairo, which lets in only that of IPv6, has it' wait_for 5 has_default6 cairo fd10:2::/64
    check 'row 56: a default route that cairo does not let in it has not' eval '! has_default4 cairo'
    check 'the host behind cairo does not reach the internet by IPv4' eval "! reaches cairo-host $internet4"
    check 'nor by IPv6, since its source is another' eval "! reaches cairo-host $internet6"
    check 'with default routes the mesh works as before' wait_for 10 all_reach 4 6
    check 'and the hosts behind the nodes reach each other' eval \
        "reaches berlin-host ${host_v4_of[cairo]} && reaches cairo-host ${host_v6_of[berlin]}"
    check_own_packets "$1"
    close_wan
    check 'without the default route it is taken back' wait_for 5 lacks_defaults berlin
    check 'and the log says so' grep -q 'the exit 0.0.0.0/0 is taken back: the underlay has no default route' "$work/athens.log"
    open_wan
    check 'and given again' wait_for 5 reaches berlin-host $internet4
    forward 0
    check 'when athens does not forward it is taken back' wait_for 6 lacks_defaults berlin
    forward 1
    check 'and given again when it does' wait_for 6 reaches berlin-host $internet6
    in_host athens ip link set wan down
    check 'when the link to the internet goes down it is taken back' wait_for 5 lacks_defaults berlin
    in_host athens ip link set wan up
    in_host athens ip -6 addr add 2001:db8:1::1/64 dev wan nodad 2>/dev/null
    open_wan
    check 'and given again when it is back' wait_for 10 reaches berlin-host $internet4
    inside_of athens
    watch_kernel athens
    healed 1 'row 1: the way out of an exit that is deleted' athens "${inside[@]}" route del default table $table proto 140 metric 1024
    check 'and the internet is reached as before' wait_for 5 reaches berlin-host $internet4
    close_wan
    check_guards
    for node in berlin cairo; do out_of_overlay $node; done
    check_clean_stop
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}

# forward VALUE: athens does or does not, in its namespace too.
forward() {
    local key space
    for key in net.ipv4.ip_forward net.ipv6.conf.all.forwarding; do
        in_host athens sysctl -qw $key="$1"
        for space in $(in_host athens ls /run/netns); do in_host athens ip netns exec "$space" sysctl -qw $key="$1"; done
    done
}
out_of_overlay() {
    in_host "$1" ip rule del priority 100
    in_host "$1" ip -6 rule del priority 100
    in_host "$1" ip route flush table 77 2>/dev/null
    in_host "$1" ip -6 route flush table 77 2>/dev/null
    true
}
