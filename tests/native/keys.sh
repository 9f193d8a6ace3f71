#!/bin/bash
# olive changes its key: for a while the registry has both, athens uses the new one and berlin still the old one.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin cairo)

public_key() { "$aronet" pub -c "${config_of[$1]}" | jq '.[0].public_key'; }
write_registry_with() {  # FILE KEY...: olive has these keys
    write_registry "$work/one.json" "${nodes[@]}"
    jq --argjson keys "$(printf '%s\n' "${@:2}" | jq -s .)" \
        'map(if .organization == "olive" then .public_key = $keys else . end)' "$work/one.json" >"$1"
}
tunnel() { ask "$1" tunnels --json | jq -e ".tunnels[] | select(.peer == \"$2\") | $3"; }
every_tunnel() { ask "$1" tunnels --json | jq -e "[.tunnels[] | select(.peer == \"$2\") | $3] | all" >/dev/null; }

write_keys
"$aronet" keygen -o "$work/new.key" >/dev/null
key_of[athens]=$work/new.key
for node in "${nodes[@]}"; do write_config $node netns user; done
old=$(public_key berlin)
new=$(public_key athens)
write_registry_with "$work/both.json" "$old" "$new"
write_registry_with "$work/new.json" "$new"
for node in "${nodes[@]}"; do registry_of[$node]=$work/both.json; done
build_hosts
for node in "${nodes[@]}"; do start $node; done
check 'while both keys are in the registry, nodes with either talk to each other and to a third' \
    wait_for 30 all_reach 4 6 || { show_logs; exit 1; }

came_up=$(tunnel cairo olive/athens .came_up)
for node in athens cairo; do
    check "$node loads a registry without the old key" ask $node load -r "$work/new.json"
done
check 'cairo no longer lets in who uses the old key' wait_for 10 every_tunnel cairo olive/berlin '.state != "routed"'
check 'nor does athens' wait_for 10 every_tunnel athens olive/berlin '.state != "routed"'
for second in 1 2 3 4 5 6 7 8; do
    every_tunnel cairo olive/berlin '.state != "routed"' || { not_ok 'berlin stays out' "in again after $second s"; break; }
    sleep 1
done
[ "$second" = 8 ] && ok 'berlin stays out however often it asks'
check 'berlin is told that it is refused' tunnel berlin maple/cairo '.reason | test("AUTHENTICATION_FAILED|authenti"; "i")'
check 'the tunnel of the new key has not noticed' tunnel cairo olive/athens ".state == \"routed\" and .came_up == $came_up"
check 'and carries' reaches athens "${v4_of[cairo]}"

check 'berlin stops' stop berlin
key_of[berlin]=$work/new.key
write_config berlin netns user
registry_of[berlin]=$work/new.json
start berlin
check 'with the new key it is let in again' wait_for 30 all_reach 4 6
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
