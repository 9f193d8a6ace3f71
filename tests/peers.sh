# shellcheck shell=bash
# The rig of the scenarios: hosts as namespaces on one switch, nodes of ours on them, hosts behind the nodes. To be sourced.
# Every host is a process that holds a network and a mount namespace with a /run of its own, so that the nodes of a
# scenario, and scenarios running at once, never meet; when the process ends, everything of it is gone.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
aronet=${ARONET:-$root/build/release/aronet}
work=$(mktemp -d "${TMPDIR:-/tmp}/aronet-test.XXXXXX")
declare -A holder=() daemon_pid=() config_of=() registry_of=() v4_of=() v6_of=() host_v4_of=() host_v6_of=()
nodes=()

failures=0
ok() { printf 'ok %s\n' "$1"; }
not_ok() {
    printf 'not ok %s: %s\n' "$1" "${2:-}"
    failures=$((failures + 1))
}

# What cannot be run here is said to be left out, which is no failure.
needs_namespaces() {
    unshare -n -m true 2>/dev/null && return
    echo 'left out: namespaces are not allowed here'
    exit 0
}

# packets_lost FILE: by what ping said at its end (which SIGINT makes it say, and SIGTERM does not). Who said nothing has lost
# nothing either, and has shown nothing.
packets_lost() {
    local sent received
    read -r sent received < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$1")
    if [ "${sent:-0}" -gt 0 ] && [ "$received" -le "$sent" ]; then echo $((sent - received))
    else echo "no count of packets: $(tail -n 3 "$1" | tr '\n' ' ')" >&2 && return 1; fi
}
# lost_at_most COUNT FILE: how many is left in `lost`.
lost_at_most() { lost=$(packets_lost "$2") && { [ "$lost" -le "$1" ] || { echo "$lost"; return 1; }; }; }

# check NAME COMMAND...: passes if the command succeeds; what it said last is the reason otherwise. How long a row of the fault
# matrix had to be waited for is said for its table.
check() {
    local name=$1
    shift
    recovered=
    if "$@" >"$work/said" 2>&1; then ok "$name"; else
        not_ok "$name" "$(tail -n 3 "$work/said" | tr '\n' ' ')"
        return 1
    fi
    [[ $name != "row "* || -z $recovered ]] || echo "# ${name%%:*}: $recovered ms"
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$((SECONDS + $1)) began=${EPOCHREALTIME/./}
    shift
    until "$@"; do
        [ $SECONDS -lt "$end" ] || return 1
        sleep "${pause:-0.3}"
    done
    recovered=$(((${EPOCHREALTIME/./} - began) / 1000))
}

in_host() {
    local host=$1
    shift
    nsenter -t "${holder[$host]}" -n -m -- "$@"
}
# The same in place of a shell in the background, so that who ends that ends the command.
as_host() { exec nsenter -t "${holder[$1]}" -n -m -- "${@:2}"; }

add_host() {
    unshare -n -m --propagation private sh -c 'mount -t tmpfs tmpfs /run && mkdir -p /run/netns && echo up >"$0" &&
        exec sleep infinity' "$work/holder.$1" </dev/null >/dev/null 2>&1 &
    holder[$1]=$!
    disown $!
    for _ in $(seq 100); do
        [ -s "$work/holder.$1" ] && break
        sleep 0.05
    done
    in_host "$1" ip link set lo up
}

# link HOST DEVICE HOST DEVICE: a cable.
link() {
    in_host "$1" ip link add "$2" type veth peer name "$4" netns "${holder[$3]}"
    in_host "$1" ip link set "$2" up
    in_host "$3" ip link set "$4" up
}

# plug HOST ADDRESS...: a cable from the host's eth0 to the switch.
plug() {
    local host=$1
    shift
    link switch "to-$host" "$host" eth0
    in_host switch ip link set "to-$host" master switch
    local address
    for address; do
        case $address in *:*) in_host "$host" ip addr add "$address" dev eth0 nodad ;;
            *) in_host "$host" ip addr add "$address" dev eth0 ;; esac
    done
}

add_switch() {
    add_host switch
    in_host switch ip link add switch type bridge mcast_snooping 0
    in_host switch ip link set switch up
}

# add_router NAME ADDRESS HOST: a router that translates the addresses of HOST behind it.
add_router() {
    add_host "$1"
    plug "$1" "$2"
    link "$1" inside "$3" eth0
    in_host "$1" ip addr add 172.16.0.1/24 dev inside
    in_host "$3" ip addr add 172.16.0.2/24 dev eth0
    in_host "$3" ip route add default via 172.16.0.1
    in_host "$1" sysctl -qw net.ipv4.ip_forward=1
    in_host "$1" nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };
        add rule ip nat out oifname "eth0" masquerade'
}

# add_lan NODE: a host behind the node, with addresses of the node's network and prefix (its v6_of and v4_of).
add_lan() {
    local node=$1 four=${v4_of[$1]%.*} six=${v6_of[$1]%::ffff:0:0:1}
    add_host "$node-host"
    link "$node" lan "$node-host" eth0
    in_host "$node" ip addr add "$four.254/24" dev lan
    in_host "$node" ip addr add "$six::fe/64" dev lan nodad
    in_host "$node-host" ip addr add "$four.10/24" dev eth0
    in_host "$node-host" ip addr add "$six::10/64" dev eth0 nodad
    in_host "$node-host" ip route add default via "$four.254"
    in_host "$node-host" ip route add default via "$six::fe"
    host_v4_of[$node]=$four.10
    host_v6_of[$node]=$six::10
}

start() {
    # nsenter executes the daemon in its own place: its process id is the daemon's.
    nsenter -t "${holder[$1]}" -n -m -- "$aronet" daemon run -c "${config_of[$1]}" \
        ${registry_of[$1]:+-r "${registry_of[$1]}"} >>"$work/$1.log" 2>&1 &
    daemon_pid[$1]=$!
}

stop() {
    kill -TERM "${daemon_pid[$1]}" && wait "${daemon_pid[$1]}"
}

kill_hard() {
    kill -KILL "${daemon_pid[$1]}"
    wait "${daemon_pid[$1]}" 2>/dev/null || true
}

# A node that does not run says null: jq takes no input at all for a success.
ask() {
    local node=$1 status=0
    shift
    in_host "$node" "$aronet" "$@" || status=$?
    [ $status != 3 ] || echo null
    return $status
}

# via NODE PREFIX PEER: the way to the prefix leads over the peer.
via() {
    ask "$1" routes --json | jq -e --arg to "$2" --arg via "$3" \
        'any(.routes[]; .destination == $to and .selected and .via == $via)' >/dev/null
}
reaches() { in_host "$1" ping -c1 -W2 -q "$2" >/dev/null 2>&1; }

# Every node of "${nodes[@]}" reaches every other, in the families given (4, 6).
all_reach() {
    local from to family
    for from in "${nodes[@]}"; do
        for to in "${nodes[@]}"; do
            [ "$from" = "$to" ] && continue
            for family; do
                if [ "$family" = 4 ]; then reaches "$from" "${v4_of[$to]}"; else reaches "$from" "${v6_of[$to]}"; fi ||
                    return 1
            done
        done
    done
}

# A line for each pair: from the node and from the host behind it, to the other's node and the host behind that.
check_pairs() {
    local from to at ping_from target failed
    for from in "${nodes[@]}"; do
        for to in "${nodes[@]}"; do
            [ "$from" = "$to" ] && continue
            failed=
            for at in node host; do
                ping_from=$from
                [ $at = host ] && ping_from=$from-host
                [ -n "${holder[$ping_from]:-}" ] || continue
                for target in ${v4_of[$to]:-} ${v6_of[$to]:-} ${host_v4_of[$to]:-} ${host_v6_of[$to]:-}; do
                    # A node without IPv4 in the overlay.
                    [[ $target = *:* || -n ${v4_of[$from]:-} ]] || continue
                    reaches "$ping_from" "$target" || reaches "$ping_from" "$target" || failed+=" $ping_from>$target"
                done
            done
            if [ -z "$failed" ]; then ok "$from reaches $to, nodes and hosts behind them${v4_of[$from]:+${v4_of[$to]:+, IPv4}}, IPv6"
            else not_ok "$from reaches $to" "no answer:$failed"; fi
        done
    done
}

# transfer FROM TO ADDRESS BYTES: by TCP; true if exactly these bytes arrived.
transfer() {
    local from=$1 to=$2 address=$3 bytes=$4 family=4
    case $address in *:*) family=6 ;; esac
    [ -s "$work/bytes.$bytes" ] || head -c "$bytes" /dev/urandom >"$work/bytes.$bytes"
    rm -f "$work/arrived"
    in_host "$to" timeout 90 socat -u "TCP$family-LISTEN:5001,reuseaddr" "CREATE:$work/arrived" 2>/dev/null &
    local server=$!
    [ $family = 6 ] && address="[$address]"
    in_host "$from" timeout 90 socat -u "OPEN:$work/bytes.$bytes" "TCP$family:$address:5001,retry=40,interval=0.1" \
        2>>"$work/socat.log"
    [ $? = 0 ] || kill "$server" 2>/dev/null
    wait "$server"
    cmp -s "$work/arrived" "$work/bytes.$bytes"
}

# What a node's host has in the kernel. A daemon must leave it as it was. (The rule for VRFs is the kernel's own: it
# comes with the first VRF and stays.)
kernel_of() {
    in_host "$1" sh -c '
        ip -o link | sed "s/@.*//; s/^[0-9]*: //" | cut -d: -f1
        ip -o addr | grep -v fe80 | awk "{ print \$2, \$3, \$4 }"
        ip -4 route show table all
        ip -6 route show table all | grep -v -e fe80 -e ff00 -e ^anycast | sed "s/ expires [0-9]*sec//"
        { ip rule; ip -6 rule; } | grep -v l3mdev-table
        ip xfrm state; ip xfrm policy
        nft list tables
        sysctl -e net.ipv6.conf.all.seg6_enabled net.vrf.strict_mode net.ipv4.tcp_l3mdev_accept net.ipv4.udp_l3mdev_accept
        grep . /proc/sys/net/ipv4/conf/*/rp_filter | grep -v /all/
        ls /run/netns; find /run -type s; ls /run/aronet 2>/dev/null
        true' 2>&1
    in_host "$1" sh -c \
        'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/all/rp_filter'
}

# The filter of calls is on unless the configuration says otherwise: what a scenario does passes under it.
filtered() { grep -q '^Seccomp:[[:space:]]*2' "/proc/${daemon_pid[$1]}/status"; }

check_clean_stop() {
    local node
    for node in "${nodes[@]}"; do check "the kernel of $node has what it tells of, to the end" agree "$node"; done
    for node in "${nodes[@]}"; do check "row 71: what $node did was under the filter of calls" filtered "$node"; done
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop "$node"; done
    for node in "${nodes[@]}"; do
        kernel_of "$node" >"$work/$node.left"
        if cmp -s "$work/$node.clean" "$work/$node.left"; then ok "row 16: $node leaves the kernel as it was"
        else not_ok "row 16: $node leaves the kernel as it was" "$(diff "$work/$node.clean" "$work/$node.left" | tr '\n' ';')"; fi
    done
}

# What was prepared for NODE stays when its daemon stops, with nothing in it.
links_inside() { in_host "$1" ip -n aronet -o link | sed 's/^[0-9]*: //; s/[@:].*//' | grep -v -e '^lo$' | wc -l; }
empty_inside() {
    [ "$(links_inside "$1")" = 0 ] && [ -z "$(in_host "$1" ip -n aronet route show table all | grep -v ' lo ')" ] &&
        [ -z "$(in_host "$1" ip -n aronet -6 route show proto 140)" ]
}

# How many links, states, policies and routes of ours: after a restart it must be the same as before.
count_kernel() {
    in_host "$1" sh -c '
        echo "links $(ip -o link | grep -c -v -e lo: -e eth0 -e lan)"
        echo "states $(ip -o xfrm state 2>/dev/null | grep -c "proto esp")"
        echo "policies $(ip -o xfrm policy 2>/dev/null | grep -c "if_id")"
        echo "routes $(ip route show table all proto 140 | wc -l) $(ip -6 route show table all proto 140 | wc -l)"
        echo "namespaces $(ls /run/netns | wc -l)"
        for space in $(ls /run/netns); do
            echo "inside: links $(ip -n $space -o link | wc -l)"
            echo "inside: routes $(ip -n $space route show proto 140 | wc -l) $(ip -n $space -6 route show proto 140 | wc -l)"
        done' 2>&1
}

same_count() { count_kernel "$1" >"$work/$1.after"; cmp "$work/$1.before" "$work/$1.after"; }
# count_settled NODE: counts what same_count compares with. What a rekeying or a duplicate has left goes within seconds.
count_settled() {
    settled() { count_kernel "$1" >"$work/$1.before" && sleep 6 && same_count "$1"; }
    wait_for 40 settled "$1"
}

# Links of ours that somebody else takes down or away come back with everything that was on them.
check_taken_away() {
    local node=$1 inside=(ip) tunnel
    in_host "$node" test -e /run/netns/aronet && inside=(ip -n aronet)
    is_whole() { same_count "$node" && all_reach 4 6; }
    count_settled "$node"
    tunnel=$(in_host "$node" "${inside[@]}" -br link | sed -n 's/^\(aronet-[0-9a-f]*\).*/\1/p' | head -n 1)
    in_host "$node" "${inside[@]}" link del "$tunnel"
    check "$node gets back a tunnel interface that somebody removed" wait_for 30 is_whole
    in_host "$node" ip link set aronet down
    check "$node gets back its main interface that somebody set down" wait_for 30 is_whole
    [ ${#inside[@]} -gt 1 ] || return 0
    in_host "$node" ip link del aronet
    check "$node gets back its main interface that somebody removed" wait_for 30 is_whole
}

# What each of the nodes tells of itself is what its kernel has, once what was replaced is gone, and a start would find nothing
# to do there: by its configuration and its registry (config_of, registry_of: those in force). Babel's routes no plan knows,
# but audit.py does.
audit() {
    in_host "$1" python3 "$root/tests/audit.py" /run/aronet/aronet.sock || return 1
    [ -n "${registry_of[$1]:-}" ] || return 0
    in_host "$1" "$aronet" daemon plan -c "${config_of[$1]}" -r "${registry_of[$1]}" >"$work/$1.plan" || return 1
    ! grep -v '^- ip .*route del .* metric 32$' "$work/$1.plan"
}
agree() {
    local node
    for node; do pause=1 wait_for "${patience:-10}" audit "$node" || return 1; done
    recovered=  # that it was looked at took time, and not to recover
}

show_logs() {
    local log
    for log in "$work"/*.log; do
        [ -s "$log" ] && { printf -- '-- %s\n' "$(basename "$log")"; tail -n "${1:-15}" "$log"; } >&2
    done
    true
}

clean_rig() {
    local pid
    for pid in "${daemon_pid[@]}" "${holder[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    # What a scenario started inside (charon, bird) still holds the namespaces.
    [ -d "$work/pids" ] && for pid in $(cat "$work"/pids/* 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
    if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean_rig EXIT

load_modules() {
    modprobe -a xfrm_interface vrf veth esp4 esp6 xfrm_user xfrm_algo gcm ccm seqiv echainiv authenc chacha20poly1305 \
        nf_tables nft_masq nft_chain_nat bridge tun cbc 2>/dev/null || true
}

# Kills a node's daemon and starts another: what the first left is adopted or removed, never doubled.
check_restart() {
    local node=$1
    count_settled "$node"
    kill_hard "$node"
    start "$node"
    check "after kill -9 and restart of $node the mesh works again" wait_for 60 all_reach 4 6
    if wait_for 30 same_count "$node" >/dev/null; then ok "nothing of $node is there twice after the restart"
    else not_ok "nothing of $node is there twice" "$(diff "$work/$node.before" "$work/$node.after" | tr '\n' ';')"; fi
}
