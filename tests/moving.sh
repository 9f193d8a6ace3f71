# shellcheck shell=bash
# Interfaces that appear late, and addresses that move under traffic: dakar's NAT takes another port, then another address,
# and dakar itself moves to another address and another router. No tunnel is made anew. To be sourced after peers.sh and
# four_nodes.sh.

nodes=(athens berlin dakar)

# nat_from ADDRESS PORTS: the router forgets every mapping, for it has no address for a moment.
nat_from() {
    in_host router ip addr flush dev eth0 scope global
    in_host router nft "flush chain ip nat out; add rule ip nat out oifname \"eth0\" ip protocol udp masquerade to :$2"
    in_host router ip addr add "$1/24" dev eth0
}
dakar_roams() {
    in_host dakar ip addr flush dev eth0 scope global
    in_host dakar ip addr add 172.16.0.22/24 dev eth0
    in_host dakar ip route add default via 172.16.0.1
}
# By another cable to another router, which comes before the first goes.
dakar_changes_router() {
    in_host dakar ip link set second up
    in_host dakar ip addr add 172.17.0.2/24 dev second
    in_host dakar ip route replace default via 172.17.0.1
    in_host dakar ip link del eth0
}
add_second_router() {
    add_host router2
    plug router2 192.0.2.5/24
    link router2 inside dakar second
    in_host dakar ip link set second down
    in_host router2 ip addr add 172.17.0.1/24 dev inside
    in_host router2 sysctl -qw net.ipv4.ip_forward=1
    in_host router2 nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };
        add rule ip nat out oifname "eth0" masquerade'
}
own_address_is() { ask dakar tunnels --json | jq -e "[.tunnels[].local] | all(startswith(\"$1:\"))"; }
tunnel_of() { ask "$1" tunnels --json | jq -ce ".tunnels[] | select(.peer == \"$2\")"; }
# What makes a tunnel this tunnel.
identity_of() { tunnel_of "$1" "$2" | jq -c '[.interface, .spi_in, .spi_out, .came_up, .rekeyings]'; }
is_at() { tunnel_of "$1" "$2" | jq -e ".remote | test(\"^$3\")"; }
same_tunnel() { [ "$(identity_of "$1" "$2")" = "${before[$1]}" ] || { identity_of "$1" "$2"; return 1; }; }
# Since everybody had settled no Babel neighbour was lost.
never_left() {
    ask "$1" neighbours --json |
        jq -e --argjson age $((SECONDS - settled_at)) '.neighbours | length > 0 and all(.since_seconds >= $age)'
}
closed() { grep -hE 'closed|ended|is down' "$work"/*.log; }
never_closed() { closed >"$work/closed" || true; diff "$work/closed.before" "$work/closed"; }
states_of() { in_host "$1" ip xfrm state | grep -c '^src'; }

stream() { in_host "$1" ping -q -i 0.05 -c 200 -W 1 "$2" >"$work/stream" 2>&1 & streaming=$!; }
# moves WHAT NODE PEER REMOTE COMMAND...: ten seconds of traffic from dakar, two of them before the command.
moves() {
    local what=$1 remote=$2 begin took
    shift 2
    stream dakar "${v4_of[athens]}"
    sleep 2
    begin=${EPOCHREALTIME/./}
    "$@"
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))  # ms, in which there was no way at all
    for node in athens berlin; do check "$what: $node sees dakar there" wait_for 8 is_at $node maple/dakar "$remote"; done
    wait $streaming || true
    echo "# $(packets_lost "$work/stream") of 200 packets, one each 50 ms, were lost; the change took $took ms"
    check "$what: at most half a second more of traffic is lost" lost_at_most $((10 + took / 50)) "$work/stream"
    for node in athens berlin; do check "$what: the tunnel of $node is the one it was" same_tunnel $node maple/dakar; done
    check "$what: everybody reaches everybody" wait_for 5 all_reach 4 6
    check "$what: the kernels have what the nodes tell of" agree athens dakar
}

# The only cable of berlin and dakar has neither carrier nor addresses.
take_cables() {
    local node
    for node in berlin dakar; do
        in_host $node ip link set eth0 down
        in_host $node ip addr flush dev eth0
    done
}
give_cables() {
    local node
    for node in berlin dakar; do in_host $node ip link set eth0 up; done
    sleep 1  # as from a DHCP server
    in_host berlin ip addr add 192.0.2.2/24 dev eth0
    in_host berlin ip addr add 2001:db8::2/64 dev eth0 nodad
    in_host dakar ip addr add 172.16.0.2/24 dev eth0
    in_host dakar ip route add default via 172.16.0.1
}
families_of() { ask athens tunnels --json | jq -r '.tunnels[] | select(.peer == "olive/berlin" and .state == "routed") | .remote[:1]' | sort | xargs; }
has_both_families() { [ "$(families_of)" = '1 [' ] || { families_of; return 1; }; }
check_late() {
    local node
    take_cables
    for node in "${nodes[@]}"; do start $node; done
    sleep 6
    check 'without a cable berlin and dakar run, and reach nobody' eval \
        'ask berlin tunnels && ask dakar tunnels && ! reaches berlin "${v6_of[athens]}" && ! reaches athens "${v4_of[dakar]}"'
    give_cables
    check 'when it comes late everybody reaches everybody within 10 s' wait_for 10 all_reach 4 6 || { show_logs; exit 1; }
    check 'over both families of the underlay' wait_for 10 has_both_families
}

# check_moving DATAPATH
check_moving() {
    local node states
    declare -gA before=()
    build_mesh netns "$1"
    add_second_router
    check_late
    sleep 4  # whoever initiated twice has settled it
    for node in athens berlin; do before[$node]=$(identity_of $node maple/dakar); done
    states=$(states_of athens)
    settled_at=$SECONDS
    closed >"$work/closed.before" || true
    moves 'row 33: another port' '192.0.2.4:45[0-9]*' nat_from 192.0.2.4 45000-45999
    moves 'another address' '192.0.2.44:46[0-9]*' nat_from 192.0.2.44 46000-46999
    moves 'and back' '192.0.2.4:47[0-9]*' nat_from 192.0.2.4 47000-47999
    moves 'row 34: another address of its own' '192.0.2.4:' dakar_roams
    check 'dakar knows where it is' own_address_is 172.16.0.22
    moves 'row 34: another router' '192.0.2.5:' dakar_changes_router
    check 'dakar knows where that is' own_address_is 172.17.0.2
    check 'nothing was closed or taken down' never_closed
    for node in "${nodes[@]}"; do check "Babel's neighbours of $node are those they were" never_left $node; done
    check 'no SA is left over' test "$(states_of athens)" = "$states"
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}
