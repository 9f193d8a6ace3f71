#!/bin/bash
# What is taken back: a router of ours that is asked to stop says so to babeld and BIRD at once, long before a Hello could be
# missed; and a prefix that is lost is unreachable while somebody has not confirmed that it is.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

# line PEER: ours, called PEER, between PEER-a and PEER-b, both of others.
line() {
    local p=$1
    in_line "$p-a" "$p" "$p-b"
    record "$p-a" "$p"
    record "$p-b" "$p"
    ours "$p" '"interfaces": ["'"$p"'-*"]'
}
all_known() { has "$1-a" fd20:2::1 && has "$1-a" fd20:3::1 && has "$1-b" fd20:2::1 && has "$1-b" fd20:1::1; }
left_all() { lacks "$1-a" fd20:2::1 && lacks "$1-a" fd20:3::1 && lacks "$1-b" fd20:2::1 && lacks "$1-b" fd20:1::1; }

route_to_b() { in_host "$1" ip -6 route show fd20:3::1; }
is_held() { route_to_b "$1" | grep -q '^unreachable'; }
is_gone() { [ -z "$(route_to_b "$1")" ]; }

check_leaving() {  # PEER NAME
    local p=$1
    check "$2: everything is known" wait_for 40 all_known "$p"
    cut "$p" "$p-a"
    begin
    in_host "$p" ip link set "$p-b" down
    check "$2: a prefix that is lost while a neighbour cannot confirm it is unreachable" within 500 is_held "$p"
    check "$2: that neighbour is told" within 1000 lacks "$p-a" fd20:3::1
    sleep 2
    check "$2: it is held still" is_held "$p"
    mend "$p"
    check "$2: confirmed, it is held no longer" wait_for 10 is_gone "$p"
    in_host "$p" ip link set "$p-b" up
    check "$2: it comes back" wait_for 40 all_known "$p"
    begin
    kill -TERM "${daemon_pid[$p]}"
    check "$2: what ours takes back as it stops is gone within 1 s on both sides" within 1000 left_all "$p"
    check "$2: it ends with exit status 0" wait "${daemon_pid[$p]}"
}

with_babeld() {
    line babeld
    for end in a b; do babeld_on babeld-$end 'interface babeld type wired'; done
    check_leaving babeld babeld
}
with_bird() {
    line bird
    for end in a b; do bird_on bird-$end 'interface "bird" { type wired; };'; done
    check_leaving bird BIRD
}

with_peers "$@"
