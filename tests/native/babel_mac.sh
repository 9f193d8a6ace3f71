#!/bin/bash
# Authentication (RFC 8967) with babeld, which has one key for an interface, and BIRD, which has several: each algorithm,
# restarts, loss, who is refused, and keys that roll over while everything passes.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

old=00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f
new=ffeeddccbbaa9988776655443322110001f2e3d4c5b6a7988796a5b4c3d2e1f0
declare -A name_in_bird=([hmac-sha256]='hmac sha256' [blake2s128]=blake2s128)

# Two routers with a cable: PEER-a is ours. What passes is recorded.
pair() {
    router "$1-a" "$1"
    cable "$1-a" "$1"
    address "$1-a" lo 10.20.1.1/32 fd20:1::1/128
    address "$1" lo 10.20.2.1/32 fd20:2::1/128
    address "$1-a" "$1" 10.21.1.1/24  # older BIRDs know no IPv4 by way of IPv6
    address "$1" "$1-a" 10.21.1.2/24
    record "$1-a" "$1"
}
passes() { carries "$1-a" fd20:2::1 fd20:1::1 && carries "$1-a" 10.20.2.1 10.20.1.1; }

key() { printf '{"algorithm": "%s", "key": "%s"%s}' "$1" "$2" "${3:+, $3}"; }
# locked PEER KEYS [MORE]: ours, with these keys towards the peer.
locked() { ours "$1-a" "\"interfaces\": [{\"name\": \"$1\", \"hello_interval\": \"1s\", \"mac\": [$2]${3:+, $3}}]"; }

drops() { ask "$1-a" status --json | jq -e ".drops.babel.\"$2\" > 0" >/dev/null; }
refused() { drops "$1" "$2" && ! passes "$1" && lacks "$1-a" fd20:2::1 && lacks "$1" fd20:1::1; }

check_restarts() {  # PEER START
    kill_peer "$1-a"
    start "$1-a"
    check "$1: after kill -9 and restart of ours everything passes again" wait_for 30 passes "$1"
    kill_peer "$1"
    "$2"
    check "$1: after kill -9 and restart of the peer everything passes again" wait_for 30 passes "$1"
}

babeld_with() {  # PEER [KEY LINE]
    if [ -n "${2:-}" ]; then babeld_on "$1" "key id k $2" "interface $1-a type wired hello-interval 1 update-interval 4 key k"
    else babeld_on "$1" "interface $1-a type wired hello-interval 1 update-interval 4"; fi
}

with_babeld() {
    local algorithm p
    for algorithm in hmac-sha256 blake2s128; do
        p=babeld-${algorithm:0:1}
        pair "$p"
        locked "$p" "$(key "$algorithm" $old)"
        start_it() { babeld_with "$p" "type $algorithm value $old"; }
        start_it
        check "babeld, $algorithm: both ways, IPv4 and IPv6" wait_for 30 passes "$p"
        check_restarts "$p" start_it
        loses "$p-a" 30
        loses "$p" 30
        kill_peer "$p-a"
        start "$p-a"
        check "babeld, $algorithm: neighbours find each other at 30 % loss" wait_for 60 has "$p-a" fd20:2::1
        stop "$p-a"
        kill_peer "$p"
    done
    p=stranger
    pair $p
    locked $p "$(key hmac-sha256 $old)"
    babeld_with $p "type hmac-sha256 value $new"
    check 'a babeld with another key is refused' wait_for 20 refused $p 'no MAC of a key of ours'
    kill_peer $p
    babeld_with $p
    check 'a babeld without a key is refused' wait_for 20 refused $p 'packet without a MAC'
    stop $p-a
    locked $p "$(key hmac-sha256 $old)" '"mac_permissive": true'
    check 'and heard where any packet is accepted' wait_for 30 passes $p
    stop $p-a
    kill_peer $p
}

# bird_keys [ALGORITHM SECRET]...: what BIRD signs with and accepts from now on.
bird_keys() {
    : >"$work/bird.keys"
    while [ $# -gt 0 ]; do
        echo "password $(sed 's/../&:/g; s/:$//' <<<"$2") { algorithm ${name_in_bird[$1]}; };" >>"$work/bird.keys"
        shift 2
    done
    [ -z "${daemon_pid[bird]:-}" ] || in_host bird birdc -s "$work/bird.ctl" configure
}
bird_trusts() { in_host bird birdc -s "$work/bird.ctl" show babel neighbors | grep -q ' Yes'; }

# rolls WAY...: that the keys of BIRD change so while nothing is lost on the way.
rolls() {
    bird_keys "$@" && sleep 4 && bird_trusts && passes bird
}

with_bird() {
    pair bird
    start_it() {
        bird_on bird "interface \"bird-a\" { type wired; hello interval 1 s; update interval 4 s; authentication mac;
            include \"$work/bird.keys\"; };"
    }
    local algorithm
    for algorithm in hmac-sha256 blake2s128; do
        bird_keys "$algorithm" $old
        [ -n "${daemon_pid[bird]:-}" ] || start_it
        locked bird "$(key "$algorithm" $old)"
        check "BIRD, $algorithm: both ways, IPv4 and IPv6" wait_for 30 passes bird
        check "BIRD, $algorithm: it takes our packets for authentic" bird_trusts
        stop bird-a
    done
    bird_keys hmac-sha256 $old
    locked bird "$(key hmac-sha256 $old), $(key blake2s128 $new)"
    check 'BIRD with one of our two keys' wait_for 30 passes bird
    nsenter -t "${holder[bird-a]}" -n -m -- ping -i 0.1 -q fd20:2::1 -I fd20:1::1 >"$work/ping" 2>&1 &
    local pinging=$!
    check 'BIRD is given the new key beside the old' rolls hmac-sha256 $old blake2s128 $new
    check 'BIRD is left the new key alone' rolls blake2s128 $new
    kill -INT $pinging
    wait $pinging || true
    check 'nothing was lost meanwhile' grep -q ' 0% packet loss' "$work/ping"
    stop bird-a
    locked bird "$(key hmac-sha256 $old '"sign": false'), $(key blake2s128 $new)"
    check 'the old key is only accepted' wait_for 30 passes bird
    check_restarts bird start_it
    bird_keys hmac-sha256 $new
    check 'a secret for another algorithm is another key' wait_for 30 drops bird 'no MAC of a key of ours'
    stop bird-a
    check_restarted_roll_over
    kill_peer bird
}

# Ours is given other keys by a restart each time, and BIRD follows.
check_restarted_roll_over() {
    local old_key new_key
    old_key=$(key hmac-sha256 $old) new_key=$(key hmac-sha256 $new)
    again() { stop bird-a && locked bird "$1" && wait_for 30 passes bird; }
    bird_keys hmac-sha256 $old
    locked bird "$old_key"
    check 'roll-over by restarts: the old key' wait_for 30 passes bird
    check 'roll-over by restarts: ours comes back with the old and the new' again "$old_key, $new_key"
    check 'roll-over by restarts: BIRD takes both' rolls hmac-sha256 $old hmac-sha256 $new
    check 'roll-over by restarts: ours comes back with the new alone' again "$new_key"
    check 'roll-over by restarts: BIRD takes the new alone' rolls hmac-sha256 $new
    bird_keys hmac-sha256 $old
    check 'roll-over by restarts: the old is refused from then on' wait_for 30 refused bird 'no MAC of a key of ours'
    stop bird-a
}

with_peers "$@"
