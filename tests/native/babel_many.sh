#!/bin/bash
# More interfaces than one socket may join groups on (net.core.optmem_max): Babel hears Hellos on each of them.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

many=300

needs_namespaces
joined() { [ "$(memberships)" = $many ] || { memberships; return 1; }; }
memberships() { in_host hub grep -c ff020000000000000000000000010006 /proc/net/igmp6; }
hears() { neighbours "$1" "map(select(.reachable)) | length == $2"; }
sockets_of() { find "/proc/${daemon_pid[$1]}/fd" -lname 'socket:*' | wc -l; }
finds_it_taken() {
    RUNTIME_DIR=$work/second timeout 5 nsenter -t "${holder[$1]}" -n -m -- "$aronet" daemon run -c "${config_of[$1]}" \
        >"$work/second.log" 2>&1
    grep -q 'UDP port 6696: bind: Address already in use' "$work/second.log" || { tail -n 3 "$work/second.log"; return 1; }
}
one_socket_joins() {
    in_host hub python3 - <<'PYTHON'
import socket
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
    joined = 0
    group = socket.inet_pton(socket.AF_INET6, 'ff02::1:6')
    for index, name in socket.if_nameindex():
        try:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + index.to_bytes(4, 'little'))
            joined += 1
        except OSError:
            break
print(joined)
PYTHON
}

router hub far
for i in $(seq $many); do echo "link add v$i type veth peer name v$i netns ${holder[far]}"; echo "link set v$i up"; done >"$work/batch"
in_host hub ip -batch "$work/batch"
for i in $(seq $many); do echo "link set v$i up"; done >"$work/batch"
in_host far ip -batch "$work/batch"
if ! in_host hub sysctl -qw net.core.optmem_max=8192 2>/dev/null; then
    echo 'left out: net.core.optmem_max is not of the namespace here'
    exit 0
fi
joins=$(one_socket_joins)
check "one socket joins on some interfaces, not on all ($joins of $many)" test "$joins" -gt 20 -a "$joins" -lt $((many / 2))
ours hub '"interfaces": ["v*"]'
ours far '"interfaces": ["v*"]'
check "a router of ours joins on all $many" wait_for 60 joined
check 'and hears a neighbour on each' wait_for 60 hears hub $many
check 'by which it is heard' wait_for 60 hears far $many
check 'with a way to the group for each' test "$(in_host hub ss -uanH state established dport = :6696 | wc -l)" = $many
check 'while the port is still taken for others' finds_it_taken hub
sockets=$(sockets_of hub)
for i in $(seq 1 2 $many); do echo "link del v$i"; done >"$work/batch"
in_host hub ip -batch "$work/batch"
check 'interfaces that are removed are not listened on' wait_for 30 hears hub $((many / 2))
for i in $(seq 1 2 $many); do echo "link add v$i type veth peer name v$i netns ${holder[far]}"; echo "link set v$i up"; done >"$work/batch"
in_host hub ip -batch "$work/batch"
for i in $(seq 1 2 $many); do echo "link set v$i up"; done >"$work/batch"
in_host far ip -batch "$work/batch"
check 'new ones of their names are, all of them' wait_for 60 hears hub $many
check 'without more sockets for it' test "$(sockets_of hub)" = "$sockets"
stop hub
check 'a stop takes leave on each' wait_for 10 hears far 0
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
