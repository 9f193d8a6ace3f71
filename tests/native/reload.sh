#!/bin/bash
# The registry changes under a running node: read again on SIGHUP, refused when it is bad, and very large.
# Alone: it asks for answers within a second while the daemon is busy.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens cairo)

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

# Blanks are JSON: a file of exactly so many octets.
padded() { { cat "$work/three.json"; head -c $(($1 - $(wc -c <"$work/three.json"))) /dev/zero | tr '\0' ' '; } >"$2"; }
many() {  # NODES: as many in maple as there are, and so many more
    jq --argjson many "$1" '(.[] | select(.organization == "maple") | .nodes) += [range($many) | {common_name: "n\(.)",
        endpoints: [{serial_number: 0, address: "198.18.\(. / 250 | floor).\(. % 250 + 1)", port: 12025}],
        remarks: {network: "fd20:\(.)::/64"}}]' "$work/three.json"
}
put() { in_host athens curl -sS --unix-socket /run/aronet/aronet.sock -T "$1" http://aronet/v1/registry; }
refuses_body() { put "$1" | tee "$work/answer" | grep -q '"the body is too long"' || { cat "$work/answer"; return 1; }; }
exits_with_text() {  # STATUS TEXT COMMAND...
    local status=0
    "${@:3}" >"$work/text" 2>&1 || status=$?
    [ "$status" = "$1" ] && grep -q -- "$2" "$work/text" || { head -c 300 "$work/text"; return 1; }
}
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
    check 'a larger one is refused by load' exits_with_text 6 'larger than 64 MiB' ask athens load -r "$work/large.json"
    check 'and by the daemon' refuses_body "$work/large.json"
    rm "$work/large.json"
    many 1000 >"$work/many.json"
    local before begun=$SECONDS
    before=$(came_up)
    check 'a registry of a thousand nodes is loaded' answers_during ask athens load -r "$work/many.json"
    check 'in at most 5 s' test $((SECONDS - begun)) -le 5
    check 'with a tunnel for each' wait_for 5 has_tunnels 1003
    check 'those that were there stay up' test "$(came_up)" = "$before"
}
has_tunnels() { [ "$(ask athens tunnels --json | jq '.tunnels | length')" = "$1" ]; }

write_keys
for node in athens berlin cairo; do write_config $node netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
write_registry "$work/three.json" athens berlin cairo
build_hosts
for node in "${nodes[@]}"; do start $node; done
check 'the two reach each other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check_sighup
check_large
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
