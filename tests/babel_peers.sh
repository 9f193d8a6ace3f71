# shellcheck shell=bash
# Routers of ours without tunnels and Babel daemons of others, each in its host. To be sourced after peers.sh.

# router NAME...: hosts that forward.
router() {
    local name
    for name; do
        add_host "$name"
        in_host "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 \
            net.ipv6.conf.default.accept_dad=0
    done
}

# cable HOST HOST: a cable between interfaces that are called as the other end's host.
cable() { link "$1" "$2" "$2" "$1"; }

# address HOST INTERFACE ADDRESS...
address() {
    local host=$1 interface=$2 one
    shift 2
    for one; do in_host "$host" ip addr add "$one" dev "$interface"; done
}

# ours NAME BABEL [MORE]: runs aronet there as a plain router. BABEL is the inside of the configuration's "babel",
# MORE are further members of it all.
ours() {
    config_of[$1]=$work/$1.json
    printf '{"daemon": {"mode": "none"}, "endpoints": [],\n "babel": {%s}%s}\n' "$2" "${3:+, $3}" >"$work/$1.json"
    start "$1"
}

# run_peer NAME COMMAND...: a daemon of others that stays in the foreground; its pid is daemon_pid[NAME].
run_peer() {
    local name=$1
    shift
    nsenter -t "${holder[$name]}" -n -m -- "$@" >>"$work/$name.log" 2>&1 &
    daemon_pid[$name]=$!
}

# babeld_on NAME LINE...: configuration lines of babeld. What it has of its own it announces (its default).
babeld_on() {
    local name=$1
    shift
    printf '%s\n' "$@" >"$work/$name.conf"
    rm -f "$work/$name.pid" "$work/$name.babel"
    run_peer "$name" babeld -I "$work/$name.pid" -S "$work/$name.state" -G "$work/$name.babel" -c "$work/$name.conf"
}

# bird_on NAME BABEL [PROTOCOLS]: the inside of BIRD's protocol babel, and further protocols. The addresses of its lo are
# announced. With bird_v6='ipv6 sadr' its IPv6 routes may have sources (RFC 9079).
bird_on() {
    local name=$1 v6=${bird_v6:-ipv6}
    cat >"$work/$name.conf" <<CONFIG
router id 10.255.0.$(($(printf %d "'${name: -1}") % 250 + 1));
$([ "$v6" = ipv6 ] || echo 'ipv6 sadr table sadr6;')
protocol device { scan time 10; }
protocol direct { ipv4; $v6; interface "lo"; }
protocol kernel k4 { scan time 10; ipv4 { import none; export where source = RTS_BABEL; }; }
protocol kernel k6 { scan time 10; $v6 { import none; export where source = RTS_BABEL; }; }
protocol babel b {
    ipv4 { import all; export where source ~ [ RTS_DEVICE, RTS_STATIC, RTS_BABEL ]; };
    $v6 { import all; export where source ~ [ RTS_DEVICE, RTS_STATIC, RTS_BABEL ]; };
    $2
}
${3:-}
CONFIG
    run_peer "$name" bird -f -c "$work/$name.conf" -s "$work/$name.ctl"
}

# frr_on NAME INTERFACE...: FRR's zebra and babeld, which announces what is connected.
frr_on() {
    local name=$1 interface
    shift
    {
        echo 'router babel'
        for interface; do echo " network $interface"; done
        for family in ipv4 ipv6; do echo " redistribute $family connected"; done
        for interface; do printf 'interface %s\n babel wired\n babel hello-interval 1000\n babel update-interval 4000\n' "$interface"; done
    } >"$work/$name.conf"
    # They run as a user of their own, who sees nothing of ours.
    in_host "$name" sh -c 'mkdir -p /run/frr; rm -f /run/frr/*.api /run/frr/*.vty; cp "$0" /run/frr/babeld.conf; touch /run/frr/zebra.conf; chown -R frr:frr /run/frr' \
        "$work/$name.conf"
    run_peer "$name" /usr/lib/frr/zebra -A 127.0.0.1 -f /run/frr/zebra.conf -i /run/frr/zebra.pid -z /run/frr/zserv.api
    daemon_pid[$name-zebra]=${daemon_pid[$name]}
    wait_for 10 in_host "$name" test -S /run/frr/zserv.api || return 1
    run_peer "$name" /usr/lib/frr/babeld -A 127.0.0.1 -f /run/frr/babeld.conf -i /run/frr/babeld.pid -z /run/frr/zserv.api
    # What it was told to run on before it knew the interface it leaves alone until the interface comes up again.
    wait_for 10 in_host "$name" test -S /run/frr/babeld.vty || return 1
    sleep 1
    for interface; do
        in_host "$name" ip link set "$interface" down
        in_host "$name" ip link set "$interface" up
    done
}

# Waited for, and what the kernel had of it is gone too, so that nothing passes by routes of the dead. (`stop` asks first.)
kill_peer() {
    local family protocol
    kill -KILL "${daemon_pid[$1]}"
    wait "${daemon_pid[$1]}" 2>/dev/null || true
    for family in -4 -6; do
        for protocol in bird babel 140; do in_host "$1" ip $family route flush table all proto $protocol; done
    done
}

# has HOST PREFIX [WORDS]: the host's kernel has a route for it (with these words in it) that leads somewhere.
has() {
    local family=-4
    case $2 in *:*) family=-6 ;; esac
    in_host "$1" ip $family route show "$2" | grep -v unreachable | grep -q -- "${3:-}"
}
lacks() { ! has "$@"; }
# through HOST FAMILY NUMBER: how many routes to networks of this number lead to somebody.
through() { in_host "$1" ip "-$2" route show | grep -E "^(fd|10\.)$3[:.]" | grep -c via; }

# carries HOST TO [FROM]: an answer comes back from TO, asked by FROM.
carries() { in_host "$1" ping -c1 -W1 -q ${3:+-I "$3"} "$2" >/dev/null 2>&1; }

# within MILLISECONDS COMMAND...: that it succeeds, since begin(); says how long it took.
begin() { began=${EPOCHREALTIME/./}; }
since_begin() { echo $(((${EPOCHREALTIME/./} - began) / 1000)); }
within() {
    local most=$1 took
    shift
    until "$@"; do
        [ "$(since_begin)" -lt $((most + 10000)) ] || break
        sleep 0.05
    done
    took=$(since_begin)
    echo "$took ms"
    [ "$took" -le "$most" ]
}

# neighbours NODE FILTER: jq's filter holds for the list of our node's neighbours.
neighbours() { ask "$1" neighbours --json | jq -e ".neighbours | $2" >/dev/null; }

# cut HOST INTERFACE, mend HOST: what comes in there is lost without a word.
cut() {
    in_host "$1" nft "add table inet cut; add chain inet cut in { type filter hook input priority -300; };
        add chain inet cut forward { type filter hook forward priority -300; };
        add rule inet cut in iifname \"$2\" drop; add rule inet cut forward iifname \"$2\" drop"
}
mend() { in_host "$1" nft delete table inet cut; }

# loses HOST PERCENT: of all packets that come in, at random.
loses() {
    in_host "$1" nft "add table inet loss; add chain inet loss in { type filter hook prerouting priority -300; };
        add rule inet loss in iifname != \"lo\" numgen random mod 100 < $2 drop"
}
loses_nothing() { in_host "$1" nft delete table inet loss; }

mac_of() { in_host "$1" ip -o link show "$2" | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/'; }

# record HOST INTERFACE: everything of Babel that passes there, into $work/HOST-INTERFACE.pcap.
record() {
    nsenter -t "${holder[$1]}" -n -m -- tcpdump -i "$2" -U -s 0 -w "$work/$1-$2.pcap" udp port 6696 >/dev/null 2>&1 &
    daemon_pid[tcpdump-$1-$2]=$!
    wait_for 5 test -s "$work/$1-$2.pcap"
}

# What tcpdump and tshark find wrong with the packets in FILE. Each is wrong once itself. tcpdump stops at the first update of
# encoding 4 (RFC 9229), which it takes for invalid. tshark 4.0 looks for four octets too many behind the timestamps of an
# IHU (RFC 9616) and takes what ends with these for malformed, of babeld as well: that is left to tcpdump or, where this has
# stopped before, must be read up to that IHU.
malformed() {
    tcpdump -vv -n -r "$1" 2>/dev/null | grep -i -e malformed -e truncated -e '\[|' -e invalid | grep -v 'Update (invalid)'
    tshark -r "$1" -Y '_ws.malformed && !(frame[-10:2] == 03:08)' 2>/dev/null
    tshark -r "$1" -Y '_ws.malformed && frame[-10:2] == 03:08 && babel.message.ae == 4' 2>/dev/null | grep -v ' ihu\[Malformed'
}
well_formed() {
    local read
    mergecap -w "$work/recorded" "$work"/*.pcap
    read=$(tshark -r "$work/recorded" -Y babel 2>/dev/null | wc -l)
    [ "$read" -ge "${1:-50}" ] || { echo "only $read packets of Babel"; return 1; }
    malformed "$work/recorded" >"$work/malformed"
    [ ! -s "$work/malformed" ] || { head -n 3 "$work/malformed"; return 1; }
}

# with_peers PEER...: the scenario with each of them ("${peers[@]}" where none is named), which is the function with_PEER. Then
# what was recorded is read, and the scenario is over.
peers=(babeld bird)
with_peers() {
    local peer
    needs_namespaces
    [ $# -gt 0 ] || set -- "${peers[@]}"
    for peer; do "with_$peer"; done
    check 'tcpdump and tshark can read all that was said' well_formed
    [ "$failures" = 0 ] || { show_logs 10; exit 1; }
}

# in_line HOST...: routers with a cable from each to the next; the first has fd20:1::1, the second fd20:2::1 and so on.
in_line() {
    local host before='' n=0
    router "$@"
    for host; do
        n=$((n + 1))
        address "$host" lo "fd20:$n::1/128"
        [ -z "$before" ] || cable "$before" "$host"
        before=$host
    done
}
