#!/bin/bash
# The registry changes under a running node: read again on SIGHUP, refused when it is bad, and very large.
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
    check 'half a file is told of, too' wait_for 5 logged "$work/registry.json:2:1: "
    rm "$work/registry.json"
    hang_up
    check 'a missing file is told of' wait_for 5 logged "$work/registry.json: cannot be read: No such file"
    check 'nothing of the running state has changed' peers_are '["maple/cairo","olive/berlin"]'
    check 'no tunnel was set up anew' test "$(came_up)" = "$before"
    check 'and it carries' reaches athens "${v4_of[cairo]}"
}

write_keys
for node in athens berlin cairo; do write_config $node netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
write_registry "$work/three.json" athens berlin cairo
build_hosts
for node in "${nodes[@]}"; do start $node; done
check 'the two reach each other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check_sighup
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
