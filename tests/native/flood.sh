#!/bin/bash
# 20,000 spoofed IKE_SA_INIT a second from all over the world for ten seconds: a peer that is started meanwhile has its
# tunnels within two seconds, the flooded daemon's memory and log stay as they are, and its tunnels stay.
# By itself: the flood leaves nobody a processor, and a handshake has two seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"

needs_namespaces
nodes=(athens berlin cairo)
dpd_interval=10s
build_mesh netns user
add_host mallory
plug mallory 192.0.2.66/24
in_host athens ip route add 198.18.0.0/15 via 192.0.2.66  # answers go somewhere
in_host athens sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0

memory() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${daemon_pid[$1]}/status"; }
milliseconds() { date +%s%3N; }
# tunnel NODE PEER NUMBER: there are so many, each has come up once and is used.
tunnel() { ask "$1" tunnels --json | jq -e "[.tunnels[] | select(.peer == \"$2\" and .came_up == 1 and .state == \"routed\")] | length == $3" >/dev/null; }
# When NODE was done with its last handshake with PEER, by its own log: asking takes time of its own.
established() { date -d "$(sed -n "s/^\([^ ]* [^ ]*\) .*CN=$2,.* established.*/\1/p" "$work/$1.log" | tail -n 1)" +%s%3N; }
cookies() { ask athens status --json | jq '.drops.ike["cookie asked for"] // 0'; }
less_than() { [ "$1" -lt "$2" ] || { echo "$1"; return 1; }; }

start athens
start cairo
check 'athens and cairo reach each other' wait_for 30 reaches athens 10.10.3.1
sleep 2
before=$(memory athens)
lines=$(wc -l <"$work/athens.log")
in_host mallory "${aronet%/*}/tests/aronet-flood" 192.0.2.1 12025 20000 10 >"$work/sent" &
flood=$!
sleep 3
began=$(milliseconds)
start berlin
check 'row 45: a peer that is started in a flood has its tunnels' wait_for 10 tunnel berlin olive/athens 2
took=$(($(established berlin athens) - began))
echo "# after $took ms"
between() { less_than "$1" "$2" && less_than "$2" "$3"; }
check 'A11: within two seconds of its start' between 0 $took 2000
check 'and reaches the flooded one' wait_for 5 reaches berlin 10.10.1.1
in_host cairo ping -q -i 0.1 -c 40 -W 1 10.10.1.1 >"$work/ping" 2>&1
check 'A11: a tunnel that was there goes on' lost_at_most 4 "$work/ping"
wait $flood
after=$(memory athens)
read -r sent rate <"$work/sent"
echo "# $sent sent, $rate a second; memory $before kB before, $after kB after; $(cookies) asked for a cookie,"
echo "# $(packets_lost "$work/ping") of 40 packets of another tunnel lost"
check 'the flood was of 20,000 a second' less_than 19000 "$rate"
check 'A11: it was answered with cookies' less_than $((sent * 9 / 10)) "$(cookies)"
check 'A17: the flooded daemon grows by less than 1 MB' less_than $((after - before)) 1024
check 'its log stays short' less_than $(($(wc -l <"$work/athens.log") - lines)) 40
sleep 12  # longer than dead peer detection takes to begin
check 'A11: the tunnels are the same afterwards' tunnel cairo olive/athens 1
check 'those of the peer that came in the flood too' tunnel berlin olive/athens 2
check 'row 45: the kernels have what the nodes tell of' agree athens berlin cairo
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
