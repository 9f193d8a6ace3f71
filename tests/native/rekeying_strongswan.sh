#!/bin/bash
# Keys that are changed under a thousand packets a second each way between our own ESP and that of strongSwan 5.9.8
# (libipsec): of the data, with PFS by either group and without, and of IKE, asked for by either side and by both at once.
# Not one packet is lost.
# Alone: it sends as many packets as the machine can.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
. "$root/tests/rekeyings.sh"
nodes=(athens cairo)
charon_kernel='kernel-libipsec kernel-netlink'
charon_net=1  # at 2 it writes some lines for every packet of the data, too
# libipsec has one device for all tunnels and routes everything into it: behind what the main table knows, then.
charon_key='routing_table_prio = 40000'

has_device() { in_host cairo ip link show ipsec0 up; }
# IKE SA, and child with the suite. A child that both sides have deleted strongSwan keeps for five seconds, and for good at
# times when the keys of the IKE SA change meanwhile.
one_of_each() {
    ask_strongswan cairo --list-sas | grep ': #' | tee "$work/all" | grep -v ' DELETED, ' | tee "$work/sas"
    [ "$(grep -c ' DELETED, ' "$work/all")" -le 1 ] || return 1
    [ "$(wc -l <"$work/sas")" = 2 ] && grep -q '^[^ ].*ESTABLISHED' "$work/sas" && grep -q "^ .*INSTALLED.*ESP:$1\$" "$work/sas"
}
collided() { grep -q "$1_REKEY collision with $1_REKEY" "$work/cairo-env.log"; }

# keeps_flowing WORDS PROPOSAL SUITE [both]: with what strongSwan proposes for children, and calls what comes of it.
keeps_flowing() {
    child_keys[athens]="esp_proposals = $2"
    write_strongswan cairo
    add_connection cairo athens 0 text none
    start_strongswan cairo
    check "$1: strongSwan has its device" wait_for 10 has_device
    start_babeld cairo ipsec0
    check "$1: swanctl loads the connection" load_strongswan cairo
    start athens
    check "$1: both reach each other" wait_for 40 all_reach 6 || { show_logs 40; exit 1; }

    begin_stream "$1" athens cairo
    sleep 1
    check "$1: the data's keys and those of IKE are changed $rekeyings times each" by_turns athens cairo "${4:-}"
    sleep 6  # the last of the old SAs
    check "$1: not one packet is lost" end_stream "$1"
    check "$1: they were $rate a second each way" as_fast_as_asked "$1"
    told "$1"
    check "$1: the tunnel was never down" never_down athens maple/cairo
    check "$1: one IKE SA and one child are left" wait_for 20 one_of_each "$3"
    check "$1: athens stops with exit status 0" stop athens
    check "$1: strongSwan was told that the tunnel is gone" wait_for 5 no_sas cairo
    kill_foreign cairo babeld
    kill_foreign cairo env
}

needs_namespaces
write_keys
for node in "${nodes[@]}"; do write_config "$node" netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
forwards cairo
kernel_of athens >"$work/athens.clean"
keeps_flowing 'with PFS' aes256gcm16-x25519 AES_GCM_16-256/CURVE_25519
keeps_flowing 'with PFS of another group' aes256gcm16-ecp256 AES_GCM_16-256/ECP_256
keeps_flowing 'without PFS' aes256gcm16 AES_GCM_16-256
charon_key+=$'\n  receive_delay = 400\n  receive_delay_type = 36'  # what it hears so late it has asked for itself
keeps_flowing 'both at once' aes256gcm16-x25519 AES_GCM_16-256/CURVE_25519 both
for kind in CHILD IKE; do check "both at once: rekeyings of the $kind SA collided" collided $kind; done
kernel_of athens >"$work/athens.left"
check 'row 16: athens leaves the kernel as it was' diff "$work/athens.clean" "$work/athens.left"
[ "$failures" = 0 ] || { show_logs 40; exit 1; }
