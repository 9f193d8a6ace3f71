#!/bin/bash
# The unit as it is shipped, under a systemd of its own in the host of berlin: restarts and crashes cost no packet between two
# nodes with the kernel's ESP, and a daemon that hangs is replaced; in a namespace that was handed over, and with our own ESP,
# too. Beside it systemd-networkd and routing daemons manage the same host.
# Alone: it counts packets.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/healing.sh"
nodes=(athens berlin)
rate=${ARONET_RATE:-100}  # what the emulated machine has power for

# Nothing but the unit, and the targets that units want; the machine is thrown away, so files lie where a package puts them.
install_unit() {
    local target
    install -m 755 "$aronet" /usr/sbin/aronet
    systemd-sysusers "$root/packaging/sysusers.d/aronet.conf"
    mkdir -p /etc/aronet "$work/units/aronet.service.d"
    for target in sysinit basic multi-user shutdown; do
        printf '[Unit]\nDefaultDependencies=no\n' >"$work/units/$target.target"
    done
    cp "$root/packaging/systemd/aronet.service" "$work/units"
    # There is no journal, and nobody waits so long for a watchdog.
    printf '[Service]\nStandardError=append:/run/log\nWatchdogSec=4\n' >"$work/units/aronet.service.d/here.conf"
    configure vrf kernel
    cp "$work/registry.json" /etc/aronet/registry.json
    install -m 600 -o aronet "$work/olive.key" /etc/aronet/olive.key
}
configure() {  # MODE DATAPATH
    write_config berlin "$1" "$2"
    sed "s|$work|/etc/aronet|" "$work/berlin.json" >/etc/aronet/config.json
}
# What is mounted below /run, as namespaces are, shows on both sides, as on a host whose first process it is.
start_manager() {
    in_host berlin mount --make-shared /run
    in_host berlin mount -t cgroup2 cgroup2 /sys/fs/cgroup
    as_host berlin env SYSTEMD_UNIT_PATH="$work/units" container=guest unshare -p -f --kill-child --mount-proc --propagation unchanged \
        /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=notice >"$work/manager.log" 2>&1 &
    daemon_pid[manager]=$!
}
in_manager() { nsenter -t "$(pgrep -P "${daemon_pid[manager]}")" -a -- "$@"; }
unit() { in_manager systemctl "$@"; }
is_up() { unit is-active aronet >/dev/null && ask berlin tunnels --json | jq -e '.tunnels | length > 0 and all(.state == "routed" and .ike == "established")'; }
process() { unit show -P MainPID aronet; }  # as the manager counts them
# Another process, which knows its peers again.
is_another() { [ "$(process)" != "$1" ] && is_up; }

# is_replaced NAME COMMAND...: another process takes over.
is_replaced() {
    local name=$1 before
    shift
    before=$(process)
    check "$name: it is done" "$@"
    check "$name: another process takes over" wait_for 30 is_another "$before"
    replaced=${EPOCHREALTIME/./}
    check "$name: the kernel has what the node tells of" agree berlin
}
# costs_nothing NAME COMMAND...: and no packet either way is lost.
costs_nothing() {
    begin_stream restart athens berlin
    sleep 2
    is_replaced "$@"
    check "$1: not one packet is lost" end_stream restart
    told restart
}
crashes() {
    local before
    for _ in 1 2 3; do
        before=$(process)
        unit kill -s ABRT aronet
        wait_for 30 is_another "$before" || return 1
    done
}
# For a while there is no memory for it, whoever starts it.
restarts() { unit show -P NRestarts aronet; }
starves() {
    local before
    before=$(restarts)
    unit set-property --runtime aronet MemoryMax=1M && sleep 12 && unit set-property --runtime aronet MemoryMax=infinity || return 1
    [ "$(restarts)" -gt "$before" ]
}
hangs() { unit kill -s STOP aronet; }
# Of what athens sent since then nothing was lost but before berlin was back; that it is, it is told within seconds.
arrives_since_back() {
    local last limit=$(((replaced - $1) / 1000 * rate / 1000 + 3 * rate))
    last=$(awk '/^ lost/ { split($NF, at, "-"); print $NF == ".." ? "more" : at[2] }' "$work/stream.hanging.2")
    echo "the last one was ${last:-none}, of $limit"
    [ "${last:-0}" -lt $limit ]
}
# As by a package: another file of the same name.
upgrades() {
    file_of >"$work/file"
    install -m 755 "$aronet" /usr/sbin/aronet.new && mv /usr/sbin/aronet.new /usr/sbin/aronet && unit restart aronet
}
file_of() { in_manager stat -Lc %i "/proc/$(process)/exe"; }
is_upgraded() { [ "$(file_of)" != "$(cat "$work/file")" ] && [ "$(file_of)" = "$(stat -c %i /usr/sbin/aronet)" ]; }

# A second of root hands a namespace to the manager, and the manager to the daemon.
runs_as_told() { [ "$(ask berlin status --json | tee "$work/answer.json" | jq -r '.mode + " " + .datapath')" = "$1" ] || { cat "$work/answer.json"; return 1; }; }
has_links_inside() { [ "$(links_inside berlin)" = 3 ] || { in_host berlin ip -n aronet link; return 1; }; }
check_handed_over() {
    configure netns kernel
    check 'in a namespace the unit starts' unit start aronet || { unit status aronet; in_host berlin tail /run/log; }
    check 'in a namespace all tunnels are there' wait_for 40 is_up
    check 'in a namespace everybody reaches everybody' wait_for 20 all_reach 4 6
    check 'it is seen from outside, with two tunnels and a way to the host' has_links_inside
    check 'the daemon has the mode and the ESP that it was told' runs_as_told 'netns kernel'
    sleep 5
    costs_nothing 'row 15: systemctl restart, in a namespace' unit restart aronet
    check 'in a namespace the unit stops' unit stop aronet
    check 'row 16: the namespace stays, with nothing in it' empty_inside berlin
    # Without udev nobody lets others have it.
    chmod 666 /dev/net/tun
    cp "$root/packaging/systemd/user-esp.conf" "$work/units/aronet.service.d"
    unit daemon-reload
    configure netns user
    check 'with our own ESP the unit starts' unit start aronet || { unit status aronet; in_host berlin tail /run/log; }
    check 'with our own ESP all tunnels are there' wait_for 40 is_up
    check 'with our own ESP everybody reaches everybody' wait_for 20 all_reach 4 6
    check 'the daemon has the ESP that it was told' runs_as_told 'netns user'
    check 'row 18: it is not taken for one that hangs, nor has it crashed' test "$(restarts)" = 0
    check 'with our own ESP the unit stops' unit stop aronet
    check 'row 16: the namespace stays, with nothing of that in it' empty_inside berlin
    check 'until root removes it' in_host berlin /usr/sbin/aronet netns remove -c /etc/aronet/config.json
    kernel_of berlin >"$work/berlin.left"
    check 'row 16: the kernel is as it was, of the namespace, too' diff "$work/berlin.clean" "$work/berlin.left"
    rm "$work/units/aronet.service.d/user-esp.conf"
    unit daemon-reload
    configure vrf kernel
}

is_whole() { picture berlin >"$work/berlin.now"; cmp -s "$work/berlin.picture" "$work/berlin.now" || { diff "$work/berlin.picture" "$work/berlin.now"; return 1; }; }
# stays_whole NAME: as it was before, and as the node tells.
stays_whole() {
    check "$1: what is ours is as before" wait_for 20 is_whole
    check "$1: the kernel has what the node tells of" agree berlin
}

# The host's network is systemd-networkd's from now on: its addresses, and default routes by way of athens. The host's IPv4 address
# has no broadcast address, and must not be given one: what is there differs then, and systemd-networkd 252 requests it for ever.
prepare_networkd() {
    mkdir -p /etc/systemd/network
    cat >/etc/systemd/network/20-eth0.network <<'NETWORK'
[Match]
Name=eth0
[Network]
IPv6AcceptRA=no
Gateway=192.0.2.1
Gateway=2001:db8::1
[Address]
Address=192.0.2.2/24
Broadcast=no
[Address]
Address=2001:db8::2/64
DuplicateAddressDetection=none
NETWORK
    # Without udev it waits for links unless /sys can only be read; it is asked by way of the bus.
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/dbus-daemon --system --nofork --nopidfile\nRuntimeDirectory=dbus\n' \
        >"$work/units/dbus.service"
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=notify\nExecStart=/lib/systemd/systemd-networkd\nReadOnlyPaths=/sys\n' \
        >"$work/units/networkd.service"
    unit daemon-reload
    unit start dbus && wait_for 10 in_host berlin test -S /run/dbus/system_bus_socket
}
is_configured() {
    local index
    index=$(in_host berlin ip -o link show eth0 | cut -d: -f1)
    in_host berlin grep -qx 'ADMIN_STATE=configured' "/run/systemd/netif/links/$index"
}
begins() { unit start networkd && sleep 1 && wait_for 20 is_configured; }
begins_again() { in_manager networkctl reload && sleep 1 && unit restart networkd && sleep 1 && wait_for 20 is_configured; }
# Which takes the link's own addresses away for a moment, too.
reconfigures() { in_manager networkctl reconfigure eth0 && sleep 2 && wait_for 20 is_configured; }
# The longest time that a rule of ours was gone, by the kernel's notices; nothing where none was.
rules_were_gone() {
    awk '!/lookup 12025/ { next }
        { split(substr($1, 13, 15), t, ":"); at = t[1] * 3600 + t[2] * 60 + t[3] }
        / Deleted / { gone[++lost] = at; next }
        made < lost { took = at - gone[++made]; if (took > longest) longest = took }
        END { if (lost > made) print "for good"; else if (lost) printf "%d\n", longest * 1000 }' "$work/rules"
}
watch_rules() {
    as_host berlin stdbuf -oL ip -ts monitor rule >"$work/rules" &
    daemon_pid[watching]=$!
    picture berlin >"$work/berlin.picture"
}
# Rules that it takes away for want of being told are back; until then packets are somebody else's.
check_networkd() {
    prepare_networkd
    watch_rules
    check 'row 1: systemd-networkd configures the host' begins
    check 'row 1: once more' reconfigures
    stays_whole 'row 1: systemd-networkd, not told of us'
    check 'row 1: it has taken our rules away, and they were back within a second' eval \
        'took=$(rules_were_gone); echo "$took ms"; [ "$took" -le 1000 ]'
    echo "# row 1: $(rules_were_gone) ms"
    unit stop networkd
    kill_hard watching
    install -D -m 644 -t /usr/lib/systemd/networkd.conf.d "$root/packaging/systemd/networkd.conf.d/aronet.conf"
    install -D -m 644 -t /usr/lib/systemd/network "$root/packaging/systemd/network/10-aronet.network"
    in_host athens nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority -300; };
        add rule inet seen in iifname "eth0" ip daddr 10.10.0.0/16 counter; add rule inet seen in iifname "eth0" ip6 daddr fd10::/16 counter'
    watch_rules
    begin_stream beside athens berlin
    sleep 2
    check 'row 1: told of us, systemd-networkd configures the host' begins
    check 'row 1: it reads its files again, and starts again' begins_again
    sleep 1
    check 'row 1: not one packet is lost' end_stream beside
    told beside
    check 'row 1: it configures the host once more' reconfigures
    check 'row 1: all reach each other' wait_for 10 all_reach 4 6
    stays_whole 'row 1: systemd-networkd, told of us'
    check 'row 1: it has taken nothing of ours away' eval '[ -z "$(rules_were_gone)" ]'
    check 'row 1: nothing has left by the default route that it has made' eval \
        'in_host berlin ip route | grep "^default via 192.0.2.1 .*proto static" && [ "$(in_host athens nft list table inet seen | grep -c "packets 0 ")" = 2 ]'
    kill_hard watching
    unit stop networkd
    unit stop dbus
}

# Daemons that learn what is in our tables, have routes of their own there, and take those away when they end.
begin_bird() {
    local table name
    {
        echo 'router id 192.0.2.2; protocol device { scan time 1; }'
        for table in 128 12025; do
            for name in 4 6; do
                printf 'ipv%s table t%s_%s; protocol kernel { ipv%s { table t%s_%s; import all; export all; }; learn; kernel table %s; scan time 1; }\n' \
                    $name $table $name $name $table $name $table
            done
            printf 'protocol static { ipv6 { table t%s_6; }; route fd77:b::/64 blackhole; }\n' $table
        done
    } >"$work/bird.conf"
    as_host berlin bird -f -c "$work/bird.conf" -s "$work/bird.sock" >"$work/bird.log" 2>&1 &
    daemon_pid[bird]=$!
}
# It knows tables below 256 alone.
begin_babeld() {  # NODE LINE...
    local node=$1 lines=() line
    shift
    for line; do lines+=(-C "$line"); done
    as_host "$node" babeld -I "$work/babeld-$node.pid" -S "$work/babeld-$node.state" -p 6697 -c /dev/null \
        -C 'default type wired hello-interval 1 update-interval 4' "${lines[@]}" eth0 >"$work/babeld-$node.log" 2>&1 &
    daemon_pid[babeld-$node]=$!
}
theirs() { in_host berlin ip -6 route show table "$1" proto "$2" | grep -q "^\(blackhole \)\?$3"; }
has_learnt() { in_host berlin birdc -s "$work/bird.sock" show route table t128_6 | grep -q '^fd10:1::/64 .*\[kernel'; }
check_routing_daemons() {
    picture berlin >"$work/berlin.picture"
    begin_stream routed athens berlin
    begin_bird
    check 'row 3: BIRD learns routes of ours, and has its own in our tables' wait_for 20 eval \
        'has_learnt && theirs 128 bird fd77:b::/64 && theirs 12025 bird fd77:b::/64'
    stays_whole 'row 3: beside BIRD'
    check 'row 3: BIRD ends' stop bird
    check 'row 3: and takes its own away' eval '! theirs 128 bird fd77:b::/64 && ! theirs 12025 bird fd77:b::/64'
    stays_whole 'row 3: after BIRD'
    in_host athens ip -6 addr add fd77:c::1/128 dev lo
    begin_babeld athens 'redistribute ip fd77:c::/64 local allow' 'redistribute local deny' 'in deny'
    begin_babeld berlin 'import-table 128' 'export-table 128' 'redistribute ip fd10::/16 allow' 'redistribute local deny'
    check 'row 3: babeld has routes of its own in our table' wait_for 20 theirs 128 babel fd77:c::1
    stays_whole 'row 3: beside babeld'
    for node in athens berlin; do check "row 3: babeld of $node ends" eval 'kill -TERM "${daemon_pid[babeld-$node]}"; wait "${daemon_pid[babeld-$node]}" || true'; done
    check 'row 3: and takes its own away' wait_for 5 eval '! theirs 128 babel fd77:c::1'
    stays_whole 'row 3: after babeld'
    check 'row 3: not one packet is lost' end_stream routed
    told routed
    in_host athens ip -6 addr del fd77:c::1/128 dev lo
}
load_modules
write_keys
for node in "${nodes[@]}"; do write_config $node vrf kernel; done
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
install_unit
start athens
start_manager
check 'there is a manager' wait_for 30 eval 'unit list-units >/dev/null'
kernel_of berlin >"$work/berlin.clean"
check 'the unit starts' unit start aronet || { cat "$work/manager.log"; unit status aronet; in_host berlin cat /run/log; exit 1; }
check 'both reach each other' wait_for 60 all_reach 4 6 || { show_logs; in_host berlin cat /run/log; exit 1; }
check 'all tunnels are there' wait_for 20 is_up
sleep 5
costs_nothing 'row 15: systemctl restart' unit restart aronet
costs_nothing 'row 15: another binary in its place' upgrades
check 'row 15: it is the other one that runs' is_upgraded
costs_nothing 'row 14: kill -9' unit kill -s KILL aronet
costs_nothing 'row 17: three crashes in a row' crashes
costs_nothing 'row 22: no memory for the daemon' starves
began=${EPOCHREALTIME/./}
begin_stream hanging athens berlin
sleep 2
is_replaced 'row 18: a daemon that hangs' hangs
end_stream hanging >/dev/null
told hanging
check 'row 18: what it sends meanwhile arrives' grep '^lost 0 of' "$work/stream.hanging.1"
check 'row 18: what is sent to it, once it is back' arrives_since_back "$began"
check 'everybody reaches everybody' wait_for 20 all_reach 4 6
check 'row 17: the manager has counted them all' eval '[ "$(restarts)" -ge 5 ]'
check 'row 16: systemctl stop' unit stop aronet
kernel_of berlin >"$work/berlin.left"
check 'row 16: leaves the kernel as it was' diff "$work/berlin.clean" "$work/berlin.left"
check_handed_over
check 'the unit starts once more' unit start aronet
check 'all tunnels are there' wait_for 60 is_up
check 'everybody reaches everybody' wait_for 30 all_reach 4 6
sleep 5
check_networkd
check_routing_daemons
check 'the unit stops' unit stop aronet
check 'athens stops with exit status 0' stop athens
[ "$failures" = 0 ] || { show_logs 40; in_host berlin tail -n 40 /run/log; exit 1; }
