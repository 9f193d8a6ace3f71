#!/bin/bash
# Keys that are changed under streams of numbered packets both ways: of the data and of IKE, asked for by
# either side. athens and dakar have the kernel's ESP, berlin our own, cairo is strongSwan 5.9.8; dakar is behind NAT. berlin
# changes its keys every few seconds by itself, too. Not one packet is lost.
# Alone: it sends as many packets as the machine can.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
. "$root/tests/rekeyings.sh"
rate_back=${ARONET_RATE_BACK:-100}  # the emulated machine has no power for a thousand both ways
# Our own ESP, a process beside the senders on two emulated processors: it has carried a thousand, with little to spare. On a
# real one native/rekeying and native/rekeying_strongswan ask for them.
rate_of=([dakar-berlin]=250 [berlin-cairo]=250)

# What the kernel refused for want of states or policies, or as forged or repeated. strongSwan's host has been
# seen to count XfrmAcquireError (a packet under an SPI whose SA is not installed yet) while no packet of the
# streams was lost: there only the rest counts.
counted() { if [ "$1" = cairo ]; then echo '^XfrmIn'; else echo '^Xfrm'; fi; }
refused() { in_host "$1" awk -v of="$(counted "$1")" '$1 ~ of { sum += $2 } END { print sum }' /proc/net/xfrm_stat; }
nothing_refused() {
    local count
    count=$(($(refused "$1") - ${refused_of[$1]}))
    [ $count = 0 ] || { in_host "$1" awk '$2 > 0' /proc/net/xfrm_stat | tr '\n' ' '; return 1; }
}
declare -A refused_of=()
# Old inbound SAs stay five seconds.
two_sas_per_tunnel() {
    local count
    count=$(in_host athens ip xfrm state | grep -c '^src')
    echo "$count SAs"
    [ "$count" -ge 6 ] && [ "$count" -le 12 ]
}

# keeps_flowing WORDS NODE PEER [both]: NODE is one of ours.
keeps_flowing() {
    begin_stream "$2-$3" "$2" "$3"
    sleep 1
    check "$1: the data's keys and those of IKE are changed $rekeyings times each" by_turns "$2" "$3" "${4:-}"
    sleep 6
    check "$1: not one packet is lost" end_stream "$2-$3"
    check "$1: they were as many as asked for" as_fast_as_asked "$2-$3"
    told "$2-$3"
    check "$1: the tunnel was never down" never_down "$2" "$(organization "$3")/$3"
}

load_modules
write_keys
ike_keys[berlin]='"child_lifetime": "20s", "ike_lifetime": "30s",'
for node in athens dakar; do write_config $node vrf kernel; done
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
for node in athens berlin dakar; do start $node; done
check 'strongSwan installs both tunnels' wait_for 40 established cairo 2
check 'everybody reaches everybody in IPv6' wait_for 60 all_reach 6 || show_logs
for node in athens dakar cairo; do refused_of[$node]=$(refused $node); done

keeps_flowing "the kernel's ESP to the kernel's ESP" athens dakar both
keeps_flowing "the kernel's ESP to our own" dakar berlin both
keeps_flowing "the kernel's ESP to strongSwan" athens cairo
keeps_flowing 'our own ESP to strongSwan' berlin cairo
for node in athens dakar cairo; do check "the kernel of $node had a state for every packet" nothing_refused $node; done
check 'nothing has piled up' two_sas_per_tunnel
has_two() { [ "$(ask_strongswan cairo --list-sas | grep -c ESTABLISHED)" = 2 ]; }
check 'strongSwan has two tunnels' wait_for 100 has_two  # one that was superseded may stay for 90 s
for node in athens berlin dakar; do check "$node stops with exit status 0" stop $node; done
check 'strongSwan was told that the tunnels are gone' wait_for 5 no_sas cairo
kill_foreign cairo bird
kill_foreign cairo env
[ "$failures" = 0 ] || show_logs 60
[ "$failures" = 0 ]
