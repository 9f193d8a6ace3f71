#!/bin/bash
# A daemon that stands still while the kernel has more to tell than its socket holds: what was missed is found out when it
# goes on. Foreign routes that came and went are announced and taken back, routes of its own that somebody took are back.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

many=60000

# batch HOST VERB PREFIX COUNT MORE: so many networks within PREFIX.
batch() {
    seq "$4" | awk -v verb="$2" -v prefix="$3" -v more="$5" \
        '{ printf "route %s %s:%x:%x::/64 %s\n", verb, prefix, int($1 / 65536), $1 % 65536, more }' >"$work/batch"
    in_host "$1" ip -6 -batch "$work/batch"
}
count() { in_host "$1" ip -6 route show | grep "^$2:" | grep -c via; }
counts() { [ "$(count "$1" "$2")" = "$3" ] || { count "$1" "$2"; return 1; }; }
all_there() { counts far fd70 100 && counts far fd72 0 && counts near fd71 20; }
all_right() {
    counts far fd70 50 && counts far fd72 30 && counts far fd79 0 && has far fd74::1 && lacks far fd73::1 && counts near fd71 20
}
dropped() { in_host near awk 'NR > 1 { sum += $9 } END { print sum + 0 }' /proc/net/netlink; }

needs_namespaces
router near far
cable near far
address near lo fd73::1/128
batch near add fd70:0 100 'dev lo proto 4'
batch far add fd71:0 20 'dev lo proto 4'
rules='"redistribute": [{"prefix": "fd79::/16", "deny": true}, {"protocol": "static"}, {"local": true}]'
ours near "\"interfaces\": [\"far\"], $rules"
ours far "\"interfaces\": [\"near\"], $rules"
check 'routes go both ways' wait_for 20 all_there

kill -STOP "${daemon_pid[near]}"
batch near add fd79:0 $many 'dev lo proto 4'
batch near del fd79:0 $many 'dev lo proto 4'
lost=$(dropped)
# Of what follows the socket tells nothing any more.
batch near del fd70:0 50 'dev lo proto 4'
batch near add fd72:0 30 'dev lo proto 4'
in_host near ip -6 route flush proto 140
in_host near ip addr del fd73::1/128 dev lo
in_host near ip addr add fd74::1/128 dev lo
check 'notices are dropped, all of the last' test "$lost" -gt 0 -a "$(dropped)" -gt "$((lost + 50))"
check 'and the own routes are gone' counts near fd71 0
kill -CONT "${daemon_pid[near]}"
check 'awake again, it finds out what it missed' wait_for 10 all_right
batch near add fd70:0 50 'dev lo proto 4'
check 'and hears what happens from then on' wait_for 5 counts far fd70 100
check 'it stops with exit status 0' stop near
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
