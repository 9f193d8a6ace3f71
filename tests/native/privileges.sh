#!/bin/bash
# Daemons with a user of their own and CAP_NET_ADMIN alone, in a namespace that was handed over, with our own ESP; who may
# ask them what, and what callers that mean no good can do.
# Alone: packets are counted, and processor time.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/privileges.sh"
nodes=(athens cairo)

inside_is() { [ "$(in_host athens ip netns exec aronet sysctl -n "$1")" = "$2" ]; }
gone() { ! in_host "$1" test -e /run/netns/aronet; }
tells() { grep -q -- "$2" "$work/$1.log" || { tail -n 3 "$work/$1.log"; return 1; }; }

clients() {  # USER GROUP NODE SECONDS KIND=COUNT...
    as "$1" "$2" "$3" /usr/bin/python3 "$work/clients.py" /run/aronet/aronet.sock "${@:4}" >"$work/clients" 2>&1 &
    callers=$!
}
memory_kib() { sed -n 's/^VmRSS:[ \t]*\([0-9]*\) kB/\1/p' "/proc/${daemon_pid[$1]}/status"; }
answers_within() {  # SECONDS NODE: to root
    in_host "$2" timeout "$1" "$aronet" status >/dev/null 2>"$work/said.status" || { cat "$work/said.status"; return 1; }
}
grew_less_than() { [ $(($(memory_kib "$2") - before_kib)) -lt "$1" ] || { echo "$before_kib → $(memory_kib "$2") KiB"; return 1; }; }

reassurances() { grep -c '^WATCHDOG=1$' "$work/notified"; }
reassured_again() { [ "$(reassurances)" -gt "$1" ]; }
check_watchdog() {
    local before
    check 'the service manager is told that athens is ready' grep -q '^READY=1$' "$work/notified"
    before=$(reassurances)
    check 'row 18: and twice in the time it waits that it is well' wait_for 2 reassured_again $((before + 1))
    kill -STOP "${daemon_pid[athens]}"
    sleep 0.5
    before=$(reassurances)
    sleep 2
    check 'row 18: a daemon that hangs says nothing' test "$(reassurances)" = "$before"
    kill -CONT "${daemon_pid[athens]}"
    check 'row 18: one that does not says it again' wait_for 2 reassured_again "$before"
}

check_callers() {
    local pinging before_kib
    before_kib=$(memory_kib athens)
    clients $member $user athens 15 silent=400 half=200 junk=100 endless=20 slow=100 hungry=60 put=120
    in_host athens ping -q -i 0.02 -c 500 -W 1 "${v4_of[cairo]}" >"$work/ping" 2>&1 &
    pinging=$!
    sleep 2
    check 'row 61: among a thousand callers of the group root is answered' answers_within 3 athens
    check "row 61: and the daemon's user may rekey" as $user $user athens "$aronet" rekey maple/cairo
    sleep 3
    check 'row 61: root is answered still' answers_within 3 athens
    wait $pinging
    check 'row 61: no packet is lost meanwhile' lost_at_most 0 "$work/ping"
    check 'row 61: and memory is bounded' grew_less_than 60000 athens
    wait $callers
    check 'row 61: all of them were heard, or told to wait' grep -q 'endless=.*hungry=.*silent=.*slow=' "$work/clients"
    check 'row 61: when they are gone the group is answered' wait_for 15 as $member $user athens "$aronet" tunnels
}

limit_descriptors() { as $user $user cairo prlimit --nofile="$1" --pid "${daemon_pid[cairo]}"; }
leaves_descriptors() {
    local used
    used=$(find "/proc/${daemon_pid[cairo]}/fd" -mindepth 1 | wc -l)
    [ $((64 - used)) -ge "$1" ] || { echo "$used are used"; return 1; }
}
check_descriptors() {
    local why='nobody can be answered: Too many open files'
    limit_descriptors 64:64
    clients $member $user cairo 12 silent=200
    sleep 2
    check 'row 21: 200 callers at 64 descriptors: the processor is idle' busy_less_than 20 3 cairo
    check 'row 21: tunnels are keyed anew meanwhile' ask athens rekey maple/cairo
    check 'row 21: and carry traffic' reaches athens "${v4_of[cairo]}"
    wait $callers
    check 'row 21: with descriptors there are answers again' wait_for 15 answers_within 3 cairo
    check 'row 21: the log says why nobody was answered, once' test "$(grep -c "$why" "$work/cairo.log")" = 1
    # From the start: callers get an eighth.
    kill_hard cairo
    start_as_user cairo prlimit --nofile=64:64 "$aronet" netns prepare -c "${config_of[cairo]}" --
    check 'row 21: with 64 descriptors a node works' wait_for 30 all_reach 4 6
    clients $member $user cairo 8 silent=200
    sleep 2
    check 'row 21: 200 callers: root is answered' answers_within 3 cairo
    check 'row 21: and descriptors are left' leaves_descriptors 8
    wait $callers
    check 'row 21: the log has nothing more to say' test "$(grep -c "$why" "$work/cairo.log")" = 1
}

needs_namespaces
build_mesh netns user
settle_in
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done

start_as_user cairo
wait "${daemon_pid[cairo]}"
check 'a namespace that was not handed over is refused: exit status 4' test $? = 4
check 'and how to hand it over is said' tells cairo 'aronet netns prepare'
check 'who is not root cannot prepare one: exit status 4' ends_with 4 'for root to do' \
    as $user $user cairo "$aronet" netns prepare -c "${config_of[cairo]}" -- true

start_prepared athens
start_from_store cairo
check 'two nodes of users reach each other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check '2 MB of IPv4 from athens to cairo' transfer athens cairo "${v4_of[cairo]}" 2000000
check '2 MB of IPv6 from the host behind cairo to the one behind athens' \
    transfer cairo-host athens-host "${host_v6_of[athens]}" 2000000
for node in "${nodes[@]}"; do
    check "$node has a user of its own and CAP_NET_ADMIN alone, filtered, with no way to more" has_only $node
    check "all threads of $node, too" threads_too $node
    check "$node misses nothing" warns_of_nothing $node
done
check 'what the namespace needs is set in it' inside_is net.ipv6.conf.all.seg6_enabled 1
check 'what its tunnels need, too' inside_is \
    "net.ipv4.conf.$(ask athens tunnels --json | jq -r '.tunnels[0].interface').rp_filter" 0
check 'a manager keeps what a service is handed over' tells cairo '^kept: netns-socket 17 netns-ipv4 1 netns-ipv6 1 netns 1$'
check_taken_away athens
for node in "${nodes[@]}"; do kill_hard $node; done
# A script of athens tells what it may do.
install -m 666 /dev/null "$work/script.out"
sed -i "s|\"port\": 12025}|\"port\": 12025, \"updown\": \"grep -E '^(Uid\|CapEff\|NoNewPrivs\|Seccomp):' /proc/self/status >$work/script.out\"}|" \
    "${config_of[athens]}"
python3 "$root/tests/notify_socket.py" "$work/notify" >"$work/notified" &
mkdir -p "$work/pids" && echo $! >"$work/pids/notify"  # to be ended with all the rest
wait_for 5 test -S "$work/notify"
NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=1000000 start_prepared athens
start_from_store cairo
check 'after kill -9 and restart of both the mesh works again' wait_for 60 all_reach 4 6 || show_logs
script_has() { [ "$(awk '{ printf "%s ", $2 }' "$work/script.out")" = "$user 0000000000001000 1 2 " ] || { cat "$work/script.out"; return 1; }; }
check "a script has the daemon's user, its capability and its filter" wait_for 5 script_has
check_control_permissions athens maple/cairo
check_callers
check_descriptors
check_watchdog

check 'row 21, 61, 62: the kernels have what the nodes tell of' agree athens cairo
for node in "${nodes[@]}"; do
    check "$node stops with exit status 0" stop $node
    check "the namespace of $node stays, with nothing in it" empty_inside $node
    check "until root removes it" in_host $node "$aronet" netns remove -c "${config_of[$node]}"
    check "the namespace of $node is gone" gone $node
done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
