#!/bin/bash
# A plain router of ours between babeld and what the kernel has: redistribution, filters, how routes are installed,
# source-specific routes, round-trip times, and interfaces that come, change and go.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

static() { in_host ours ip route replace "$1" dev stub proto 4; }

build() {
    router ours peer host
    cable ours peer
    link ours stub host eth0
    address ours peer 10.31.0.1/24
    address peer ours 10.31.0.2/24
    address ours stub 10.32.0.1/24
    address peer lo 10.41.0.1/32 10.42.0.1/32 10.43.0.1/32 fd41::1/128
    record ours peer
}

check_redistribution() {
    for prefix in 10.51.0.0/16 10.51.1.0/24 10.51.1.128/25 10.52.0.0/16 fd52::/32; do static $prefix; done
    in_host ours ip route add 10.53.0.0/16 dev stub proto boot
    ours ours '"interfaces": [{"name": "peer", "type": "tunnel", "hello_interval": "1s",
            "import": [{"prefix": "10.42.0.0/16", "deny": true}, {"prefix": "10.43.0.0/16", "metric": 1000}],
            "export": [{"prefix": "fd53::/16", "deny": true}]}],
        "redistribute": [{"prefix": "10.52.0.0/16", "deny": true}, {"local": true, "interface": "stub"},
            {"protocol": "static", "min_length": 16, "max_length": 24, "metric": 77},
            {"protocol": "static", "prefix": "fd00::/8"}],
        "install": [{"prefix": "10.41.0.0/16", "pref_src": "10.32.0.1", "table": 100, "metric": 9}]'
    babeld_on peer 'default type tunnel hello-interval 1 update-interval 4' 'interface ours' \
        'redistribute ip 2001:db8:3::/48 src-ip 2001:db8:4::/48' 'redistribute proto 4'
    check 'a static route within the lengths is announced' wait_for 30 has peer 10.51.0.0/16
    check 'and so is one of the longest length' has peer 10.51.1.0/24
    check 'a longer one is not' lacks peer 10.51.1.128/25
    check 'a denied one is not' lacks peer 10.52.0.0/16
    check 'one that was tried by hand is not' lacks peer 10.53.0.0/16
    check 'an IPv6 one is' has peer fd52::/32
    check 'the address of the stub is' has peer 10.32.0.1
    check 'the address of the cable is not' lacks peer 10.31.0.1
    static 10.54.0.0/16
    check 'a new route is announced at once' wait_for 3 has peer 10.54.0.0/16
    in_host ours ip route del 10.54.0.0/16
    check 'and withdrawn at once' wait_for 3 lacks peer 10.54.0.0/16
}

# IPv4 routes go with their link without a notice.
check_vanishing() {
    in_host ours ip link set stub down
    check 'routes over a link that is down are withdrawn' wait_for 5 lacks peer 10.51.0.0/16
    in_host ours ip link set stub up
    check 'and not announced while the kernel does not have them' lacks peer 10.51.0.0/16
    static 10.51.0.0/16
    check 'but when it has them again' wait_for 5 has peer 10.51.0.0/16
}

metric_of() { ask ours routes --json | jq -e ".routes[] | select(.destination == \"$1\") | .metric $2" >/dev/null; }
installed_elsewhere() { in_host ours ip route show table 100 10.41.0.1 | grep 'src 10.32.0.1' | grep -q 'metric 9'; }

check_filters() {
    check 'what install says is in its table with its source and priority' wait_for 10 installed_elsewhere
    check 'and not in another' lacks ours 10.41.0.1
    check 'what the import filter denies is not learned' lacks ours 10.42.0.1
    check 'what it makes dearer is' wait_for 10 has ours 10.43.0.1
    check 'by so much' metric_of 10.43.0.1/32 '> 1000'
    static fd53::/32
    sleep 2
    check 'what the export filter denies is not announced' lacks peer fd53::/32
}

from_source() { in_host "$1" ip -6 route show "$2" | grep -q "from $3 .*via"; }

check_source_specific() {
    in_host ours ip -6 route add fd58::/32 from fd59::/32 dev stub proto 4
    check 'a source-specific route of ours reaches babeld' wait_for 10 from_source peer fd58::/32 fd59::/32
    in_host peer ip -6 route add fd68::/32 from fd69::/32 dev lo proto 4
    check 'and one of babeld reaches ours' wait_for 40 from_source ours fd68::/32 fd69::/32
    in_host ours ip -6 route del fd58::/32 from fd59::/32 dev stub
    check 'and goes again' wait_for 5 lacks_from
}
lacks_from() { ! from_source peer fd58::/32 fd59::/32; }

peer_measures() { echo dump | in_host peer socat -t1 - "UNIX-CONNECT:$work/peer.babel" | grep -q 'add neighbour.* rtt [0-9]'; }

check_rtt() {
    check 'ours measures the round-trip time to babeld' wait_for 10 neighbours ours 'any(.rtt_ms != null and .rtt_ms < 100)'
    check 'and babeld that to ours' wait_for 10 peer_measures
}

running_as() { ask ours status --json | jq -e ".interfaces[] | select(.interface == \"peer\") | $1" >/dev/null; }

check_following() {
    in_host ours ip link set peer down
    check 'an interface that goes down is left with its routes' wait_for 5 lacks ours fd41::1
    check 'and the status says so' running_as '.state == "down"'
    in_host ours ip link set peer up
    check 'back up it learns again' wait_for 20 has ours fd41::1
    in_host ours ip -6 addr flush dev peer scope link
    check 'without a link-local address it does not run' wait_for 5 running_as '.state == "no link-local address"'
    in_host ours ip addr add fe80::77/64 dev peer nodad
    check 'with another it does' wait_for 20 has ours fd41::1
    check 'under that one' running_as '.link_local == "fe80::77"'
    in_host ours ip link set peer mtu 1300
    check 'another MTU is taken over' wait_for 5 running_as '.mtu == 1300'
    in_host ours ip link del peer
    check 'a removed interface is gone' wait_for 5 running_as '.state == "absent"'
    cable ours peer
    check 'and a new one of its name is used' wait_for 30 has ours fd41::1
}

check_end() {
    in_host ours ip route show table all proto 140 >"$work/before"
    check 'ours stops with exit status 0' stop ours
    in_host ours ip route show table all proto 140 >"$work/after"
    in_host ours ip -6 route show table all proto 140 >>"$work/after"
    check 'it had routes, and leaves none' test -s "$work/before" -a ! -s "$work/after"
}

needs_namespaces
build
check_redistribution
check_vanishing
check_filters
check_source_specific
check_rtt
check_following
check_end
check 'tcpdump and tshark can read all that was said' well_formed
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
