#!/bin/bash
# Two Babel interfaces of one router of ours, a babeld behind each, settings on one of the two alone: filters, costs, split
# horizon; what redistributed metrics, costs and horizons are to a neighbour; IPv6 by `install`.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

needs_namespaces
router ours left right
cable ours left
cable ours right
address left lo fd41::1/128 fd42::1/128 10.41.0.1/32
address right lo fd51::1/128 fd52::1/128 10.51.0.1/32
address ours lo fd31::1/128 fd32::1/128 10.31.0.1/32
in_host ours ip -6 route add fd33::/32 dev lo proto 4
record ours left
record ours right

# Of what babeld at the other end has: at which metric it hears a prefix, at which cost ours.
dump() { echo dump | in_host "$1" socat -t1 - "UNIX-CONNECT:$work/$1.babel"; }
hears_at() { dump "$1" | grep "add route.* prefix $2 " | grep -q " refmetric $3 " || { dump "$1" | grep "prefix $2 "; return 1; }; }
cost_at() { dump "$1" | grep 'add neighbour' | grep -q " txcost $2 .*cost $2" || { dump "$1" | grep 'add neighbour'; return 1; }; }
in_table() { in_host ours ip -6 route show table "$1" "$2" | grep -v unreachable | grep via | grep -q -- "${3:-}"; }
metric_of() { ask ours routes --json | jq -e ".routes[] | select(.destination == \"$1\" and .interface == \"$2\") | $3" >/dev/null; }

# hears_back PEER ADDRESS: ours said on that cable that it has what is the peer's own.
hears_back() {
    tcpdump -vv -n -r "$work/ours-$1.pcap" "ether src $(mac_of ours "$1")" 2>/dev/null |
        grep "Update.* $2/128 metric" | grep -q -v 'metric 65535'
}

ours ours '"interfaces": [
        {"name": "left", "rxcost": 200, "split_horizon": false, "hello_interval": "1s",
         "import": [{"prefix": "fd42::/16", "deny": true}, {"prefix": "fd41::/16", "metric": 300}],
         "export": [{"prefix": "fd32::/16", "deny": true}, {"prefix": "fd52::/16", "metric": 400}]},
        {"name": "right", "hello_interval": "1s"}],
    "redistribute": [{"local": true}, {"protocol": "static", "metric": 77}],
    "install": [{"prefix": "fd51::/16", "table": 100, "metric": 9, "pref_src": "fd31::1"}, {"prefix": "fd52::/16", "metric": 11},
        {"prefix": "10.51.0.0/16", "deny": true}]'
for peer in left right; do
    babeld_on $peer 'default type wired hello-interval 1 update-interval 4 rxcost 150' 'interface ours v4-via-v6 true' 
done

check 'left and right hear of each other' wait_for 30 eval 'has left fd51::1 && has right fd41::1 && has right 10.41.0.1'
check 'import filter of left: what it denies is not learned there' eval 'lacks ours fd42::1 && lacks right fd42::1'
check 'import filter of left: what it makes dearer is' wait_for 5 metric_of fd41::1/128 left '.metric == 450'
check 'right has none of that' wait_for 5 metric_of fd52::1/128 right '.metric == 150'
check 'export filter of left: what it denies is not announced there' lacks left fd32::1
check 'but at right' has right fd32::1
check 'export filter of left: what it makes dearer is heard dearer' wait_for 10 hears_at left fd52::1/128 550
check 'what it says nothing of is not' hears_at left fd51::1/128 150
check 'at right the dearer import is heard' wait_for 10 hears_at right fd41::1/128 450
check 'a local address is heard at 0' hears_at left fd31::1/128 0
check 'what is redistributed is heard with its metric' hears_at left fd33::/32 77
check 'on both sides' hears_at right fd33::/32 77
check 'rxcost: left is told 200' wait_for 10 cost_at left 200
check 'and right the 96 nobody chose' wait_for 10 cost_at right 96
check 'install: IPv6 to another table, with priority and source' in_table 100 fd51::1 'src fd31::1 metric 9'
check 'and not to the main table' lacks ours fd51::1
check 'install: another priority in the main table' has ours fd52::1 'metric 11'
check 'install: what is denied is in no table' eval '! in_host ours ip route show table all | grep 10.51.0.1'
check 'and announced all the same' has left 10.51.0.1
# Without split horizon babeld is told its own routes back.
check 'split horizon: left has none and hears of its own networks' wait_for 20 hears_back left fd41::1
check 'right has it and does not' eval '! hears_back right fd51::1'
in_host ours ip -6 route del fd33::/32 dev lo
check 'what is not redistributed any more is gone on both sides' wait_for 3 eval 'lacks left fd33::/32 && lacks right fd33::/32'
check 'tcpdump and tshark can read all that was said' well_formed 20
check 'ours stops with exit status 0' stop ours
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
