#!/bin/bash
# cairo is strongSwan 5.9.8 with babeld; athens (VRF) and berlin (netns) are ours, IKE is in datagrams of 300 octets. athens
# and cairo authenticate by a shared secret. Postquantum preshared keys: required, optional, of another name, missing on either side.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
nodes=(athens berlin cairo)

psk='as both of them know, and nobody else does'
ppk=0x$(printf '%064d' 20261121)
says() { grep -q -- "$1" "$work/cairo-env.log"; }
to_cairo() { ask "$1" tunnels --json | jq -e ".tunnels[] | select(.peer == \"maple/cairo\") | $2"; }
with_ppk() { to_cairo "$1" '.state == "routed" and (.ike_suite | endswith("-ppk"))'; }
without_ppk() { to_cairo "$1" '.state == "routed" and (.ike_suite | endswith("-ppk") | not)'; }

# ours NODE KEYS: what the node shares with cairo, besides what all of this is about.
ours() {
    ike_keys[$1]="\"fragment_size\": 300, \"esn\": true, \"peers\": [{\"organization\": \"maple\", $2}],"
    write_config "$1" "$([ "$1" = athens ] && echo vrf || echo netns)" kernel
}

without_secrets() {
    ike_keys[$1]=
    write_config "$1" netns kernel
}

# strongswan START_ATHENS START_BERLIN PPK_NAME: cairo, with the secrets and a PPK of that name.
strongswan() {
    write_strongswan cairo
    add_connection cairo athens 41 text "$1"
    add_connection cairo berlin 42 asn1dn "$2"
    cat >>"$work/cairo-strongswan/swanctl/swanctl.conf" <<CONFIG
}
secrets {
  ike-athens {
    id-1 = "$(identity text athens 0)"
    id-2 = "$(identity text cairo 0)"
    secret = "$psk"
  }
  ppk-one {
    id = $3
    secret = $ppk
  }
}
CONFIG
    start_strongswan cairo
    start_babeld cairo ar-41 ar-42
    check "swanctl loads connections and secrets" load_strongswan cairo
    start athens
    start berlin
}

stop_all() {
    local node
    for node in athens berlin; do check "$node stops with exit status 0" stop $node; done
    kill_foreign cairo babeld
    kill_foreign cairo env
}

check_taken() {
    ours athens "\"psk\": \"$psk\", \"ppk\": \"$ppk\", \"ppk_id\": \"one\", \"ppk_required\": true"
    ours berlin "\"ppk\": \"$ppk\", \"ppk_id\": \"one\""
    auth_of[athens]=psk
    child_keys[athens]='esp_proposals = aes256gcm16-esn'
    connection_keys[athens]=$'ppk_id = one\n    ppk_required = yes'
    connection_keys[berlin]='ppk_id = one'
    strongswan start none one
    check 'strongSwan initiates to athens: shared secret, PPK required by both' wait_for 30 with_ppk athens
    check 'berlin initiates to strongSwan: keys, PPK optional for both' wait_for 30 with_ppk berlin
    check 'strongSwan used the PPK' says "using PPK for PPK_ID 'one'"
    check 'strongSwan sent fragments' says 'splitting IKE message'
    check 'strongSwan received fragments' says 'received fragment #1 of'
    check 'the children with athens have extended sequence numbers' esn_on athens
    check 'everybody reaches everybody in IPv4 and IPv6 within 40 s' wait_for 40 all_reach 4 6 || show_logs
    for node in athens berlin; do
        rekeyed_by_strongswan cairo $node
        check "$node still has the PPK in its keys" with_ppk $node
    done
    stop_all
}
esn_on() { in_host "$1" ip xfrm state | grep -q 'flag .*esn'; }

check_not_taken() {
    ours athens "\"psk\": \"$psk\", \"ppk\": \"$ppk\", \"ppk_id\": \"one\""
    ours berlin "\"ppk\": \"$ppk\", \"ppk_id\": \"one\", \"ppk_required\": true"
    connection_keys[athens]=
    connection_keys[berlin]=
    strongswan none none two  # it announces PPKs to everybody, whatever it has
    check 'athens and strongSwan know different PPKs and go on without' wait_for 30 without_ppk athens
    check 'strongSwan had none of that name' says "no PPK for 'one' found, ignored because PPK is not required"
    check 'berlin requires what strongSwan has not' wait_for 30 to_cairo berlin '.reason | contains("AUTHENTICATION_FAILED")'
    check 'and there is no tunnel between them' to_cairo berlin '.state != "routed"'
    check 'athens reaches strongSwan' wait_for 60 reaches athens "${v6_of[cairo]}"
    stop_all
    ours athens '"psk": "what nobody else but this node knows"'
    without_secrets berlin
    connection_keys[berlin]=$'ppk_id = one\n    ppk_required = yes'
    strongswan none none one
    check 'with another secret athens is refused' wait_for 30 to_cairo athens '.reason | contains("AUTHENTICATION_FAILED")'
    check 'strongSwan requires a PPK that berlin has not' says "PPK required but peer does not support PPK"
    check 'and berlin is told so' wait_for 30 to_cairo berlin '.reason | contains("AUTHENTICATION_FAILED")'
    check 'no secret is in any log' no_secrets
    stop_all
}
no_secrets() { ! grep -e "$psk" -e "${ppk#0x}" -e 'nobody else but' "$work"/athens.log "$work"/berlin.log; }

load_modules
write_keys
charon_key='fragment_size = 300'
ours athens '"psk": "as long as it has to be"'
ours berlin '"psk": "as long as it has to be"'
write_config cairo vrf kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
forwards cairo
check_taken
rm -f "$work"/cairo-*.log
check_not_taken
[ "$failures" = 0 ] || { show_logs 40; exit 1; }
