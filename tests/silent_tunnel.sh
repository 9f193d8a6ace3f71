# shellcheck shell=bash
# A tunnel whose underlay silently loses everything: the peer is asked at once, its routes go round long before a Hello is
# missed, the SAs stay, and the tunnel is used again as soon as it answers. To be sourced after peers.sh and four_nodes.sh.

nodes=(athens berlin cairo)
babel_intervals='"hello_interval": "20s"'
dpd_interval=10s

tunnel() { ask "$1" tunnels --json | jq -e "[.tunnels[] | select(.peer == \"$2\")] | all($3)" >/dev/null; }
direct() { ask "$1" routes --json | jq -e "[.routes[] | select(.selected and .destination == \"$2\") | .via] == [\"$3\"]" >/dev/null; }
both_direct() { direct athens 10.10.3.0/24 maple/cairo && direct cairo 10.10.1.0/24 olive/athens; }
# lose NODE PEER [4|6]: of what comes from there everything by IPv4, or by IPv6.
lose() {
    local from
    from="ip saddr $(underlay4 "$2")"
    [ "${3:-4}" = 4 ] || from="ip6 saddr 2001:db8::$(number "$2") udp dport 12025"
    in_host "$1" nft -f - <<RULES
table inet lost {
    chain in {
        type filter hook input priority 0
        $from drop
    }
}
RULES
}
find_again() { in_host "$1" nft delete table inet lost; }

# Under traffic a third of all packets is lost each way, for fifteen seconds or a minute.
check_loss() {
    local node count=300
    [ -z "${ARONET_ALL:-}" ] || count=1200
    for node in athens cairo; do
        in_host $node nft 'add table inet third; add chain inet third in { type filter hook input priority 0; };
            add rule inet third in iifname "eth0" numgen random mod 100 < 33 drop'
    done
    in_host athens ping -q -i 0.05 -c $count -W 1 10.10.3.1 >"$work/third" 2>&1 || true
    for node in athens cairo; do in_host $node nft delete table inet third; done
    echo "# $(packets_lost "$work/third") of $count packets were lost while a third was, each way"
    check 'row 27: a third lost each way is no death' never_dead athens cairo
    check 'row 27: and no other tunnel' tunnel athens maple/cairo '.came_up == 1'
    check 'athens and cairo talk over their own tunnel still' wait_for 40 both_direct
}
never_dead() { ! grep 'questions go unanswered' "$work/$1.log" "$work/$2.log"; }

# Longer than it takes to find the peer dead: no SA is left of it.
check_outage() {
    lose athens cairo
    lose cairo athens
    sleep 45
    check 'after a while without anything the tunnel is gone' tunnel athens maple/cairo '.state != "routed"'
    find_again athens
    find_again cairo
    pause=0.1 check 'when the outage is over it is there within five seconds' wait_for 5 \
        tunnel athens maple/cairo '.state == "routed" and .came_up == 2'
}

# athens and berlin have two tunnels, one of each family.
by_family() {
    local interface
    in_host athens ping -q -c4 -i0.1 -W1 10.10.2.1 >/dev/null || true  # what carries nothing is not missed soon
    interface=$(ask athens routes --json | jq -r '[.routes[] | select(.selected and .destination == "10.10.2.0/24") | .interface][0]')
    ask athens tunnels --json | jq -r --arg i "$interface" '.tunnels[] | select(.interface == $i) | .remote' | tee "$work/remote"
    case $1 in 4) ! grep -q '\[' "$work/remote" ;; 6) grep -q '\[' "$work/remote" ;; esac
}
check_families() {  # MOST
    local ping
    lose athens berlin && lose berlin athens
    check 'without IPv4 athens and berlin talk by IPv6' wait_for 20 by_family 6
    find_again athens && find_again berlin
    in_host athens ping -q -i 0.05 -c 240 -W 1 10.10.2.1 >"$work/ping" 2>&1 &
    ping=$!
    sleep 3
    check 'and go on so when it is there again' by_family 6
    lose athens berlin 6 && lose berlin athens 6
    check 'row 40: IPv6 goes, and they talk by IPv4' wait_for 10 by_family 4
    wait $ping || true
    echo "# $(packets_lost "$work/ping") of 240 packets, one each 50 ms, were lost"
    check "row 40: that costs at most $1 packets" lost_at_most "$1" "$work/ping" && echo "# row 40: $((lost * 50)) ms"
    find_again athens && find_again berlin
    check 'row 40: the kernels have what the nodes tell of' agree athens berlin
}

# What athens hears of cairo is as before; what it sends is lost.
check_one_way() {  # MOST
    local ping
    in_host athens ping -q -i 0.05 -c 200 -W 1 10.10.3.1 >"$work/ping" 2>&1 &
    ping=$!
    sleep 2
    lose cairo athens
    check 'row 37: one direction loses everything, and another way is taken' wait_for 8 direct athens 10.10.3.0/24 olive/berlin
    wait $ping || true
    echo "# $(packets_lost "$work/ping") of 200 packets, one each 50 ms, were lost"
    check "row 37: that costs at most $1 packets" lost_at_most "$1" "$work/ping" && echo "# row 37: $((lost * 50)) ms"
    find_again cairo
    check 'row 37: it is taken again once all is heard' wait_for 30 both_direct
    check 'row 37: by the same SAs' tunnel athens maple/cairo '.came_up == 1'
    check 'row 37: the kernel has what the node tells of' agree athens
}

# check_silence DATAPATH MODE MOST: at most so many of the packets, one each 50 ms, are lost at the cut.
check_silence() {
    local node ping
    build_mesh "$2" "$1"
    for node in "${nodes[@]}"; do start "$node"; done
    check 'every node reaches every other' wait_for 30 reaches athens 10.10.3.1
    check 'athens and cairo talk over their own tunnel' wait_for 40 both_direct

    if [ "$1" = user ] || [ -n "${ARONET_ALL:-}" ]; then
        check_loss
        check_families "$3"
    fi
    in_host athens ping -q -i 0.05 -c 240 -W 1 10.10.3.1 >"$work/ping" 2>&1 &
    ping=$!
    sleep 3  # the traffic is known to flow
    lose athens cairo
    lose cairo athens
    check 'the tunnel is soon trusted no more' wait_for 6 tunnel athens maple/cairo '.trust == "none"'
    wait $ping || true
    echo "# $(packets_lost "$work/ping") of 240 packets, one each 50 ms, were lost"
    check "row 36: a silent cut under traffic costs at most $3 of them" lost_at_most "$3" "$work/ping" && echo "# row 36: $((lost * 50)) ms"
    check 'traffic goes round' direct athens 10.10.3.0/24 olive/berlin
    check 'the SAs have stayed' tunnel athens maple/cairo '.came_up == 1 and .state == "routed"'
    find_again athens
    find_again cairo
    check 'it is trusted once it answers' wait_for 5 tunnel athens maple/cairo '.trust == "full" and .came_up == 1'
    check 'and taken again' wait_for 30 both_direct
    check 'row 36: the kernel has what the node tells of' agree athens
    check_one_way "$3"
    [ -z "${ARONET_ALL:-}" ] || check_outage
    [ "$failures" = 0 ] || { show_logs 20; exit 1; }
}
