#!/bin/bash
# 20,000 Hellos a second from two hundred strangers on a cable, for ten seconds: half a processor is enough for them, and the
# neighbour on the other cable notices nothing.
# By itself: the flood leaves nobody a processor.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

strangers=200
flood() {  # a packet of one Hello, multicast, each from another address
    in_host mallory python3 - near $strangers 20000 10 <<'SCRIPT'
import socket, struct, sys, time
link, count, per_second, seconds = sys.argv[1], *map(int, sys.argv[2:])
index = socket.if_nametoindex(link)
sockets = []
for i in range(1, count + 1):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.bind((f"fe80::66:{i:x}", 6696, 0, index))
    sockets.append(s)
began, sent = time.monotonic(), 0
while sent < per_second * seconds:
    if sent > (time.monotonic() - began) * per_second:
        time.sleep(0.0005)
        continue
    hello = struct.pack("!BBHBBHHH", 42, 2, 8, 4, 6, 0, sent // count & 0xffff, 400)
    sockets[sent % count].sendto(hello, ("ff02::1:6", 6696, 0, index))
    sent += 1
print(sent, int(sent / (time.monotonic() - began)))
SCRIPT
}
ticks() { awk '{ print $14 + $15 }' "/proc/${daemon_pid[near]}/stat"; }
memory() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${daemon_pid[near]}/status"; }
reached() { ask near neighbours --json | jq -e '[.neighbours[] | select(.interface == "far" and .reachable)] | length == 1' >/dev/null; }

needs_namespaces
router near far mallory
cable near far
cable near mallory
address near lo fd73::1/128
address far lo fd74::1/128
for i in $(seq $strangers); do printf 'addr add fe80::66:%x/64 dev near nodad\n' "$i"; done >"$work/batch"
in_host mallory ip -6 -batch "$work/batch"
rules='"redistribute": [{"local": true}]'
ours near "\"interfaces\": [\"far\", \"mallory\"], $rules"
ours far "\"interfaces\": [\"near\"], $rules"
check 'routes go both ways' wait_for 20 eval 'has near fd74::1 && has far fd73::1'
sleep 2
grown=$(memory) spent=$(ticks)
in_host far ping -q -i 0.1 -c 100 -W 1 -I fd74::1 fd73::1 >"$work/ping" 2>&1 &
ping=$!
flood >"$work/sent"
spent=$(($(ticks) - spent))
read -r sent rate <"$work/sent"
echo "# $sent Hellos, $rate a second: ${spent} hundredths of a second of a processor, $(($(memory) - grown)) kB"
check 'row 59: there were as many as that' test "$rate" -gt 19000
check 'row 59: half a processor is enough' test $spent -lt 500
check 'row 59: memory is bounded' test $(($(memory) - grown)) -lt 2048
wait $ping || true
check 'row 59: the other neighbour stays' reached
check 'row 59: and nothing to it is lost' lost_at_most 0 "$work/ping"
check 'it stops with exit status 0' stop near
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
