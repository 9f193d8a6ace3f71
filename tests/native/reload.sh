#!/bin/bash
# The configuration and the registry change under a running node: read again on SIGHUP and `aronet reload`, refused when
# they are bad, tried without a change, and very large.
# Alone: it asks for answers within a second while the daemon is busy.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
nodes=(athens cairo)
for each in changes one many; do rate_of[$each]=100 family_of[$each]=4; done

version() { ask athens daemon info --json | jq -er .registry.version; }
peers() { ask athens tunnels --json | jq -c '[.tunnels[].peer] | unique'; }
peers_are() { [ "$(peers)" = "$1" ] || { peers; return 1; }; }
came_up() { ask athens tunnels --json | jq -c '[.tunnels[] | select(.peer == "maple/cairo") | .came_up]'; }
logged() { grep -q -- "$1" "$work/athens.log" || { tail -n 5 "$work/athens.log"; return 1; }; }
hang_up() { kill -HUP "${daemon_pid[athens]}"; }

check_sighup() {
    local before version line
    before=$(came_up)
    cp "$work/three.json" "$work/registry.json"
    hang_up
    check 'SIGHUP reads the registry again' wait_for 10 peers_are '["maple/cairo","olive/berlin"]'
    version=$(version)
    # The second organization's first node: a key of a type that is none.
    jq '.[1].nodes[0].endpoints[0].port = "many"' "$work/three.json" >"$work/registry.json"
    line=$(grep -n '"many"' "$work/registry.json" | cut -d: -f1)
    hang_up
    check 'a bad file is told of with file, line, column and key' \
        wait_for 5 logged "$work/registry.json:$line:[0-9]*: \[1\].nodes\[0\].endpoints\[0\].port"
    check 'and that the old registry stays' wait_for 5 logged 'the old registry stays'
    check 'the old registry is still in use' test "$(version)" = "$version"
    echo '[{"organization": "olive",' >"$work/registry.json"
    hang_up
    check 'row 67: half a file is told of, too' wait_for 5 logged "$work/registry.json:2:1: "
    rm "$work/registry.json"
    hang_up
    check 'a missing file is told of' wait_for 5 logged "$work/registry.json: cannot be read: No such file"
    check 'nothing of the running state has changed' peers_are '["maple/cairo","olive/berlin"]'
    check 'no tunnel was set up anew' test "$(came_up)" = "$before"
    check 'and it carries' reaches athens "${v4_of[cairo]}"
}

# alter NODE JQ: its configuration.
alter() { jq "$2" "${config_of[$1]}" >"$work/altered" && cp "$work/altered" "${config_of[$1]}"; }
keys() { ask athens tunnels --json | jq -c '[.tunnels[] | select(.peer == "maple/cairo" and .spi_in != 0) | [.interface, .spi_in, .spi_out]]'; }
has_address() { in_host athens ip -j addr show dev aronet | jq -e ".[0].addr_info | any(.local == \"$1\")" >/dev/null; }
costs() { ask athens neighbours --json | jq -e "[.neighbours[].rxcost] | length > 0 and all(. == $1)" >/dev/null; }
cairo_learns() { ask cairo routes --json | jq -e ".routes | any(.destination == \"$1\" and .selected)" >/dev/null; }
listens_on() { in_host athens ss -Huln "sport = :$1" | grep -q .; }
exits_with() {  # STATUS TEXT COMMAND...
    local status=0
    "${@:3}" >"$work/text" 2>&1 || status=$?
    [ "$status" = "$1" ] && grep -q -- "$2" "$work/text" || { head -c 300 "$work/text"; return 1; }
}
tunnels_up() { [ "$(ask athens tunnels --json | jq '[.tunnels[] | select(.peer == "maple/cairo" and .state == "routed")] | length')" = "$1" ]; }

# Traffic flows all the while.
check_configuration() {
    local before since line
    before=$(keys) since=$(came_up)
    cp "${config_of[athens]}" "$work/athens.good"
    begin_stream changes athens cairo
    check 'a reload of what is there already changes nothing' exits_with 0 '^changed: none' ask athens reload
    alter athens '.daemon.extra_ip += ["10.10.1.9"] | .babel.rxcost = 500 | .log.level = "debug" | .ike.dpd_interval = "3s"'
    check 'what would be changed is shown in the words of ip' exits_with 0 '^+ ip addr replace 10.10.1.9/32 dev aronet' \
        ask athens reload --dry-run
    check 'a trial changes nothing' test "$(has_address 10.10.1.9 && echo there)" = ''
    check 'another configuration is taken over' \
        exits_with 0 '^changed: daemon.extra_ip, log.level, babel.rxcost, ike.dpd_interval' ask athens reload
    check 'an address comes' wait_for 5 has_address 10.10.1.9
    check 'another cost counts' wait_for 5 costs 500
    cp "$work/athens.good" "${config_of[athens]}"
    hang_up
    check 'SIGHUP reads the configuration, too' wait_for 5 costs 32
    check 'an address goes' test "$(has_address 10.10.1.9 && echo there)" = ''
    alter athens '.babel.rxcost = 500 | .daemon.ifname = "mesh"'
    line=$(grep -n '"mesh"' "${config_of[athens]}" | cut -d: -f1)
    check 'a key that lasts is refused by name and place' \
        exits_with 5 "athens.json:$line:[0-9]*: daemon.ifname: cannot be another" ask athens reload
    check 'and nothing of that configuration is in use' costs 32
    cp "$work/athens.good" "${config_of[athens]}"
    alter athens ".private_key = \"$work/maple.key\""
    check 'row 66: a key of its own that is another is refused by name' exits_with 5 'private_key: cannot be another' ask athens reload
    echo '{"babel": ' >"${config_of[athens]}"
    check 'half a configuration is refused' exits_with 5 'athens.json:2:1: not JSON' ask athens reload
    cp "$work/athens.good" "${config_of[athens]}"
    check 'all is as before' exits_with 0 '^changed: none' ask athens reload
    check 'row 64: the keys of unchanged tunnels survive all of that' test "$(keys)" = "$before"
    check 'none was set up anew' test "$(came_up)" = "$since"
    check 'row 64: and not a packet is lost' end_stream changes
}

# The registry is read again, too, and answered for.
check_registry() {
    local before
    before=$(keys)
    cp "$work/three.json" "$work/registry.json"
    check 'a reload brings another registry' exits_with 0 '^added: *olive/berlin' ask athens reload
    check 'which is in use when it is answered' peers_are '["maple/cairo","olive/berlin"]'
    head -c 300 "$work/three.json" >"$work/registry.json"
    check 'row 67: half a registry is refused, exit status 6' exits_with 6 "$work/registry.json:[0-9]*:[0-9]*: " ask athens reload
    check 'row 67: and the one before it stays' peers_are '["maple/cairo","olive/berlin"]'
    cp "$work/two.json" "$work/registry.json"
    alter athens '.babel.rxcost = 500'
    check 'a reload brings another configuration and another registry at once' \
        exits_with 0 '^removed: *olive/berlin' ask athens reload
    check 'and says both' grep -q '^changed: babel.rxcost' "$work/text"
    check 'both are in use when it is answered' eval "peers_are '[\"maple/cairo\"]' && wait_for 5 costs 500"
    cp "$work/athens.good" "${config_of[athens]}"
    check 'the keys of the tunnel that was in both are those they were' test "$(keys)" = "$before"
    ask athens reload >/dev/null
}

check_endpoints() {
    local before
    before=$(keys)
    alter athens '.endpoints += [{serial_number: 7, address: "192.0.2.1", port: 12777}]'
    check 'an endpoint comes' exits_with 0 '^changed: endpoints' ask athens reload
    check 'its port is open' listens_on 12777
    write_registry "$work/registry.json" "${nodes[@]}"
    check 'and the other node has a tunnel to it' wait_for 20 tunnels_up 2
    cp "$work/athens.good" "${config_of[athens]}"
    check 'an endpoint goes' exits_with 0 '^changed: endpoints' ask athens reload
    check 'its port is closed' test "$(listens_on 12777 && echo open)" = ''
    check 'its tunnel is gone' wait_for 5 tunnels_up 1
    check 'the other tunnel has the keys that it had' test "$(keys)" = "$before"
    write_registry "$work/registry.json" "${nodes[@]}"
}

check_own_entry() {
    local before
    before=$(keys)
    jq '[.[] | select(.organization == "maple")]' "$work/registry.json" >"$work/without.json"
    ask athens load -r "$work/without.json" >/dev/null
    check 'row 66: a registry without this node is warned of' wait_for 5 logged 'the registry does not have this node'
    check 'row 66: and its tunnels stay' test "$(keys)" = "$before"
    ask athens load -r "$work/registry.json" >/dev/null
    check 'they stay when it is in it again' test "$(keys)" = "$before"
}

# Until then it is not the daemon yet that runs there, but a shell, which minds them too, or nsenter.
minds_hangups() { [ "$(cat "/proc/${daemon_pid[cairo]}/comm")" = aronet ] && grep -qE '^Sig(Ign|Cgt):.*[13579bdf]$' "/proc/${daemon_pid[cairo]}/status"; }

# However often it is told, and whatever it is about: reading large registries, starting, stopping.
check_storm() {
    many 300 >"$work/registry.json"
    for _ in $(seq 30); do hang_up; sleep 0.02; done
    check 'row 70: SIGHUP amid reloads is done in the end' wait_for 30 has_tunnels 303
    cp "$work/three.json" "$work/registry.json"
    hang_up
    check 'row 70: the last one counts' wait_for 60 has_tunnels 3
    stop cairo || true
    start cairo
    pause=0.01 wait_for 5 minds_hangups
    for _ in $(seq 30); do kill -HUP "${daemon_pid[cairo]}"; sleep 0.01; done
    check 'row 70: SIGHUP during the start does no harm' wait_for 30 all_reach 4
    (while kill -HUP "${daemon_pid[cairo]}" 2>/dev/null; do sleep 0.005; done) &
    check 'row 70: nor during the stop' stop cairo
    start cairo
    wait_for 30 all_reach 4 || true
}

# Blanks are JSON: a file of exactly so many octets.
padded() { { cat "$work/three.json"; head -c $(($1 - $(wc -c <"$work/three.json"))) /dev/zero | tr '\0' ' '; } >"$2"; }
many() {  # NODES: as many in maple as there are, and so many more
    jq --argjson many "$1" '(.[] | select(.organization == "maple") | .nodes) += [range($many) | {common_name: "n\(.)",
        endpoints: [{serial_number: 0, address: "198.18.\(. / 250 | floor).\(. % 250 + 1)", port: 12025}],
        remarks: {network: "fd20:\(.)::/64"}}]' "$work/three.json"
}
put() { in_host athens curl -sS --unix-socket /run/aronet/aronet.sock -T "$1" http://aronet/v1/registry; }
refuses_body() { put "$1" | tee "$work/answer" | grep -q '"the body is too long"' || { cat "$work/answer"; return 1; }; }
# What the slowest of many questions took while COMMAND ran, in ms.
slowest_answer_during() {
    local slowest=0 begun took
    "$@" >/dev/null &
    while kill -0 $! 2>/dev/null; do
        begun=$(date +%s%N)
        ask athens daemon info >/dev/null || return 1
        took=$((($(date +%s%N) - begun) / 1000000))
        [ $took -le $slowest ] || slowest=$took
        sleep 0.05
    done
    wait $! && echo "$slowest"
}
answers_during() { slowest=$(slowest_answer_during "$@") && [ "$slowest" -lt 1000 ] || { echo "slowest: $slowest ms"; return 1; }; }

check_large() {
    padded $((64 << 20)) "$work/large.json"
    check 'a registry of 64 MiB is taken, and others are answered meanwhile' \
        answers_during ask athens load -r "$work/large.json"
    echo ' ' >>"$work/large.json"
    check 'a larger one is refused by load' exits_with 6 'larger than 64 MiB' ask athens load -r "$work/large.json"
    check 'and by the daemon' refuses_body "$work/large.json"
    rm "$work/large.json"
    many 1000 >"$work/many.json"
    local before begun
    before=$(came_up)
    begin_stream many athens cairo
    begun=$SECONDS
    check 'a registry of a thousand nodes is loaded' answers_during ask athens load -r "$work/many.json"
    check 'in at most 5 s' test $((SECONDS - begun)) -le 5
    check 'with a tunnel for each' wait_for 5 has_tunnels 1003
    check 'those that were there stay up' test "$(came_up)" = "$before"
    check_one_of_many
    ask athens load -r "$work/three.json" >/dev/null
    begun=$SECONDS
    check 'a thousand nodes go' wait_for 30 has_tunnels 3
    check 'and who asks meanwhile waits for 5 s at most' test $((SECONDS - begun)) -le 5
    check 'not a packet of those that stay is lost when they come and go' end_stream many
    told many
}

# On a machine that has other work, too: what is done for a thousand keeps Babel's Hellos no longer than it must.
begin_work() {
    for _ in $(seq $(($(nproc) * 2))); do (while kill -0 $$ 2>/dev/null; do :; done) & working+=" $!"; done
}
end_work() {
    # shellcheck disable=SC2086  # several
    kill $working
    working=''
}
working=''
links() { in_host athens ip -n aronet -j link | jq -r '.[] | select(.ifname | startswith("aronet-")) | "\(.ifindex) \(.ifname)"' | sort; }
# How many links are others than in the file BEFORE.
others() { [ "$(links | diff "$work/links" - | grep -c '^[<>]')" = "$1" ] || { links | diff "$work/links" - | head -n 3; return 1; }; }
check_one_of_many() {
    begin_work
    check 'all links are there' wait_for 60 links_made
    begin_stream one athens cairo
    links >"$work/links"
    jq '(.[].nodes[] | select(.common_name == "n500") | .endpoints[0].address) = "198.19.0.1"' "$work/many.json" >"$work/one.json"
    check 'row 64: one of a thousand is elsewhere' exits_with 0 'altered: maple/n500$' ask athens load -r "$work/one.json"
    check 'row 64: no link is another for that' others 0
    jq 'del(.[].nodes[] | select(.common_name == "n500"))' "$work/many.json" >"$work/one.json"
    check 'row 64: one of a thousand goes' exits_with 0 'removed: maple/n500$' ask athens load -r "$work/one.json"
    check 'row 64: its link goes, and no other' wait_for 10 others 1
    check 'row 64: not a packet to the others is lost' end_stream one
    told one
    end_work
}
links_made() { [ "$(links | wc -l)" = 1003 ]; }
has_tunnels() { [ "$(ask athens tunnels --json | jq '.tunnels | length')" = "$1" ]; }

write_keys
for node in athens berlin cairo; do write_config $node netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
write_registry "$work/two.json" "${nodes[@]}"
write_registry "$work/three.json" athens berlin cairo
build_hosts
for node in "${nodes[@]}"; do start $node; done
check 'the two reach each other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check_sighup
write_registry "$work/registry.json" "${nodes[@]}"
ask athens load -r "$work/registry.json" >/dev/null
wait_for 10 peers_are '["maple/cairo"]'
check_configuration
check_registry
check_endpoints
check_own_entry
check_storm
check_large
registry_of[athens]=$work/three.json
check 'row 64, 66, 67, 70: the kernel has what the node tells of' agree athens
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
