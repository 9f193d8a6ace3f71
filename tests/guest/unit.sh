#!/bin/bash
# The unit as it is shipped, under a systemd of its own in the host of berlin: restarts and crashes cost no packet between two
# nodes with the kernel's ESP, and a daemon that hangs is replaced.
# Alone: it counts packets.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
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
    sed "s|$work|/etc/aronet|" "$work/berlin.json" >/etc/aronet/config.json
    cp "$work/registry.json" /etc/aronet/registry.json
    install -m 600 -o aronet "$work/olive.key" /etc/aronet/olive.key
}
start_manager() {
    in_host berlin mount -t cgroup2 cgroup2 /sys/fs/cgroup
    as_host berlin env SYSTEMD_UNIT_PATH="$work/units" container=guest unshare -p -f --kill-child --mount-proc \
        /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=notice >"$work/manager.log" 2>&1 &
    daemon_pid[manager]=$!
}
unit() { nsenter -t "$(pgrep -P "${daemon_pid[manager]}")" -a systemctl "$@"; }
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
    check "$name: another process takes over" wait_for 40 is_another "$before"
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
costs_nothing 'row 14: kill -9' unit kill -s KILL aronet
costs_nothing 'row 17: three crashes in a row' crashes
costs_nothing 'row 22: no memory for the daemon' starves
is_replaced 'row 18: a daemon that hangs' hangs
check 'everybody reaches everybody' wait_for 20 all_reach 4 6
check 'row 17: the manager has counted them all' eval '[ "$(restarts)" -ge 5 ]'
check 'row 16: systemctl stop' unit stop aronet
kernel_of berlin >"$work/berlin.left"
check 'row 16: leaves the kernel as it was' diff "$work/berlin.clean" "$work/berlin.left"
check 'athens stops with exit status 0' stop athens
[ "$failures" = 0 ] || { show_logs 40; in_host berlin tail -n 40 /run/log; exit 1; }
