#!/bin/bash
# cairo is strongSwan 5.9.8 with BIRD 2.0.12, then strongSwan with babeld 1.12.1; athens (VRF) and berlin (netns) are
# ours. Between the two runs, it answers one and initiates to the other with each encoding of the identity.
. "$(dirname "$0")/../peers.sh"
# Alone: who initiates is a matter of time.
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
nodes=(athens berlin cairo)

of_group() {
    local node
    for node in athens berlin; do
        ask $node tunnels --json | jq -e --arg group "$1" \
            '.tunnels[] | select(.peer == "maple/cairo") | .ike_suite | endswith($group)' | grep -qx true || return 1
    done
}
initiator_is() {  # NODE true|false: who initiated the tunnel to cairo
    ask "$1" tunnels --json |
        jq -e --argjson who "$2" '.tunnels[] | select(.peer == "maple/cairo") | .state == "routed" and .initiator == $who'
}

check_tunnels() {
    local starts=$1 answers=$2
    check "strongSwan installs both tunnels" wait_for 40 established cairo 2
    check "strongSwan answered $answers" wait_for 20 initiator_is "$answers" true
    check "strongSwan initiated to $starts, and one tunnel stays" wait_for 20 initiator_is "$starts" false
}

check_rekeying() {
    local node
    for node in athens berlin; do
        rekeyed_by_strongswan cairo $node
    done
    check 'two tunnels, not more' test "$(ask_strongswan cairo --list-sas | grep -c 'INSTALLED, TUNNEL')" = 2
}

check_transit() {
    local families=$1 family
    part_athens_from_berlin
    check 'with their direct path cut, athens reaches berlin through strongSwan' wait_for 60 via athens fd10:2::/64 maple/cairo
    check '200 kB of IPv6 from the host behind athens to the one behind berlin, through strongSwan' \
        transfer athens-host berlin-host "${host_v6_of[berlin]}" 200000
    if [ "$families" = 46 ]; then
        check 'IPv4 goes through strongSwan, too' wait_for 30 via athens 10.10.2.0/24 maple/cairo
        check '200 kB of IPv4 from the host behind berlin to the one behind athens, through strongSwan' \
            transfer berlin-host athens-host "${host_v4_of[athens]}" 200000
    fi
    in_host switch nft delete table bridge cut
}

says() { grep -q -- "$1" "$work/cairo-env.log"; }

# run FORM STARTS ANSWERS ROUTER PROPOSAL: strongSwan initiates to STARTS and leaves it to ANSWERS to initiate.
run() {
    local form=$1 starts=$2 answers=$3 router=$4 proposal=$5 node
    echo "# identities as $form; strongSwan initiates to $starts; routes by $router"
    write_strongswan cairo
    add_connection cairo "$starts" 41 "$form" start "$proposal"
    add_connection cairo "$answers" 42 "$form" none "$proposal"
    start_strongswan cairo
    "start_$router" cairo ar-41 ar-42
    check "swanctl loads the connections" load_strongswan cairo
    # strongSwan demands cookies as soon as one IKE SA is half open.
    [ "$proposal" != default ] || leave_half_open "$answers" "$(underlay4 cairo)" 12025 1
    start athens
    start berlin
    check_tunnels "$starts" "$answers"
    if [ "$proposal" = default ]; then
        check "strongSwan demanded a cookie of $answers" says "sending COOKIE notify to $(underlay4 "$answers")"
    else
        check "strongSwan wanted another group of $answers" says 'CURVE_25519 unacceptable, requesting ECP_256'
        check "both tunnels have its group" of_group ecp256
    fi
    if [ "$router" = bird ]; then
        unset 'v4_of[cairo]' 'host_v4_of[cairo]'
        check 'everybody reaches everybody in IPv6 within 40 s' wait_for 40 all_reach 6 || show_logs
    else
        check 'everybody reaches everybody in IPv4 and IPv6 within 40 s' wait_for 40 all_reach 4 6 || show_logs
    fi
    check_pairs
    for node in athens berlin; do
        check "200 kB of IPv6 from $node to strongSwan" transfer $node cairo "${v6_of[cairo]}" 200000
        check "200 kB of IPv6 from strongSwan to $node" transfer cairo $node "${v6_of[$node]}" 200000
    done
    if [ "$router" = babeld ]; then
        for node in athens berlin; do
            check "200 kB of IPv4 from $node to strongSwan" transfer $node cairo "${v4_of[cairo]}" 200000
            check "200 kB of IPv4 from strongSwan to $node" transfer cairo $node "${v4_of[$node]}" 200000
        done
        check 'athens knows the round-trip time to babeld' has_rtt
        check_transit 46
    else
        check_transit 6
    fi
    check_rekeying
    for node in athens berlin; do check "$node stops with exit status 0" stop $node; done
    check 'strongSwan was told that the tunnels are gone' wait_for 5 no_sas cairo
    kill_foreign cairo "$router"
    kill_foreign cairo env
}
has_rtt() { ask athens neighbours --json | jq -e '.neighbours[] | select(.peer == "maple/cairo") | .rtt_ms > 0'; }

load_modules
write_keys
write_config athens vrf kernel
write_config berlin netns kernel
write_config cairo vrf kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
forwards cairo
run text berlin athens bird aes256gcm16-prfsha256-ecp256
[ "$failures" = 0 ] || show_logs 40
in_host cairo ip link del aronet
in_host cairo ip link del ar-41
in_host cairo ip link del ar-42
rm -f "$work"/*.log
in_host cairo ip -6 route flush table 128
write_config cairo vrf kernel
add_addresses() { host_v4_of[cairo]=10.10.3.10; }
add_addresses
before=$failures
run asn1dn athens berlin babeld default
[ "$failures" = "$before" ] || show_logs 40
[ "$failures" = 0 ]
