#!/bin/bash
# Faults under numbered packets, with the kernel's own ESP: athens and cairo have VRFs, dakar a namespace, behind NAT. After
# each the kernels have what the nodes tell of.
# Alone: it counts packets and measures seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
nodes=(athens cairo dakar)
rate=${ARONET_RATE:-100}  # what the emulated machine has power for
# Where it lacks it, packets overtake each other by far.
for node in "${nodes[@]}"; do ike_keys[$node]='"replay_window": 4096,'; done

tunnel_is() { tunnels_to "$1" "$2" "$3"; }
settled() { check "$1: the kernel has what the node tells of" agree "${@:2}"; }
as_one() {  # NAME: nobody's tunnel has gone down since the beginning
    check "$1: no tunnel was down" eval 'never_down athens maple/cairo && never_down athens maple/dakar && never_down cairo maple/dakar'
}
# What the kernels of NODE... have dropped, for a tag or a checksum that is wrong.
refused_by() {
    local node
    for node; do in_host "$node" cat /proc/net/xfrm_stat /proc/net/snmp; done |
        awk '/XfrmInStateProtoError|XfrmInError/ { n += $2 }
            /^Udp:/ && !/[a-z]+ *$/ { n += $8 } END { print n + 0 }'
}
weather() { in_host athens tc qdisc replace dev eth0 root netem "$@"; }
calm() { in_host athens tc qdisc del dev eth0 root; }
none_twice() { [ "$(cat "$work/stream.$1".[12] | grep -c ' 0 twice')" = 2 ]; }
lines_of() { wc -l <"$work/$1.log"; }

# Row 44: cairo hears of athens when that has tried for a while.
begin_late() {
    write_registry "$work/late.json" cairo dakar
    registry_of[cairo]=$work/late.json
    for node in "${nodes[@]}"; do start "$node"; done
    check 'cairo and dakar reach each other' wait_for 60 reaches cairo "${v4_of[dakar]}" || { show_logs; exit 1; }
    check 'athens has tried in vain' wait_for 20 tunnel_is athens maple/cairo '.state == "wanted" and .came_up == 0'
    registry_of[cairo]=$work/registry.json
    ask cairo load -r "$work/registry.json" >/dev/null
    check 'row 44: who is known of at last has a tunnel within ten seconds' wait_for 10 tunnel_is athens maple/cairo '.state == "routed"'
    check 'everybody reaches everybody' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
    settled 'row 44' athens cairo
}

check_weather() {
    weather delay 30ms 20ms reorder 25% duplicate 10%  # first: what is just being sent then is lost
    begin_stream late athens cairo
    sleep 5
    check 'row 29: of packets late, twice and in another order none is lost' end_stream late
    told late
    check 'row 29: and none is taken twice' none_twice late
    calm
    lines_of athens >"$work/lines"
    refused_by athens cairo >"$work/refused.before"
    weather corrupt 5%
    check 'row 30: while bits flip 200 kB arrive as they were sent' transfer cairo athens "${v6_of[athens]}" 200000
    check 'row 30: and back' transfer athens cairo "${v6_of[cairo]}" 200000
    calm
    check 'row 30: what was not is counted by the kernel' eval '[ "$(refused_by athens cairo)" -gt "$(cat "$work/refused.before")" ]'
    check 'row 30: the log is not flooded' test $(($(lines_of athens) - $(<"$work/lines"))) -le 5
    weather loss 30%
    check 'row 27: keys are changed while a third is lost' eval \
        'ask athens rekey maple/cairo >/dev/null && wait_for 20 changed athens maple/cairo 1 0'
    sleep 5
    calm
    as_one 'row 27, 29, 30'
    settled 'row 27, 29, 30' athens cairo
}

forwards() { [ "$(in_host cairo sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)" = '1 1' ]; }
check_forwarding() {
    in_host cairo sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.all.seg6_enabled=0
    check 'row 9: forwarding that somebody switches off is on again within ten seconds' wait_for 12 forwards
    check 'row 9: and packets are forwarded' wait_for 5 reaches athens-host "${host_v4_of[cairo]}"
    settled 'row 9' cairo
}


# Two seconds of a carrier that comes and goes ten times a second.
flaps() {
    local _
    for _ in $(seq 20); do
        in_host switch ip link set to-athens down
        sleep 0.05
        in_host switch ip link set to-athens up
        sleep 0.05
    done
}
ticks() { awk '{ print $14 + $15 }' "/proc/${daemon_pid[$1]}/stat"; }
check_flaps() {
    local before began=${EPOCHREALTIME/./} took
    before=$(ticks athens)
    flaps
    took=$(((${EPOCHREALTIME/./} - began) / 10000))  # in ticks
    check 'row 39: an interface that flaps ten times a second takes half a processor at most' \
        test $((($(ticks athens) - before) * 2)) -lt $took
    check 'row 39: and all is well five seconds after' wait_for 5 all_reach 4
    settled 'row 39' athens
}

# Wall clocks are all one in here; everything that measures waits until it is right again.
jumps() {
    local to now
    for to in '+1 hour' '-1 hour' '+1 year' '-1 year' 1970-01-02; do
        now=$(date +%s)
        date -s "$to" >/dev/null
        sleep 2
        date -s "@$((now + 2))" >/dev/null
    done
}
check_clock() {
    begin_stream clock athens dakar
    sleep 1
    jumps
    check 'row 24: clocks that jump cost no packet' end_stream clock
    told clock
    as_one 'row 24'
    settled 'row 24' athens dakar
}

# Row 64: what the registry says of cairo is another, and again; nobody else notices.
sas_of() { tunnel_to "$1" maple/dakar | jq -c '[.spi_in, .spi_out, .came_up, .rekeyings]'; }
tunnel_to() { ask "$1" tunnels --json | jq -c ".tunnels[] | select(.peer == \"$2\")"; }
check_reload() {
    local before
    before=$(sas_of athens)
    write_registry "$work/smaller.json" athens dakar
    begin_stream others athens dakar
    sleep 1
    ask athens load -r "$work/smaller.json" --dry-run >"$work/changes"
    check 'row 64: a trial says what would go, in the words of ip' grep -q 'ip .*route del 10.10.3.0/24\|ip link del' "$work/changes"
    registry_of[athens]=$work/smaller.json
    ask athens load -r "$work/smaller.json" >/dev/null
    check 'row 64: who has left the registry has no tunnel' eval '[ -z "$(tunnel_to athens maple/cairo)" ]'
    settled 'row 64' athens
    registry_of[athens]=$work/registry.json
    ask athens load -r "$work/registry.json" >/dev/null
    check 'row 64: who is in it again has one' wait_for 20 tunnel_is athens maple/cairo '.state == "routed"'
    check 'row 64: not one packet to others is lost' end_stream others
    told others
    check 'row 64: nor are their SAs others' test "$before" = "$(sas_of athens)"
    settled 'row 64' athens
}

# What an administrator writes into the configuration, with the kernel's ESP.
alter() { jq "$2" "${config_of[$1]}" >"$work/altered" && cp "$work/altered" "${config_of[$1]}"; }
looks_so() { in_host athens ip -o link | grep 'aronet-' | grep -vq "mtu $1 " && return 1; in_host athens ip addr show dev aronet | grep -q 10.10.1.9; }
windows_are() { [ "$(in_host athens ip xfrm state | grep -c "replay_window $1\|replay-window $1\|bitmap-length $(($1 / 32))")" -gt 0 ]; }
refuses_name() {
    local status=0
    ask athens reload >"$work/refused" 2>&1 || status=$?
    cat "$work/refused"
    [ $status = 5 ] && grep -q 'daemon.ifname: cannot be another' "$work/refused"
}
kernel_now() {
    in_host athens sh -c 'ip -o addr; ip -o link | cut -d" " -f2-; ip route show table all; ip -6 route show table all; ip rule; ip xfrm policy; ip xfrm state | grep -e ^src -e spi' |
        sed 's/ expires [0-9]*sec//'
}
check_configuration() {
    local before
    cp "${config_of[athens]}" "$work/athens.good"
    before=$(sas_of athens)
    begin_stream configured athens dakar
    sleep 1
    alter athens '.daemon.extra_ip += ["10.10.1.9"] | .babel.rxcost = 500 | .daemon.mtu = 1380'
    check 'another configuration is taken over' ask athens reload
    check 'its links and addresses are so' wait_for 5 looks_so 1380
    check 'row 64: the SAs are not others' test "$before" = "$(sas_of athens)"
    settled 'after a reload' athens
    alter athens '.ike.replay_window = 2048'
    check 'another window is taken over' ask athens reload
    check 'the SAs are others, with that window' wait_for 20 eval '[ "$before" != "$(sas_of athens)" ] && windows_are 2048'
    sleep 3
    settled 'after a reload that takes other SAs' athens
    alter athens '.daemon.ifname = "mesh"'
    kernel_now >"$work/kernel.before"
    check 'a key that lasts is refused by name' refuses_name
    kernel_now >"$work/kernel.after"
    check 'and nothing is changed in the kernel' diff "$work/kernel.before" "$work/kernel.after"
    cp "$work/athens.good" "${config_of[athens]}"
    check 'the configuration of before is taken over again' ask athens reload
    check 'row 64: not one packet is lost while configurations change' end_stream configured
    told configured
    as_one 'reload'
    settled 'after all of that' athens
}

lacks_way() { ! ask "$1" routes --json | jq -e ".routes | any(.selected and .destination == \"$2\")" >/dev/null; }
check_silence() {
    kill -STOP "${daemon_pid[cairo]}"
    check 'row 60: who goes silent is given up within four seconds' wait_for 4 lacks_way athens 10.10.3.0/24
    kill -CONT "${daemon_pid[cairo]}"
    check 'and taken again' wait_for 20 all_reach 4 6
    settled 'row 60' cairo
}

# Row 43: as after a power failure of cairo, of which nobody was told.
forgets() {
    local link
    kill_hard cairo
    in_host cairo sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.all.seg6_enabled=0
    in_host cairo ip xfrm state flush
    in_host cairo ip xfrm policy flush
    for link in $(in_host cairo ip -br link | sed -n 's/^\(aronet[^ @]*\).*/\1/p'); do in_host cairo ip link del "$link"; done
    in_host cairo sysctl -qw net.vrf.strict_mode=0
    in_host cairo rm /run/aronet/aronet.state
}
check_forgotten() {
    forgets
    start cairo
    check 'row 43: who begins anew has tunnels within ten seconds' wait_for 10 eval 'reaches cairo 10.10.1.1 && reaches cairo 10.10.4.1'
    check 'everybody reaches everybody' wait_for 20 all_reach 4 6
    patience=30 settled 'row 43' "${nodes[@]}"
}

load_modules
write_keys
for node in athens cairo; do write_config $node vrf kernel; done
write_config dakar netns kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
begin_late
check_weather
check_forwarding
check_flaps
check_clock
check_reload
check_configuration
check_silence
check_forgotten
check_clean_stop
[ "$failures" = 0 ] || { show_logs 40; exit 1; }
