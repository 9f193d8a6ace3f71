#!/bin/bash
# cairo is strongSwan 5.9.8 with babeld, and what can go wrong between it and us does: athens (VRF) and cairo initiate at
# once, dakar (netns) sits behind a NAT, cairo hears CREATE_CHILD_SA requests one and a half seconds late, so that
# rekeyings collide, and each of them is killed and comes back. The children with athens have PFS, those with dakar none.
# Alone: it counts what is lost while both sides act at the same moment.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
. "$root/tests/rekeyings.sh"
nodes=(athens cairo dakar)
underlay4() { case $1 in athens) echo 192.0.2.1 ;; cairo) echo 192.0.2.3 ;; router) echo 192.0.2.4 ;; dakar) echo %any ;; esac; }

says() { grep -q -- "$1" "$work/cairo-env.log"; }
# Without those that strongSwan deletes: of what an earlier process of ours had the next one has no keys, and cannot answer;
# it says no INITIAL_CONTACT, as that process's SAs carry on until others do.
living() { ask_strongswan cairo --list-sas | awk '/^[^ ]/ { skip = /DELETING/ } !skip'; }
one_each() {
    local peer
    living >"$work/sas"
    cat "$work/sas"
    for peer in athens dakar; do
        [ "$(grep -c "^$peer:.*ESTABLISHED" "$work/sas")" = 1 ] || return 1
    done
    [ "$(grep -c 'INSTALLED, TUNNEL' "$work/sas")" = 2 ]
}
kernel_has_one_each() {  # SAs of two tunnels, old inbound ones gone
    in_host cairo ip -o xfrm state | tee "$work/states"
    [ "$(grep -c 'proto esp' "$work/states")" = 4 ]
}
behind_nat() { ask dakar tunnels --json | jq -e '.tunnels[] | select(.peer == "maple/cairo") | .behind_nat'; }
reach_both_ways() {
    reaches athens "${v6_of[cairo]}" && reaches cairo "${v6_of[athens]}" && reaches dakar "${v6_of[cairo]}" &&
        reaches cairo "${v6_of[dakar]}"
}

# Both sides at once, the children and then the IKE SAs, five times. strongSwan answers ours one and a half seconds late,
# and meanwhile asks for its own.
rekey_from_both_sides() {
    local node
    for _ in 1 2 3 4 5; do
        for node in athens dakar; do
            ask $node rekey maple/cairo >/dev/null
            ask_strongswan cairo --rekey --child $node >/dev/null
        done
        sleep 3
        for node in athens dakar; do
            ask $node rekey maple/cairo --ike >/dev/null
            ask_strongswan cairo --rekey --ike $node >/dev/null
        done
        sleep 3
    done
}

charon_key=$'receive_delay = 1500\n  receive_delay_type = 36'
start_cairo() {
    start_strongswan cairo
    check "swanctl loads the connections" load_strongswan cairo
}

load_modules
write_keys
# On an emulated machine packets overtake each other by more than the usual windows.
for node in athens dakar; do ike_keys[$node]='"replay_window": 4096,'; done
write_config athens vrf kernel
write_config dakar netns kernel
write_config cairo vrf kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
forwards cairo
write_strongswan cairo
window=$'\n        replay_window = 4096'
child_keys[athens]="esp_proposals = aes256gcm16-x25519$window"
child_keys[dakar]="esp_proposals = aes256gcm16$window"
add_connection cairo athens 41 text start
add_connection cairo dakar 42 text none
start athens
start dakar
start_cairo
start_babeld cairo ar-41 ar-42
check 'both are reached, both ways' wait_for 40 reach_both_ways || { show_logs 30; exit 1; }
check 'dakar knows that it is behind a NAT' behind_nat
check 'athens and strongSwan both initiated, and one IKE SA with each is left' wait_for 20 one_each

rate_back=100 rate_of=([dakar]=100)  # the emulated machine has no power for more
begin_stream athens athens cairo
begin_stream dakar dakar cairo
rekey_from_both_sides
for node in athens dakar; do
    check "$node lost no packet meanwhile" end_stream $node
    told $node
done
check 'of a thousand a second' as_fast_as_asked athens
check 'rekeyings of children collided' says 'CHILD_REKEY collision with CHILD_REKEY'
check 'rekeyings of IKE SAs collided' says 'IKE_REKEY collision with IKE_REKEY'
check 'with PFS where it was asked for' says 'selected proposal: ESP:AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ'
check 'and without where not' says 'selected proposal: ESP:AES_GCM_16_256/NO_EXT_SEQ'
check 'one IKE SA and one child with each are left' wait_for 20 one_each
check 'nothing of the old ones is in the kernel' wait_for 15 kernel_has_one_each
check 'both are reached, both ways, after the collisions' wait_for 10 reach_both_ways

kill_foreign cairo env  # as if the machine went down: what its kernel kept would go on carrying traffic
in_host cairo ip xfrm state flush
in_host cairo ip xfrm policy flush
start_cairo
check 'a strongSwan that lost all it knew has one IKE SA and one child with each' wait_for 40 one_each
check 'and is reached again' wait_for 20 reach_both_ways
for node in athens dakar; do
    kill_hard $node
    start $node
    check "$node, killed and started again, is reached again" wait_for 20 reach_both_ways
done
check 'still one of each' wait_for 20 one_each
for node in athens dakar; do check "$node stops with exit status 0" stop $node; done
told_of_the_end() { ! living | grep -E 'ESTABLISHED|REKEYED|REKEYING|INSTALLED'; }
check 'strongSwan was told that the tunnels are gone' wait_for 5 told_of_the_end
kill_foreign cairo babeld
kill_foreign cairo env
[ "$failures" = 0 ] || { show_logs 60; exit 1; }
