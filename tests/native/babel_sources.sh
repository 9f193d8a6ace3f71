#!/bin/bash
# Source-specific routes (RFC 9079) with babeld and BIRD, as neighbours and as transit between two of ours: a row of ours C,
# ours A, the peer and ours B, whose two ends lead the same prefix for different sources. Packets are counted where they
# arrive, so it is the kernels that tell them apart.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

fast='"hello_interval": "1s"'
to=fd80::1 near=fd80:0:0:1::1  # of both ends; only C leads to $near for whatever source

# leads HOST PREFIX [SOURCE]: from now on the host announces it.
leads() { in_host "$1" ip -6 route add "$2" ${3:+from "$3"} dev lo proto 4; }

row() {
    local p=$1 host n=0
    router "$p-c" "$p-a" "$p" "$p-b"
    cable "$p-c" "$p-a"
    cable "$p-a" "$p"
    cable "$p" "$p-b"
    for host in "$p-c" "$p-a" "$p" "$p-b"; do
        n=$((n + 1))
        address "$host" lo "fd91::$n/128" "fd92::$n/128"
    done
    for host in "$p-c" "$p-b"; do
        address "$host" lo $to/128 $near/128
        in_host "$host" nft 'add table inet seen; add chain inet seen in { type filter hook input priority 0; };
            add rule inet seen in icmpv6 type echo-request counter'
    done
    leads "$p-b" fd80::/32 fd91::/32
    leads "$p-c" fd80::/32 fd92::/32
    record "$p-a" "$p"
    record "$p-b" "$p"
    local own='"redistribute": [{"local": true, "prefix": "fd80::/16", "deny": true}, {"local": true}, {"protocol": "static"}]'
    ours "$p-c" "\"interfaces\": [{\"name\": \"$p-a\", $fast}], $own"
    ours "$p-a" "\"interfaces\": [{\"name\": \"$p-c\", $fast}, {\"name\": \"$p\", $fast}]"
    ours "$p-b" "\"interfaces\": [{\"name\": \"$p\", $fast}], $own"
}

seen() { in_host "$1" nft list table inet seen | sed -n 's/.*counter packets \([0-9]*\).*/\1/p'; }
# arrives FROM SOURCE TO END OTHER: what FROM says to TO under the source is answered, by the one end and not by the other.
arrives() {
    local there other
    there=$(seen "$4") other=$(seen "$5")
    carries "$1" "$3" "$2" && [ "$(seen "$4")" -gt "$there" ] && [ "$(seen "$5")" = "$other" ]
}
from_source() { in_host "$1" ip -6 route show "$2" | grep -q "from $3 .*via"; }
lacks_source() { ! from_source "$@"; }

check_sources() {  # PEER NAME
    local p=$1 b=$1-b c=$1-c
    check "$2: a source-specific route of ours crosses it to another of ours" wait_for 40 from_source "$p-a" fd80::/32 fd91::/32
    check "$2: two such routes to one prefix are apart in its own kernel" wait_for 20 from_source "$p" fd80::/32 fd92::/32
    check "$2: what ours says under one source goes through it" wait_for 20 arrives "$p-a" fd91::2 $to "$b" "$c"
    check "$2: and under the other source the other way" wait_for 20 arrives "$p-a" fd92::2 $to "$c" "$b"
    check "$2: what it says itself goes two ways" wait_for 20 arrives "$p" fd91::3 $to "$b" "$c"
    check "$2: by the source" wait_for 20 arrives "$p" fd92::3 $to "$c" "$b"
    leads "$c" fd80:0:0:1::/64
    check "$2: a longer prefix for all sources comes through it" wait_for 20 has "$p" fd80:0:0:1::/64
    check "$2: the destination is looked at first (RFC 9079 3): the longer prefix wins, at ours" \
        wait_for 20 arrives "$p-a" fd91::2 $near "$c" "$b"
    check "$2: and at the peer" wait_for 20 arrives "$p" fd91::3 $near "$c" "$b"
    check "$2: a source-specific route of its own comes to ours" wait_for 40 from_source "$p-a" fd81::/32 fd91::/32
    check "$2: on both sides, to the end" wait_for 20 from_source "$c" fd81::/32 fd91::/32
    in_host "$b" ip -6 route del fd80::/32 from fd91::/32 dev lo
    check "$2: a route withdrawn is gone behind it, for its source alone" wait_for 20 lacks_source "$c" fd80::/32 fd91::/32
    check "$2: while the other stays" from_source "$p" fd80::/32 fd92::/32
}

with_babeld() {
    row babeld
    leads babeld fd81::/32 fd91::/32
    babeld_on babeld 'default type wired hello-interval 1 update-interval 4' 'interface babeld-a' 'interface babeld-b' \
        'redistribute proto 4'
    check_sources babeld babeld
}

with_bird() {
    row bird
    bird_v6='ipv6 sadr' bird_on bird 'interface "bird-*" { type wired; hello interval 1 s; update interval 4 s; };' \
        'protocol static { ipv6 sadr; route fd81::/32 from fd91::/32 unreachable; }'
    check_sources bird BIRD
}

with_peers "$@"
