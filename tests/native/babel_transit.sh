#!/bin/bash
# Babel daemons of others as neighbours of ours and as transit between two of ours: IPv4, IPv6, IPv4 over IPv6,
# restarts of either side, and whether others can read what we send.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

fast='"hello_interval": "1s"'

# chain PEER: ours A, PEER's daemon, ours B, in a row, each with addresses of its own on its loopback.
chain() {
    local p=$1 host n=0
    router "$p-a" "$p" "$p-b"
    cable "$p-a" "$p"
    cable "$p" "$p-b"
    for host in "$p-a" "$p" "$p-b"; do
        n=$((n + 1))
        address "$host" lo "10.20.$n.1/32" "fd20:$n::1/128"
    done
    record "$p-a" "$p"
    record "$p-b" "$p"
    for host in "$p-a" "$p-b"; do ours "$host" "\"interfaces\": [{\"name\": \"$p\", $fast}]"; done
}
number_links() {
    address "$1-a" "$1" 10.21.1.1/24
    address "$1" "$1-a" 10.21.1.2/24
    address "$1" "$1-b" 10.21.2.2/24
    address "$1-b" "$1" 10.21.2.1/24
}

passes() {  # PEER FAMILY...: between the ends, and between each end and the peer
    local p=$1 family at
    shift
    for family; do
        if [ "$family" = 4 ]; then at=(10.20.1.1 10.20.2.1 10.20.3.1); else at=(fd20:1::1 fd20:2::1 fd20:3::1); fi
        carries "$p-a" "${at[2]}" "${at[0]}" && carries "$p-b" "${at[0]}" "${at[2]}" &&
            carries "$p-a" "${at[1]}" "${at[0]}" && carries "$p" "${at[2]}" "${at[1]}" || return 1
    done
}

check_restarts() {  # PEER START...: of either side; what was known is known again
    local p=$1
    shift
    kill_peer "$p-a"
    start "$p-a"
    check "$p: after kill -9 and restart of ours everything passes again" wait_for 30 passes "$p" 4 6
    kill_peer "$p"
    "$@"
    check "$p: after kill -9 and restart of the peer everything passes again" wait_for 45 passes "$p" 4 6
    stop "$p-b"
    check "$p: a router of ours that stops is missed by the peer" wait_for 10 lacks "$p" fd20:3::1
    check "$p: and by the router of ours behind it" wait_for 10 lacks "$p-a" 10.20.3.1
    start "$p-b"
    check "$p: and is back" wait_for 30 passes "$p" 4 6
}

# A host behind ours, on a cable without IPv4 as well, hears when a packet of its own has come too far: from the address that
# the router of ours has on its loopback, and also when it has none at all (RFC 9229 3).
check_icmp() {
    router babeld-host
    cable babeld-host babeld-a
    address babeld-host babeld-a fe80::1/64
    address babeld-a babeld-host fe80::2/64
    address babeld-host lo 10.22.1.1/32
    in_host babeld-host ip -4 route add default via inet6 fe80::2 dev babeld-a
    in_host babeld-a ip route add 10.22.1.1 via inet6 fe80::1 dev babeld-host
    check 'babeld: ours without IPv4 on its links says by ICMPv4 that a packet has come too far' \
        wait_for 5 too_far 10.20.1.1
    in_host babeld-a ip -4 addr flush dev lo
    check 'babeld: and without any address of IPv4, from 192.0.0.8' wait_for 5 too_far 192.0.0.8
}
too_far() { in_host babeld-host ping -n -c1 -W1 -t1 -I 10.22.1.1 10.20.3.1 | grep "^From $1 .*Time to live exceeded"; }

# Of the TLVs that have an encoding (IHU 5, Next Hop 7, Update 8, requests 9 and 10) only updates have encoding 4.
encodes_updates_alone() {
    tshark -r "$work/babeld-a-babeld.pcap" -Y "eth.src == $(mac_of babeld-a babeld)" -T fields \
        -e babel.message.type -e babel.message.ae 2>/dev/null >"$work/encodings"
    awk -F '\t' '{
        with = split($2, ae, ",")
        n = 0
        of = split($1, type, ",")
        for (i = 1; i <= of; i++) if (type[i] ~ /^(5|7|8|9|10)$/) {
            n++
            if (ae[n] == 4) if (type[i] == 8) updates++; else others++
        }
        if (n != with) others++
    } END { print updates + 0 " updates, " others + 0 " others"; exit !(updates > 0 && others == 0) }' "$work/encodings"
}

with_babeld() {
    start_it() { babeld_on babeld 'default type wired hello-interval 1 update-interval 4' 'interface babeld-a' 'interface babeld-b'; }
    chain babeld
    number_links babeld
    start_it
    check 'babeld: transit between two of ours, IPv4 and IPv6' wait_for 40 passes babeld 4 6
    check 'babeld: IPv4 goes by the IPv4 next hop' has babeld-a 10.20.3.1 'via 10.21.1.2'
    check_restarts babeld start_it
    local end
    for end in a b; do
        in_host "babeld-$end" ip -4 addr flush dev babeld
        in_host babeld ip -4 addr flush dev "babeld-$end"
    done
    check 'babeld: without IPv4 on the links IPv4 passes by IPv6 next hops' wait_for 40 passes babeld 4 6
    check 'babeld: both ends install it so' has babeld-a 10.20.3.1 'via inet6 fe80'
    check_icmp
    check 'babeld: ours has encoding 4 in updates alone (RFC 9229 2.3, 2.4)' encodes_updates_alone
    kill_peer babeld
}

with_bird() {
    start_it() { bird_on bird 'interface "bird-*" { type wired; hello interval 1 s; update interval 4 s; };'; }
    chain bird
    number_links bird
    start_it
    check 'BIRD: transit between two of ours, IPv4 and IPv6' wait_for 60 passes bird 4 6
    check_restarts bird start_it
    kill_peer bird
}

with_frr() {
    if [ ! -x /usr/lib/frr/babeld ]; then echo 'left out: FRR is not installed'; return; fi
    chain frr
    number_links frr
    frr_on frr frr-a frr-b
    if ! kill -0 "${daemon_pid[frr]}" 2>/dev/null; then echo 'left out: FRR does not start here'; return; fi
    check 'FRR: transit between two of ours, IPv4 and IPv6' wait_for 60 passes frr 4 6
    kill_peer frr-a
    start frr-a
    check 'FRR: after kill -9 and restart of ours everything passes again' wait_for 45 passes frr 4 6
}

peers=(babeld bird frr)
with_peers "$@"
