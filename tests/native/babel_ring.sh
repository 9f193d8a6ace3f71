#!/bin/bash
# A ring of ours, babeld, ours and BIRD: cut with and without a word, so that ways are asked for by requests through
# daemons of others; and neighbours that lose 30 % of all packets.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

ring=(east north west south)  # north is babeld, south is BIRD
fast='"hello_interval": "1s"'

build_ring() {
    local n=0 name
    router "${ring[@]}"
    cable east north
    cable north west
    cable west south
    cable south east
    for name in "${ring[@]}"; do
        n=$((n + 1))
        address $name lo 10.60.$n.1/32 fd60:$n::1/128
    done
    for name in east west; do
        address $name north 10.61.$n.1/24
        address north $name 10.61.$n.2/24
        n=$((n + 1))
        address $name south 10.61.$n.1/24
        address south $name 10.61.$n.2/24
        n=$((n + 1))
    done
    for name in east west; do
        record $name north
        record $name south
        ours $name "\"interfaces\": [{\"name\": \"north\", $fast}, {\"name\": \"south\", $fast}]"
    done
    babeld_on north 'default type wired hello-interval 1 update-interval 4' 'interface east' 'interface west'
    bird_on south 'interface "east", "west" { type wired; hello interval 1 s; update interval 4 s; };'
}

all_pass() {  # everybody reaches everybody, both families
    local from to n=0 m
    for from in "${ring[@]}"; do
        n=$((n + 1)) m=0
        for to in "${ring[@]}"; do
            m=$((m + 1))
            [ "$from" = "$to" ] && continue
            carries "$from" 10.60.$m.1 10.60.$n.1 && carries "$from" fd60:$m::1 fd60:$n::1 || return 1
        done
    done
}
by() { has east fd60:3::1 "dev $1"; }
requests() {  # FIELD: seqno requests were seen on the cables
    local file found=0
    for file in "$work"/*.pcap; do
        found=$((found + $(tshark -r "$file" -Y 'babel.message.type == 10' 2>/dev/null | wc -l)))
    done
    [ $found -gt 0 ] || { echo 'no seqno request was seen'; return 1; }
}

check_ring() {
    check 'everybody in the ring reaches everybody' wait_for 60 all_pass
    in_host east ip link set north down
    check 'with a cable pulled the ring heals' wait_for 60 all_pass
    check 'the other way round' by south
    in_host east ip link set north up
    in_host east ip addr replace 10.61.4.1/24 dev north
    check 'and is whole again with the cable back' wait_for 60 all_pass
    cut west south
    cut south west
    check 'a cable that silently loses everything is found out' wait_for 90 all_pass
    check 'the other way round' by north
    mend west
    mend south
    check 'and used again' wait_for 60 all_pass
    check 'seqno requests went through the ring' requests
    kill_peer north
    check 'a babeld that dies is gone round' wait_for 60 carries east fd60:3::1 fd60:1::1
    kill_peer south
    check 'and with BIRD dead too there is no way left' wait_for 60 no_way
}
no_way() { ! carries east fd60:3::1 fd60:1::1 && lacks east fd60:3::1; }

# lossy PEER START: 200 routes of each family each way while both ends lose 30 % of all packets. The cable has IPv4 for
# BIRD alone: Debian's has no IPv4 by way of IPv6.
lossy() {
    local p=$1 i
    router "$p-near" "$p"
    cable "$p-near" "$p"
    if [ "$p" = bird ]; then
        address bird-near bird 10.72.0.1/24
        address bird bird-near 10.72.0.2/24
    fi
    record "$p-near" "$p"
    loses "$p-near" 30
    loses "$p" 30
    for i in $(seq 200); do echo "route add fd70:$i::/48 dev lo proto 4"; done >"$work/near6"
    for i in $(seq 200); do echo "route add 10.70.$i.0/24 dev lo proto 4"; done >"$work/near4"
    for i in 4 6; do
        sed 's/fd70/fd71/; s/10.70/10.71/' "$work/near$i" >"$work/far$i"
        in_host "$p-near" ip "-$i" -batch "$work/near$i"
        in_host "$p" ip "-$i" -batch "$work/far$i"
    done
    ours "$p-near" "\"interfaces\": [{\"name\": \"$p\", \"type\": \"lossy\", $fast}],
        \"redistribute\": [{\"protocol\": \"static\"}]"
    "$2" "$p"
    for i in 4 6; do
        check "$p at 30 % loss, IPv$i: 200 routes of ours arrive" wait_for 90 arrived "$p" "$i" 70
        check "$p at 30 % loss, IPv$i: 200 routes of the peer arrive" wait_for 90 arrived "$p-near" "$i" 71
    done
    for i in 4 6; do in_host "$p-near" ip "-$i" route flush proto 4; done
    check "$p at 30 % loss: and go" wait_for 60 none_left "$p"
    for i in 4 6; do in_host "$p-near" ip "-$i" -batch "$work/near$i"; done
    for i in 4 6; do check "$p at 30 % loss, IPv$i: and come again" wait_for 90 arrived "$p" "$i" 70; done
    loses_nothing "$p-near"
    loses_nothing "$p"
    for i in 4 6; do
        check "$p, IPv$i: and are all there when the loss is over" wait_for 30 both_arrived "$p" "$i"
    done
    kill_peer "$p"
    kill_peer "$p-near"
}
arrived() { [ "$(through "$@")" = 200 ] || { through "$@"; return 1; }; }
both_arrived() { arrived "$1" "$2" 70 && arrived "$1-near" "$2" 71; }
none_left() { [ "$(through "$1" 4 70)$(through "$1" 6 70)" = 00 ]; }
lossy_babeld() {
    babeld_on "$1" 'default type wireless hello-interval 1 update-interval 4' "interface $1-near" 'redistribute proto 4'
}
lossy_bird() {
    bird_on "$1" 'interface "*-near" { type wireless; hello interval 1 s; update interval 4 s; };' \
        "protocol static far6 { ipv6; $(seq -f 'route fd71:%.0f::/48 unreachable;' 200) }
        protocol static far4 { ipv4; $(seq -f 'route 10.71.%.0f.0/24 unreachable;' 200) }"
}

needs_namespaces
parts=("$@")
[ $# -gt 0 ] || parts=(in_ring babeld bird)
for part in "${parts[@]}"; do
    if [ "$part" = in_ring ]; then build_ring && check_ring; else lossy "$part" "lossy_$part"; fi
done
check 'tcpdump and tshark can read all that was said' well_formed
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
