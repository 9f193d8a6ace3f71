#!/bin/bash
# Requests with babeld and BIRD, whose periodic updates are a minute apart: whatever is there sooner was asked for or
# triggered. A triangle of two of ours and the peer, with cuts after which only a newer seqno helps, and deaths of each; a row
# in which babeld asks ours by name.
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

# babeld asks by name where a way becomes much dearer: that of ours, dear-near, to ours dear-far, which have two cables.
check_request_by_name() {
    local interfaces='"interfaces": ["dear", "one", {"name": "two", "rxcost": 600}]'
    router dear-far dear-near dear
    link dear-far one dear-near one
    link dear-far two dear-near two
    cable dear-near dear
    address dear-far lo fd20:1::1/128
    record dear-near dear
    ours dear-far "$interfaces"
    ours dear-near "$interfaces"
    babeld_on dear 'interface dear-near type wired hello-interval 1 update-interval 60'
    check 'babeld: it knows a cheap way' wait_for 30 metric_is -lt 300
    sleep 2  # nothing is told any more
    mark
    in_host dear-near ip link set one down
    check 'babeld: the way becomes much dearer' wait_for 30 metric_is -gt 600
    check 'babeld: it asks ours by name' wait_for 10 asked_by_name
    check 'babeld: ours answers it at once' wait_for 3 answered
    stop dear-near
    stop dear-far
    kill_peer dear
}
metric_is() {
    local metric
    metric=$(echo dump | in_host dear socat -t1 - "UNIX-CONNECT:$work/dear.babel" |
        sed -n 's/^add route.* prefix fd20:1::1\/128 .* metric \([0-9]*\) .*/\1/p')
    [ -n "$metric" ] && test "$metric" "$@"
}
# first HOST INTERFACE SINCE WHAT FILTER: when the host first said what tcpdump prints so.
first() {
    tcpdump -tt -vv -n -r "$work/dear-near-dear.pcap" "ether src $(mac_of "$1" "$2") and $5" 2>/dev/null |
        awk -v since="$3" -v what="$4" '/^[0-9]/ { at = $1 } at > since && index($0, what) { print at; exit }' | grep .
}
asked_by_name() { first dear dear-near "$marked" 'Route Request for fd20:1::1/128' ip6 >"$work/asked"; }
answered() {  # to the one that asked, as nothing else is told
    local answer
    answer=$(first dear-near dear "$(cat "$work/asked")" 'fd20:1::1/128 metric 600 ' 'not ip6 multicast') &&
        awk -v a="$answer" -v q="$(cat "$work/asked")" 'BEGIN { print a - q; exit !(a - q < 1) }'
}

# A prefix that is taken back and announced again soon after: babeld keeps such a prefix unreachable for minutes, unless it is
# told at once that it is there again. Its periodic updates do not help: ours are 80 s apart.
check_again() {
    local n=77
    in_host babeld-a ip -6 addr add fd20:$n::1/128 dev lo
    check 'babeld: a prefix is known' wait_for 10 has babeld fd20:$n::1
    in_host babeld-a ip -6 addr del fd20:$n::1/128 dev lo
    check 'babeld: taken back, it is gone' wait_for 10 lacks babeld fd20:$n::1
    sleep 1
    check 'babeld: it holds it unreachable' eval "in_host babeld ip -6 route show fd20:$n::1 | grep unreachable"
    begin
    in_host babeld-a ip -6 addr add fd20:$n::1/128 dev lo
    check 'babeld: a prefix that was taken back and is announced again is there within 2 s (D14)' within 2000 has babeld fd20:$n::1
}

# The direct cable of the two of ours, deleted while packets go over it, and a new one in its place.
check_made_again() {
    check 'babeld: ours go to each other the direct way' wait_for 10 has babeld-a fd20:3::1 'dev babeld-b'
    in_host babeld-a ping -q -i 0.01 -I fd20:1::1 fd20:3::1 >/dev/null 2>&1 &
    local traffic=$!
    sleep 0.5
    begin
    in_host babeld-a ip link del babeld-b
    check 'babeld: an interface that is deleted under traffic is gone round' within 10000 carries babeld-a fd20:3::1 fd20:1::1
    begin
    cable babeld-a babeld-b
    check 'babeld: made again, it is used again within 5 s' within 5000 has babeld-a fd20:3::1 'dev babeld-b'
    kill $traffic
}

with_babeld() {
    start_it() { babeld_on babeld 'default type wired hello-interval 1 update-interval 60' 'interface babeld-a' 'interface babeld-b'; }
    triangle babeld
    start_it
    check_seqno_requests babeld babeld
    check_deaths babeld babeld 15 start_it
    check_again
    check_made_again
    check_request_by_name
}

with_bird() {
    start_it() { bird_on bird 'interface "bird-*" { type wired; hello interval 1 s; update interval 60 s; };'; }
    triangle bird
    start_it
    check_seqno_requests bird BIRD
    check_deaths bird BIRD 15 start_it
}

with_peers "$@"
