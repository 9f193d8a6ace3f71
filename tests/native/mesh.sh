#!/bin/bash
# Four nodes of ours on any kernel: the user data plane in netns mode. And the commands, as a script would use them.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"

exits_with() {  # STATUS COMMAND...
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    [ "$status" = "$wanted" ] || { echo "exit status $status"; return 1; }
}
is_json() {  # NODE VERB FILTER: the answer is JSON for which the filter holds
    ask "$1" "$2" --json | tee "$work/answer.json" | jq -e "$3" >/dev/null || { tr -d '\n' <"$work/answer.json" | head -c 3000; return 1; }
}
says() { "${@:2}" | tee "$work/says" | grep -qx -- "$1" || { cat "$work/says"; return 1; }; }

check_commands() {
    check 'status is ready, exit status 0' exits_with 0 ask athens status
    check 'status --json' is_json athens status '.schema == "aronet.status/1" and .state == "ready" and
        .organization == "olive" and .common_name == "athens" and .mode == "netns" and .datapath == "user" and
        .tunnels.total == 4 and .tunnels.up == 4 and .neighbours.reachable == 4 and .routes.installed == 6 and
        .unreached == [] and (.pid | type) == "number" and (.drops | has("ike") and has("babel") and has("esp"))'
    # The counters may be a second old: on a fast machine all of the transfers fit into that second.
    check 'tunnels --json' wait_for 3 is_json athens tunnels '.schema == "aronet.tunnels/1" and (.tunnels | length) == 4 and
        (.tunnels | all(.state == "routed" and (.interface | startswith("aronet-")) and (.spi_in | length) == 8 and
            (.remote | endswith(":12025")) and .esp_suite != "" and .came_up >= 1 and
            .packets_in > 0 and .bytes_in > .packets_in and .packets_out > 0 and .bytes_out > .packets_out)) and
        ([.tunnels[].bytes_out] | add) > 10000000 and
        ([.tunnels[].peer] | unique) == ["maple/cairo", "maple/dakar", "olive/berlin"]'
    check 'neighbours --json' is_json athens neighbours '.schema == "aronet.neighbours/1" and
        (.neighbours | length) == 4 and (.neighbours | all(.reachable and .rtt_ms > 0 and .cost >= 32 and
            (.address | startswith("fe80:"))))'
    check 'routes --json' is_json athens routes '.schema == "aronet.routes/1" and
        ([.routes[] | select(.selected) | .destination] | sort) == ["10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24",
            "fd10:2::/64", "fd10:3::/64", "fd10:4::/64"] and
        (.routes | all(.feasible or (.selected | not)))'
    check 'daemon info --json' is_info athens
    check 'dakar is known to be behind NAT' is_json dakar tunnels '.tunnels | all(.behind_nat)'
    check 'a socket where nobody listens: exit status 3' exits_with 3 ask athens --socket /run/nobody.sock status
}
is_info() { ask "$1" daemon info --json | jq -e '.schema == "aronet.info/1" and .registry.nodes == 4'; }

check_loading() {
    write_registry "$work/three.json" athens berlin cairo
    check 'load says who is removed' says 'removed: maple/dakar' ask athens load -r "$work/three.json"
    check 'what is removed is not reached any more' gone 10.10.4.1
    check 'the tunnel to it is gone' wait_for 10 is_json athens tunnels '[.tunnels[].peer] | index("maple/dakar") == null'
    check 'the others are still reached' reaches athens 10.10.3.1
    check 'a registry with an error is refused: exit status 6' exits_with 6 ask athens load -r "$work/bad.json"
    check 'the registry before it stays' is_json athens tunnels '.tunnels | length == 3'
    check 'load says who is added' says 'added:   maple/dakar' ask athens load -r "$work/registry.json"
    check 'the same registry again changes nothing' says 'altered: none' ask athens load -r "$work/registry.json"
    check 'what is added is reached again' wait_for 30 reaches athens 10.10.4.1
}
gone() { ! reaches athens "$1"; }

# What a second daemon might take away or make anew: links and namespaces have numbers.
picture() {
    in_host "$1" sh -c 'ls -i /run/netns; for in in "" "-n aronet"; do ip $in -o link; ip $in -o addr; ip $in route show table all
        ip $in -6 route show table all; done; ip rule; ip -6 rule; stat -c "%i %y" /run/aronet/aronet.pid; ls -i /run/aronet' |
        sed 's/ expires [0-9]*sec//; s/valid_lft.*//'
}
check_alone() {
    local cairo=${daemon_pid[cairo]}
    picture cairo >"$work/cairo.picture"
    start cairo
    check 'row 19: a second daemon of the same node refuses to run, exit status 3' exits_with 3 wait "${daemon_pid[cairo]}"
    daemon_pid[cairo]=$cairo
    check 'row 19: and says who runs' grep -q "already running with pid $cairo\b" "$work/cairo.log"
    check 'row 19: it has touched nothing' eval 'picture cairo | diff "$work/cairo.picture" -'
    check 'row 19: and the first has not noticed' ask cairo status
}

# berlin logs in JSON, whatever happens to it.
# An Update for fd66::/40 as Babel has it, from a PORT; counted by athens under REASON. The command runs python3 where it is
# to come from: what is behind a member, or a member itself.
claims_prefix() {  # PORT ADDRESS REASON COMMAND...
    "${@:4}" python3 - "$1" "$2" <<'SCRIPT'
import socket, sys
router_id = bytes.fromhex("060a0000") + b"\x02" + bytes(6) + b"\x66"
update = bytes.fromhex("081202002800019000010000") + bytes.fromhex("fd66000000000000")
to = socket.getaddrinfo(sys.argv[2], 6696, socket.AF_INET6, socket.SOCK_DGRAM)[0][4]
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    s.bind(("::", int(sys.argv[1])))
    s.sendto(b"\x2a\x02" + len(router_id + update).to_bytes(2, "big") + router_id + update, to)
SCRIPT
    ask athens status --json | jq -c .drops.babel | tee "$work/drops" | jq -e ".[\"$3\"] > 0" >/dev/null || { echo "to $2"; cat "$work/drops"; return 1; }
}
check_strangers() {
    local inside link_local
    inside=$(in_host athens ip -n aronet -j -6 addr show dev aronet scope global | jq -r '[.[].addr_info[]?.local // empty][0]')
    link_local=$(ask cairo neighbours --json | jq -r '[.neighbours[] | select(.peer == "olive/athens") | .address + "%" + .interface][0]')
    check 'row 53: Babel from another port of a neighbour is counted' wait_for 5 \
        claims_prefix 40000 "$link_local" 'wrong source port' in_host cairo ip netns exec aronet
    check 'row 54: Babel from a host behind dakar is counted' wait_for 5 \
        claims_prefix 6696 "$inside" 'source is not link-local' in_host dakar-host
    check 'row 53, 54: neither is believed' eval '! ask athens routes --json | grep -q fd66'
}

check_log() {
    cp "$work/bad.json" "${registry_of[berlin]}"
    kill -HUP "${daemon_pid[berlin]}"
    check 'a bad registry on SIGHUP is refused in the log' wait_for 10 grep -q 'berlin.registry: not usable: .*: the old registry stays' "$work/berlin.log"
    cp "$work/registry.json" "${registry_of[berlin]}"
    check 'every line of a log in JSON is JSON' jq -e '.time and .level and .text' "$work/berlin.log"
}

check_degraded() {
    check 'dakar stops by the command' ask dakar daemon stop
    check 'the daemon ends with exit status 0' wait "${daemon_pid[dakar]}"
    check 'status of another is 7 as long as a node is missing' wait_for 20 exits_with 7 ask cairo status
    check 'and names it' is_json cairo status '.unreached == ["maple/dakar"]'
    start dakar
    check 'and 0 when it is back' wait_for 30 exits_with 0 ask cairo status
}

# What is in memory is as good as a disk: of a size, and full.
fill() { in_host "$1" sh -c 'mount -o remount,size=256k /run && ! cat /dev/zero >/run/filler' 2>/dev/null; }
unfill() { in_host "$1" rm /run/filler; }
is_remembered() { in_host "$1" grep -q '^router-id' /run/aronet/aronet.state; }
check_full_disk() {
    local node=$1
    check 'row 20: the disk is full while a node runs' fill "$node"
    check 'row 20: everybody is reached' all_reach 4 6
    kill_hard "$node"
    check 'row 20: kill -9, and it is full still' fill "$node"
    start "$node"
    check 'row 20: a start on it: everybody is reached' wait_for 30 all_reach 4 6
    check 'row 20: in what room it had before it remembers' wait_for 5 is_remembered "$node"
    check 'row 20: the kernel has what the node tells of' agree "$node"
    stop "$node"
    check 'row 20: it is full where nothing of the node is' fill "$node"
    start "$node"
    check 'row 20: a first start on it: everybody is reached' wait_for 30 all_reach 4 6
    check 'row 20: what cannot be written is said once' eval \
        '[ "$(grep -c "warning.*/run/aronet/aronet.state: No space left on device: a restart" "$work/$node.log")" = 1 ]'
    check 'row 20: nothing half-written is left' in_host "$node" sh -c '! test -s /run/aronet/aronet.state && ! test -e /run/aronet/aronet.state.new'
    check 'row 20: the kernel has what the node tells of, also then' agree "$node"
    unfill "$node"
    check 'row 20: with room again it remembers' wait_for 20 is_remembered "$node"
    check 'row 20: and says so' wait_for 5 grep -q 'info .*a restart will be able to go on from here again' "$work/$node.log"
}

needs_namespaces
build_mesh netns user
echo '[{"organization": "olive"' >"$work/bad.json"
sed -i '1a "log": {"format": "json"},' "${config_of[berlin]}"
registry_of[berlin]=$work/berlin.registry
cp "$work/registry.json" "${registry_of[berlin]}"
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
start athens
wait_for 10 in_host athens test -S /run/aronet/aronet.sock
check 'status of a node alone is 7' exits_with 7 ask athens status
for node in berlin cairo dakar; do start $node; done
check 'every node reaches every other within 30 s' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check_pairs
check '10 MB of IPv4 from athens to dakar' transfer athens dakar "${v4_of[dakar]}" 10000000
check '10 MB of IPv4 from the host behind dakar to the one behind athens' \
    transfer dakar-host athens-host "${host_v4_of[athens]}" 10000000
check '10 MB of IPv6 from the host behind berlin to the one behind cairo' \
    transfer berlin-host cairo-host "${host_v6_of[cairo]}" 10000000
check '10 MB of IPv6 from cairo to berlin' transfer cairo berlin "${v6_of[berlin]}" 10000000
check 'status is ready everywhere' wait_for 20 exits_with 0 ask athens status
check_commands
check_strangers
check_loading
check_taken_away athens
check_alone
check_restart athens
check_restart dakar
check_full_disk cairo
check_degraded
check_log
check_clean_stop
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
