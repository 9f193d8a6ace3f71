#!/bin/bash
# Requests with babeld and BIRD, whose periodic updates are a minute apart: whatever is there sooner was asked for or
# triggered. A triangle of two of ours and the peer, with cuts after which only a newer seqno helps, and deaths of each.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

# triangle PEER: ours PEER-a and PEER-b, each with a cable to the other and to the peer, all of the same cost.
triangle() {
    local p=$1
    in_line "$p-a" "$p" "$p-b"
    cable "$p-a" "$p-b"
    record "$p-a" "$p"
    record "$p-b" "$p"
    record "$p-a" "$p-b"
    ours "$p-a" "\"interfaces\": [\"$p\", \"$p-b\"]"
    ours "$p-b" "\"interfaces\": [\"$p\", \"$p-a\"]"
}

passes() {
    local p=$1
    carries "$p-a" fd20:2::1 fd20:1::1 && carries "$p-a" fd20:3::1 fd20:1::1 && carries "$p-b" fd20:2::1 fd20:3::1
}
is_direct() { passes "$1" && has "$1-a" fd20:3::1 "dev $1-b" && has "$1" fd20:3::1 "dev $1-b"; }

# said CABLE HOST INTERFACE FILTER: tshark's filter holds for something that the host said since mark() on the cable, as
# CABLE.pcap recorded it.
said() {
    tshark -r "$work/$1.pcap" -Y "eth.src == $(mac_of "$2" "$3") && frame.time_epoch > $marked && $4" 2>/dev/null | grep -q .
}
mark() { marked=$(date +%s.%N); }
wildcard='babel.message.type == 9 && babel.message.ae == 0'
seqno='babel.message.type == 10'

# The peer may also have had the newer seqno already: then it is asked for another.
passed_on() {
    for _ in 1 2 3; do
        wait_for 3 said "$1-b-$1" "$1" "$1-b" "$seqno" && return
        in_host "$1-a" ip link set "$1-b" up
        wait_for 90 is_direct "$1" || return 1
        in_host "$1-a" ip link set "$1-b" down
        wait_for 10 passes "$1" || return 1
    done
    return 1
}

check_seqno_requests() {  # PEER NAME
    local p=$1
    check "$2: both go to the other of ours the direct way" wait_for 90 is_direct "$p"
    mark
    in_host "$p-a" ip link set "$p-b" down
    check "$2: after a cut ours gets through the peer what only a newer seqno makes feasible" wait_for 10 passes "$p"
    check "$2: ours asked the peer for it" wait_for 3 said "$p-a-$p" "$p-a" "$p" "$seqno"
    check "$2: the peer passed that on to ours" passed_on "$p"
    in_host "$p-a" ip link set "$p-b" up
    check "$2: the direct way is back" wait_for 90 is_direct "$p"
    mark
    in_host "$p" ip link set "$p-b" down
    check "$2: after another cut the peer gets through ours what it asks for" wait_for 30 passes "$p"
    check "$2: it asked ours" wait_for 3 said "$p-a-$p" "$p" "$p-a" "$seqno"
    check "$2: ours passed that on" wait_for 3 said "$p-a-$p-b" "$p-a" "$p-b" "$seqno"
    in_host "$p" ip link set "$p-b" up
    check "$2: with all cables back everybody is reached" wait_for 10 passes "$p"
}

# Each dies without a word and is back long before a periodic update.
check_deaths() {  # PEER NAME SECONDS START
    local p=$1
    sleep 11  # babeld ignores wildcard requests for so long after it told everything
    mark
    kill_peer "$p-a"
    start "$p-a"
    check "$2: ours, killed and started again, has everything back within 10 s" wait_for 10 passes "$p"
    check "$2: because it asked" wait_for 3 said "$p-a-$p" "$p-a" "$p" "$wildcard"
    mark
    kill_peer "$p"
    $4
    check "$2: killed and started again, it has everything back within $3 s" wait_for "$3" passes "$p"
    check "$2: because it asked ours" wait_for 3 said "$p-a-$p" "$p" "$p-a" "$wildcard"
    mark
    stop "$p-b"
    check "$2: what ours takes back as it stops is soon gone" wait_for 10 lacks "$p" fd20:3::1
    start "$p-b"
    check "$2: and back within 10 s" wait_for 10 passes "$p"
}

with_babeld() {
    start_it() { babeld_on babeld 'default type wired hello-interval 1 update-interval 60' 'interface babeld-a' 'interface babeld-b'; }
    triangle babeld
    start_it
    check_seqno_requests babeld babeld
    check_deaths babeld babeld 15 start_it
}

with_bird() {
    start_it() { bird_on bird 'interface "bird-*" { type wired; hello interval 1 s; update interval 60 s; };'; }
    triangle bird
    start_it
    check_seqno_requests bird BIRD
    check_deaths bird BIRD 15 start_it
}

with_peers "$@"
