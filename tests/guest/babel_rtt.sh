#!/bin/bash
# Round-trip times with babeld over a cable that delays what one end sends by 40 ms, and the other by 10 ms: both ends measure
# 50 ms and their costs rise, so that a longer way without delay is taken.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"
load_modules
modprobe sch_netem

router ours babeld middle
cable ours babeld
cable ours middle
cable middle babeld
address ours lo fd20:1::1/128
address babeld lo fd20:2::1/128
rtt_of() { ask ours neighbours --json | jq -ce ".neighbours[] | select(.interface == \"babeld\") | [.rtt_ms, .cost], ($1)"; }
peer_of() { echo dump | in_host babeld socat -t1 - "UNIX-CONNECT:$work/babeld.babel" | grep 'add neighbour.* if ours '; }
# value NAME: of babeld's line for its neighbour of ours.
value() { peer_of | sed -n "s/.* $1 \([0-9.]*\).*/\1/p"; }
between() { awk -v x="$1" -v low="$2" -v high="$3" 'BEGIN { exit !(x != "" && x >= low && x <= high) }' || { echo "$1"; return 1; }; }
peer_measures() { between "$(value rtt)" "$@"; }
peer_cost() { between "$(value cost)" "$@"; }
delay() { in_host "$1" tc qdisc replace dev "$2" root netem delay "$3"; }

settings='"hello_interval": "400ms", "type": "tunnel", "rtt_cost": 500, "rtt_min": "10ms", "rtt_max": "120ms"'
ours ours "\"interfaces\": [{\"name\": \"babeld\", $settings}, {\"name\": \"middle\", \"hello_interval\": \"1s\", \"rxcost\": 150}]"
ours middle '"interfaces": [{"name": "*", "hello_interval": "400ms", "rxcost": 120}]'
babeld_on babeld 'default hello-interval 0.4 update-interval 4' \
    'interface ours type tunnel enable-timestamps true rtt-min 10 rtt-max 120 max-rtt-penalty 500' 'interface middle type wired rxcost 120'
check 'without a delay the direct way is taken' wait_for 30 has ours fd20:2::1 'dev babeld'
check 'and its round-trip time is nearly none' wait_for 20 rtt_of '.rtt_ms < 20 and .cost < 125'
delay ours babeld 40ms
delay babeld ours 10ms
check 'ours measures 50 ms' wait_for 60 rtt_of '.rtt_ms > 45 and .rtt_ms < 65'
check 'and its cost is what the settings say' rtt_of '.cost > 96 + 500 * 35 / 110 - 5 and .cost < 96 + 500 * 55 / 110 + 5'
check 'babeld measures the same' wait_for 60 peer_measures 45 65
check 'and its cost rises, too' wait_for 10 peer_cost 250 350
check 'the longer way is taken' wait_for 40 has ours fd20:2::1 'dev middle'
in_host ours tc qdisc del dev babeld root
in_host babeld tc qdisc del dev ours root
check 'without a delay again the cost falls' wait_for 60 rtt_of '.rtt_ms < 20'
check 'and the direct way is taken' wait_for 40 has ours fd20:2::1 'dev babeld'
check 'ours stops with exit status 0' stop ours
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
