#!/bin/bash
# Keys with short lives: athens (kernel's ESP) and berlin (our own) change those of their tunnels to each other and to cairo,
# which is strongSwan 5.9.8, every few seconds, both of the data and of IKE. Not one packet is lost.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
nodes=(athens berlin cairo)

# stream NAME FROM ADDRESS: fifty packets a second for 40 s, there and back.
stream() { in_host "$2" ping -q -i 0.02 -c 2000 -W 5 "$3" >"$work/stream.$1" 2>&1; }
none_lost() {
    cat "$work/stream.$1"
    grep -q '2000 received, 0% packet loss' "$work/stream.$1"
}
# rekeyed NODE PEER: every tunnel between them, and it was never down.
rekeyed() {
    ask "$1" tunnels --json | jq -ce --arg peer "$2" '[.tunnels[] | select(.peer == $peer) |
        {state, came_up, rekeyings}] | ., (length > 0 and
        all(.state == "routed" and .came_up == 1 and .rekeyings.child >= 3 and .rekeyings.ike >= 2))'
}
# Old inbound SAs stay five seconds.
two_sas_per_tunnel() {
    local count
    count=$(in_host athens ip xfrm state | grep -c '^src')
    echo "$count SAs"
    [ "$count" -ge 6 ] && [ "$count" -le 10 ]
}

load_modules
write_keys
for node in athens berlin; do ike_keys[$node]='"child_lifetime": "10s", "ike_lifetime": "14s",'; done
write_config athens vrf kernel
write_config berlin netns user
write_config cairo vrf kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
forwards cairo
write_strongswan cairo
add_connection cairo athens 41 text none
add_connection cairo berlin 42 text start
start_strongswan cairo
start_bird cairo ar-41 ar-42
check 'swanctl loads the connections' load_strongswan cairo
start athens
start berlin
check 'strongSwan installs both tunnels' wait_for 40 established cairo 2
check 'everybody reaches everybody in IPv6' wait_for 40 all_reach 6 || show_logs

stream ours athens "${v6_of[berlin]}" &
first=$!
stream kernel athens "${v6_of[cairo]}" &
second=$!
stream user berlin "${v6_of[cairo]}"
wait $first $second
check 'between two of ours no packet is lost' none_lost ours
check "between the kernel's ESP and strongSwan no packet is lost" none_lost kernel
check 'between our own ESP and strongSwan no packet is lost' none_lost user
check 'athens and berlin have changed all keys between them' rekeyed athens olive/berlin
check 'athens and strongSwan have changed all keys between them' rekeyed athens maple/cairo
check 'berlin and strongSwan have changed all keys between them' rekeyed berlin maple/cairo
check 'nothing has piled up' two_sas_per_tunnel
check 'strongSwan has two tunnels' test "$(ask_strongswan cairo --list-sas | grep -c 'ESTABLISHED')" -le 3
for node in athens berlin; do check "$node stops with exit status 0" stop $node; done
check 'strongSwan was told that the tunnels are gone' wait_for 5 no_sas cairo
kill_foreign cairo bird
kill_foreign cairo env
[ "$failures" = 0 ] || show_logs 60
[ "$failures" = 0 ]
