#!/bin/bash
# Babel daemons of others between two of ours where packets are authenticated (RFC 8967), late (RFC 9616) or lost. All rows
# stand beside each other at one time, so that they wait together.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

fast='"hello_interval": "1s"'
right=00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f
wrong=ffeeddccbbaa9988776655443322110001f2e3d4c5b6a7988796a5b4c3d2e1f0
locked=(sha-babeld sha-bird blake-babeld blake-bird)
lossy=(lossy-babeld lossy-bird)
late='late-babeld'
declare -A algorithm_of=([sha]=hmac-sha256 [blake]=blake2s128) name_in_bird=([sha]='hmac sha256' [blake]=blake2s128)
many=60

# row NAME: ours NAME-a, the peer and ours NAME-b. The cables have IPv4; babeld's second has none, so that IPv4 goes by IPv4 on
# the one and by IPv6 on the other (RFC 9229).
row() {
    local p=$1 host n=0
    in_line "$p-a" "$p" "$p-b"
    for host in "$p-a" "$p" "$p-b"; do
        n=$((n + 1))
        address "$host" lo "10.20.$n.1/32"
    done
    address "$p-a" "$p" 10.21.1.1/24
    address "$p" "$p-a" 10.21.1.2/24
    if [[ $p = *-bird ]]; then
        address "$p-b" "$p" 10.21.2.1/24
        address "$p" "$p-b" 10.21.2.2/24
    fi
    record "$p-a" "$p"
    record "$p-b" "$p"
}
passes() {  # NAME: between the ends, and between each of them and the peer, both families
    local p=$1
    carries "$p-a" 10.20.3.1 10.20.1.1 && carries "$p-a" fd20:3::1 fd20:1::1 && carries "$p-a" 10.20.2.1 10.20.1.1 &&
        carries "$p-a" fd20:2::1 fd20:1::1 && carries "$p" 10.20.3.1 10.20.2.1 && carries "$p" fd20:3::1 fd20:2::1
}

# ours_locked NAME a|b KEY [MORE]: ours at that end, with this key.
ours_locked() {
    ours "$1-$2" "\"interfaces\": [{\"name\": \"$1\", $fast,
        \"mac\": [{\"algorithm\": \"${algorithm_of[${1%-*}]}\", \"key\": \"$3\"}]${4:+, $4}}]"
}
start_locked() {  # NAME: the peer, with the right key on both cables
    local p=$1
    case $p in
        *-babeld) babeld_on "$p" "key id k type ${algorithm_of[${p%-*}]} value $right" \
            'default type wired hello-interval 1 update-interval 4 key k' "interface $p-a key k" "interface $p-b key k" ;;
        *) bird_on "$p" "interface \"$p-*\" { type wired; hello interval 1 s; update interval 4 s; authentication mac;
            password $(sed 's/../&:/g; s/:$//' <<<$right) { algorithm ${name_in_bird[${p%-*}]}; }; };" ;;
    esac
}
drops() { ask "$1-b" status --json | jq -e '.drops.babel."not authentic, but accepted as configured" > 0' >/dev/null; }
refused() { lacks "$1-a" 10.20.3.1 && lacks "$1-a" fd20:3::1 && lacks "$1-b" fd20:1::1 && ! passes "$1"; }

check_locked() {
    local p
    for p in "${locked[@]}"; do check "$p: authenticated transit, IPv4 and IPv6" wait_for 60 passes "$p"; done
    for p in sha-babeld blake-babeld; do
        check "$p: IPv4 goes by an IPv4 next hop on the one cable" has "$p-a" 10.20.3.1 'via 10.21.1.2'
        check "$p: and by an IPv6 next hop on the other" has "$p-b" 10.20.1.1 'via inet6 fe80'
    done
}
check_locked_restarts() {
    local p
    for p in "${locked[@]}"; do
        kill_peer "$p-a"
        kill_peer "$p"
        start "$p-a"
        start_locked "$p"
    done
    for p in "${locked[@]}"; do
        check "$p: after kill -9 and restart of the peer and one of ours it is transit again" wait_for 60 passes "$p"
    done
}
# Ours hears whatever there is then, so that it is the peer that refuses.
check_wrong_key() {
    local p
    for p in "${locked[@]}"; do
        stop "$p-b"
        ours_locked "$p" b $wrong '"mac_permissive": true'
    done
    for p in "${locked[@]}"; do check "$p: ours with another key hears the peer" wait_for 30 drops "$p"; done
    sleep 3
    for p in "${locked[@]}"; do check "$p: and is not heard" refused "$p"; done
    for p in "${locked[@]}"; do
        stop "$p-b"
        ours_locked "$p" b $right
    done
    for p in "${locked[@]}"; do check "$p: but with the right key again" wait_for 60 passes "$p"; done
}

# What goes between one of ours and babeld is late from some time on; the two of ours have a dear cable of their own.
timed='"type": "tunnel", "rtt_cost": 500, "rtt_min": "10ms", "rtt_max": "120ms"'
build_late() {
    local p=$late often='"hello_interval": "400ms"'
    router $p-a $p $p-b
    add_host $p-wire
    link $p-a $p $p-wire left
    link $p $p-a $p-wire right
    cable $p $p-b
    cable $p-a $p-b
    address $p-a lo 10.20.1.1/32 fd20:1::1/128
    address $p-b lo 10.20.3.1/32 fd20:3::1/128
    in_host $p-a ip link set $p-b down
    record $p-a $p
    record $p-b $p
    delay 0
    run_peer $p-wire "$root/tests/late.py" left right "$work/delay"
    ours $p-a "\"interfaces\": [{\"name\": \"$p\", $often, $timed}, {\"name\": \"$p-b\", $often, \"rxcost\": 300}]"
    ours $p-b "\"interfaces\": [{\"name\": \"$p\", $often, $timed}, {\"name\": \"$p-a\", $often, \"rxcost\": 300}]"
    babeld_on $p 'default type tunnel hello-interval 0.4 update-interval 4 enable-timestamps true' \
        "interface $p-a rtt-min 10 rtt-max 120 max-rtt-penalty 500" "interface $p-b rtt-min 10 rtt-max 120 max-rtt-penalty 500"
}
delay() {  # MILLISECONDS, each way
    echo "$1" >"$work/delay.new"
    mv "$work/delay.new" "$work/delay"
}
goes_by() { has $late-a fd20:3::1 "dev $1 " && has $late-b fd20:1::1 "dev $2 "; }
measures() { neighbours $late-a "any(.interface == \"$late\" and $1)"; }
# peer_has NAME LOW HIGH: of what babeld knows of its neighbour beyond the late cable.
peer_has() {
    local value
    value=$(echo dump | in_host $late socat -t1 - "UNIX-CONNECT:$work/$late.babel" |
        sed -n "s/^add neighbour.* if $late-a .* $1 \([0-9]*\).*/\1/p")
    [ -n "$value" ] && [ "$value" -ge "$2" ] && [ "$value" -le "$3" ] || { echo "$1 ${value:-is not known}"; return 1; }
}

build_lossy() {
    local p host number family
    for p in "${lossy[@]}"; do
        row "$p"
        for host in "$p-a" "$p" "$p-b"; do loses "$host" 30; done
        for host in a b; do
            number=$([ $host = a ] && echo 70 || echo 71)
            for i in $(seq $many); do echo "route add fd$number:$i::/48 dev lo proto 4"; done >"$work/$host.6"
            for i in $(seq $many); do echo "route add 10.$number.$i.0/24 dev lo proto 4"; done >"$work/$host.4"
            for family in 4 6; do in_host "$p-$host" ip -$family -batch "$work/$host.$family"; done
            ours "$p-$host" "\"interfaces\": [{\"name\": \"$p\", \"type\": \"lossy\", $fast}],
                \"redistribute\": [{\"protocol\": \"static\"}]"
        done
    done
    babeld_on lossy-babeld 'default type wireless hello-interval 1 update-interval 4' \
        'interface lossy-babeld-a' 'interface lossy-babeld-b'
    bird_on lossy-bird 'interface "lossy-*" { type wireless; hello interval 1 s; update interval 4 s; };'
}
arrived() { [ "$(through "$@")" = $many ] || { through "$@"; return 1; }; }
both_arrived() { arrived "$1-b" "$2" 70 && arrived "$1-a" "$2" 71; }
all_arrived() { both_arrived "$1" 4 && both_arrived "$1" 6; }
none_left() { [ "$(through "$1-b" 4 70)$(through "$1-b" 6 70)" = 00 ]; }
# stay NAME: notes for twelve seconds how often all routes are there.
stay() {
    local i
    for i in $(seq 24); do
        if all_arrived "$1" >/dev/null; then echo there; else echo missing; fi
        sleep 0.5
    done >"$work/$1.stay"
}
mostly_there() {
    sort "$work/$1.stay" | uniq -c
    [ "$(grep -c there "$work/$1.stay")" -ge 12 ]
}

needs_namespaces
for name in "${locked[@]}"; do
    row "$name"
    ours_locked "$name" a $right
    ours_locked "$name" b $right
    start_locked "$name"
done
build_lossy
build_late

check_locked
check 'late: without a delay the way through babeld is taken from either end' wait_for 40 goes_by $late $late
in_host $late-a ip link set $late-b up
delay 25
for name in "${lossy[@]}"; do
    for family in 4 6; do
        check "$name: 30 % of all packets are lost by each, $many IPv$family routes of either end arrive at the other" \
            wait_for 90 both_arrived "$name" $family
    done
    stay "$name" &
    staying+=($!)
done
check_locked_restarts
check 'late: ours measures the delay' wait_for 60 measures '.rtt_ms > 45 and .rtt_ms < 110'
check 'late: and its cost rises' wait_for 20 measures '.cost > 96 + 100'
check 'late: babeld measures it, too' wait_for 60 peer_has rtt 45 110
check 'late: and so does its cost' wait_for 20 peer_has cost 200 600
check 'late: ours goes the other way, and so does the one behind babeld, to whom its cost was announced' \
    wait_for 60 goes_by $late-b $late-a
delay 0
check_wrong_key
wait "${staying[@]}"
for name in "${lossy[@]}"; do
    check "$name: they stay while packets are lost" mostly_there "$name"
    for family in 4 6; do in_host "$name-a" ip -$family route flush proto 4; done
done
for name in "${lossy[@]}"; do
    check "$name: what is withdrawn goes" wait_for 90 none_left "$name"
    for family in 4 6; do in_host "$name-a" ip -$family -batch "$work/a.$family"; done
done
for name in "${lossy[@]}"; do
    check "$name: and comes again" wait_for 90 all_arrived "$name"
done
check 'late: without a delay again the way through babeld is taken' wait_for 90 goes_by $late $late
check 'tcpdump and tshark can read all that was said' well_formed
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
