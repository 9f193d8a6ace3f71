#!/bin/bash
# Streams of numbered packets from ours past babeld or BIRD, while a cable goes down or silently loses everything: what is
# lost says how soon it was noticed. Intervals are those nobody chose.
# Alone: it counts what is lost in fractions of a second.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

# diamond PEER: from SRC to DST, both ours, it is near by way of PEER and far by way of WAY, ours as well; back it is nearer
# by way of WAY, so that all that is lost is lost because of SRC. IPv6 alone, as BIRD has no IPv4 by way of it.
diamond() {
    local p=$1 host n=0
    router "$p-src" "$p" "$p-way" "$p-dst"
    cable "$p-src" "$p"
    cable "$p" "$p-dst"
    cable "$p-src" "$p-way"
    cable "$p-way" "$p-dst"
    # Whoever records on an interface that goes down records no more: it is that of babeld-src, and that of bird.
    if [ "$p" = babeld ]; then record babeld babeld-src; else record bird-src bird; fi
    record "$p-dst" "$p-way"
    for host in "$p-src" "$p" "$p-way" "$p-dst"; do
        n=$((n + 1))
        address "$host" lo "fd20:$n::1/128"
    done
    ours "$p-src" "\"interfaces\": [{\"name\": \"$p\", \"rxcost\": 5000}, {\"name\": \"$p-way\", \"rxcost\": 1000}]"
    ours "$p-way" "\"interfaces\": [{\"name\": \"$p-*\", \"rxcost\": 1000}]"
    ours "$p-dst" "\"interfaces\": [\"$p\", {\"name\": \"$p-way\", \"rxcost\": 1000}]"
}
goes_by() { has "$1-src" fd20:4::1 "dev $2 proto" && has "$1-dst" fd20:1::1 "dev $1-way proto"; }

settled() { goes_by "$1" "$1" && sleep 1 && goes_by "$1" "$1"; }

rate=200  # packets a second, each way
stream() { exec nsenter -t "${holder[$1]}" -n -m -- "${aronet%/*}/tests/aronet-stream" "$2" 6000 $rate; }
# lost_by NAME: of all that SRC sent.
lost_by() { sed -n 's/^lost \([0-9]*\) of .*/\1/p' "$work/$1.dst"; }
lost_in() { [ "$(lost_by "$1")" -le $((rate * $2 / 1000)) ] || { cat "$work/$1.dst"; return 1; }; }
lost_some() { [ "$(lost_by "$1")" -gt 0 ]; }

# during WHAT PEER MILLISECONDS COMMAND...: what it costs, in packets.
during() {
    local what=$1 p=$2 most=$3 name=${1// /-}
    shift 3
    check "$what: it goes by way of the peer before" wait_for 60 settled "$p"
    stream "$p-src" fd20:4::1 >"$work/$name.src" 2>&1 &
    local src=$!
    stream "$p-dst" fd20:1::1 >"$work/$name.dst" 2>&1 &
    local dst=$!
    sleep 2
    check "$what: and with traffic" goes_by "$p" "$p"
    "$@"
    sleep 2
    check "$what: then by the other way" goes_by "$p" "$p-way"
    kill -TERM $src $dst
    wait $src
    wait $dst
    echo "# $what: $(head -n 1 "$work/$name.dst"), $rate a second"
    check "$what: at most $most ms of it are lost" lost_in "$name" "$most"
}

silent_cut() { cut "$1" "$1-src" && cut "$1-src" "$1"; }  # what it sends is lost from the first moment
check_silent_cut() {  # PEER NAME
    during "$2, a silent cut" "$1" 2000 silent_cut "$1"
    check "$2, a silent cut: some was lost" lost_some "$2,-a-silent-cut"
}
check_interface_down() {
    during "$2, the interface goes down" "$1" 300 in_host "$1-src" ip link set "$1" down
    in_host "$1-src" ip link set "$1" up
}
check_carrier() {
    during "$2, the carrier goes" "$1" 300 in_host "$1" ip link set "$1-src" down
    in_host "$1" ip link set "$1-src" up
}

start_babeld() { babeld_on babeld 'interface babeld-src type wired' 'interface babeld-dst type wired'; }
start_bird() { bird_on bird 'interface "bird-*" { type wired; };'; }
declare -A name_of=([babeld]=babeld [bird]=BIRD)

needs_namespaces
[ $# -gt 0 ] || set -- babeld bird
for peer; do
    diamond "$peer"
    "start_$peer"
done
# While one is tried the other finds back to its near way.
for peer; do
    if [ "$peer" = babeld ]; then check_interface_down babeld babeld; else check_carrier bird BIRD; fi
done
for peer; do check_silent_cut "$peer" "${name_of[$peer]}"; done
check 'tcpdump and tshark can read all that was said' well_formed
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
