#!/bin/bash
# What happens rarely between strongSwan 5.9.8, with its ESP in user space (libipsec), and ours. dakar, strongSwan behind a
# NAT that gives it another port, initiates: it is asked for a cookie, then for another group, and its IKE SA has no child
# at first. cairo, strongSwan, too, is asked for a child where it wants none yet, and hears so late that both sides initiate at
# once, and that both delete at once; and either side begins a rekeying in the midst of one that it has not heard of, or
# has answered but the other does not know.
# Alone: who is first is a matter of time.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/foreign.sh"
. "$root/tests/rekeyings.sh"
nodes=(athens cairo dakar)
theirs=maple begun_by_us=false  # O=maple,CN=cairo is smaller than O=olive,CN=athens: in DER the shorter one is
organization() { if [ "$1" = athens ]; then echo olive; else echo $theirs; fi; }
underlay4() { case $1 in athens) echo 192.0.2.1 ;; cairo) echo 192.0.2.3 ;; router) echo 192.0.2.4 ;; dakar) echo %any ;; esac; }
charon_kernel='kernel-libipsec kernel-netlink'
charon_net=1
charon_cookies=30
libipsec='routing_table_prio = 40000'  # its routes behind what the main table knows

write_configs() {
    local node
    for node in "${nodes[@]}"; do write_config "$node" netns user; done
    write_registry "$work/registry.json" "${nodes[@]}"
}
says() { grep -q -- "$2" "$work/$1-env.log"; }
to_peer() { ask athens tunnels --json | jq -e --arg peer "$theirs/$1" ".tunnels[] | select(.peer == \$peer) | $2"; }
both_ways() { reaches athens "${v6_of[$1]}" && reaches "$1" "${v6_of[athens]}"; }
one_tunnel() {  # at strongSwan an IKE SA and a child; what was never keyed it keeps for half a minute
    ask_strongswan "$1" --list-sas | grep ': #' | grep -v CONNECTING | tee "$work/sas"
    [ "$(wc -l <"$work/sas")" = 2 ] && grep -q '^[^ ].*ESTABLISHED' "$work/sas" && grep -q '^ .*INSTALLED' "$work/sas"
}
settled() { one_tunnel "$1" && to_peer "$1" '.state == "routed"' && both_ways "$1"; }
has_device() { in_host "$1" ip link show ipsec0 up; }

# begin_strongswan HOST START [DELAYED]: with what is in child_keys and connection_keys; the type of exchange that it hears late,
# or further settings.
begin_strongswan() {
    charon_key=$libipsec
    case ${3:-} in
        '') ;;
        *=*) charon_key+="; $3" ;;
        *) charon_key+="; receive_delay = 2000; receive_delay_type = $3" ;;
    esac
    charon_key=${charon_key//; /$'\n  '}
    write_strongswan "$1"
    add_connection "$1" athens 0 text "$2" "${proposal:-default}"
    start_strongswan "$1"
    wait_for 10 has_device "$1" || return 1
    start_babeld "$1" ipsec0
}
end_strongswan() {
    kill_foreign "$1" babeld
    kill_foreign "$1" env
}

behind_nat() {
    start athens
    check 'athens runs' wait_for 10 ask athens tunnels
    connection_keys[athens]='childless = force'
    child_keys[athens]='esp_proposals = aes256gcm16-ecp384-x25519'
    proposal=aes256gcm16-prfsha256-ecp384-x25519
    check 'strongSwan behind a NAT starts' begin_strongswan dakar start
    leave_half_open router 192.0.2.1 2001 1 2 3 4 5 6 7 8  # as many of one address as athens takes without a cookie
    check 'it loads its connection and initiates' load_strongswan dakar
    check 'it and athens reach each other' wait_for 30 both_ways dakar
    check 'athens asked it for a cookie' says dakar 'parsed IKE_SA_INIT response 0 .*N(COOKIE)'
    check 'athens asked it for another group' says dakar "peer didn't accept DH group ECP_384, it requested CURVE_25519"
    check 'its IKE_AUTH had no child' says dakar 'parsed IKE_AUTH response 1 \[ IDr AUTH \]'
    check 'CREATE_CHILD_SA made one' says dakar 'parsed CREATE_CHILD_SA response . \[ SA No KE TSi TSr \]'
    check 'athens shows the address and port that its NAT gave it' \
        to_peer dakar '(.remote | test("^192.0.2.4:30[0-9]{3}$")) and .peer_behind_nat and (.initiator | not)'
}
rekeys_behind_nat() {
    local kind flag
    for kind in child ike; do
        check "strongSwan behind a NAT changes the $kind's keys" ask_strongswan dakar --rekey --$kind athens
    done
    for flag in '' --ike; do check "athens changes its keys${flag:+, }$flag" ask athens rekey $theirs/dakar $flag; done
    check 'there were four rekeyings' wait_for 30 to_peer dakar '.rekeyings == {ike: 2, child: 2}'
    check 'athens asked for another group in CREATE_CHILD_SA, too' says dakar 'CREATE_CHILD_SA response .*N(INVAL_KE)'
    check 'strongSwan behind a NAT: one tunnel is left, and traffic both ways' wait_for 20 settled dakar
    check 'athens stops with exit status 0' stop athens
    check 'strongSwan behind a NAT was told' wait_for 5 no_sas dakar
    end_strongswan dakar
}

crossed() {  # before either was heard
    sed '/established between/,$d' "$work/cairo-env.log" >"$work/begun"
    grep -q ' initiating IKE_SA athens' "$work/begun" && grep -q '192.0.2.1 is initiating an IKE_SA' "$work/begun"
}
deletes() { grep -cE '(sending|received) DELETE' "$work/cairo-env.log"; }

# both_initiate EXCHANGE TYPE [WORDS]: that strongSwan hears two seconds late.
both_initiate() {
    local name="$1 late${3:+, $3}"
    check "$name: strongSwan starts" begin_strongswan cairo none "$2"
    check "$name: it loads its connection" load_strongswan cairo
    start athens
    wait_for 10 to_peer cairo '.attempts > 0' >/dev/null
    sleep 0.3
    ask_strongswan cairo --initiate --child athens --timeout -1 >/dev/null
    check "$name: both reach each other" wait_for 40 both_ways cairo
    check "$name: both initiated at once" crossed
    sleep 3
    check "$name: one tunnel is left" wait_for 20 settled cairo
    check "$name: it is the one begun by the smaller identity" to_peer cairo ".initiator == $begun_by_us"
    check "$name: no storm of DELETEs" test "$(deletes)" -le 2
    check "$name: athens stops with exit status 0" stop athens
    end_strongswan cairo
}

# The DELETE of athens, which follows its rekeying, is still unheard when strongSwan sends its own.
both_delete() {
    check 'DELETE late: strongSwan starts' begin_strongswan cairo none 37
    check 'DELETE late: it loads its connection' load_strongswan cairo
    start athens
    check 'DELETE late: both reach each other' wait_for 40 both_ways cairo
    ask athens rekey $theirs/cairo
    check 'DELETE late: athens has changed the keys of the child' wait_for 20 to_peer cairo '.rekeyings.child == 1'
    ask_strongswan cairo --terminate --child athens --timeout -1 >/dev/null
    check 'both delete a child: strongSwan hears no SPI in answer' wait_for 10 says cairo 'parsed INFORMATIONAL response 0 \[ \]'
    check 'both delete a child: there is another one, and traffic' wait_for 20 settled cairo
    ask athens rekey $theirs/cairo
    ask_strongswan cairo --rekey --child athens >/dev/null
    check 'both rekey a child: there is another one' wait_for 20 to_peer cairo '.rekeyings.child > 1'
    check 'both rekey a child: one is left, and traffic' wait_for 20 settled cairo
    ask athens rekey $theirs/cairo --ike
    check 'DELETE late: athens has changed the keys of the IKE SA' wait_for 30 to_peer cairo '.rekeyings.ike == 1'
    ask_strongswan cairo --terminate --ike athens --timeout -1 >/dev/null
    check 'both delete an IKE SA: there is a new one' wait_for 20 to_peer cairo '.came_up > 1 and .state == "routed"'
    check 'both delete an IKE SA: one is left, and traffic' wait_for 20 settled cairo
    ask_strongswan cairo --terminate --ike athens --timeout -1 >/dev/null &
    check 'both end: athens stops with exit status 0' stop athens
    check 'both end: strongSwan has no SA' wait_for 10 no_sas cairo
    end_strongswan cairo
}

# CREATE_CHILD_SA: its number and no response's flag behind the ports, the marker and the SPIs.
requests='udp dport 12025 @th,64,32 0 @th,240,8 36 @th,248,8 & 0x20 == 0'
first_is_lost=  # if strongSwan's is, and heard when it comes again: two seconds later, or
lost_for=1      # so many seconds from its beginning later, and a retransmission
# in_the_midst NODE KIND NODE KIND: the second begins its rekeying in the midst of the first one's.
in_the_midst() {
    [ -z "$first_is_lost" ] || in_host athens nft add rule ip lost in "$requests" drop
    change "$1" "$3" "$2"
    sleep 0.3
    change "$3" "$1" "$4"
    sleep $((lost_for - 1)).7
    in_host athens nft flush chain ip lost in
    sleep 2
    check "$what: $1 rekeys its $2, meanwhile $3 its $4: one tunnel is left, and traffic" wait_for 20 settled cairo
}
# says_in_the_midst NAME WHAT NODE KIND NODE KIND: strongSwan has that in its log then; three tries, for what can come
# between is a rekeying that failed, which it tries again on its own after 10 to 15 s.
says_in_the_midst() {
    local name=$1 words=$2 try
    shift 2
    for try in 1 2 3; do
        in_the_midst "$@"
        ! says cairo "$words" || break
        echo "# try $try: strongSwan does not say $words"
    done
    check "$name" says cairo "$words"
}
# before WHAT WHAT: the first is in strongSwan's log before the second is.
before() { sed "/$2/,\$d" "$work/cairo-env.log" | grep -q "$1" && says cairo "$2"; }
begin_between() {  # WORDS SETTINGS
    what=$1
    check "$what: strongSwan starts" begin_strongswan cairo none "$2"
    check "$what: it loads its connection" load_strongswan cairo
    start athens
    check "$what: both reach each other" wait_for 40 both_ways cairo
}
end_between() {
    check "$what: athens stops with exit status 0" stop athens
    end_strongswan cairo
}

rekey_across() {
    in_host athens nft 'add table ip lost; add chain ip lost in { type filter hook input priority 0; }'
    begin_between 'requests to strongSwan late' 'receive_delay = 2000; receive_delay_type = 36; receive_delay_response = no'
    in_the_midst athens child cairo child
    check 'athens was sent a DELETE before it had the response' \
        before 'generating INFORMATIONAL request . \[ D \]' 'generating CREATE_CHILD_SA response'
    check 'it was CHILD_SA_NOT_FOUND' says cairo 'generating CREATE_CHILD_SA response .*N(NO_CHILD_SA)'
    says_in_the_midst 'strongSwan was told TEMPORARY_FAILURE for its IKE SA' \
        'IKE_SA rekeying failed, trying again' athens child cairo ike
    says_in_the_midst 'and for its child' 'CHILD_SA rekeying failed, trying again' athens ike cairo child
    end_between

    begin_between 'first requests of strongSwan lost' ''
    first_is_lost=yes
    in_the_midst cairo child athens child
    check 'strongSwan was sent a DELETE before it had the response' \
        before 'parsed INFORMATIONAL request . \[ D \]' 'parsed CREATE_CHILD_SA response'
    check 'that was TEMPORARY_FAILURE, for the child is being closed' says cairo 'parsed CREATE_CHILD_SA response .*N(TEMP_FAIL)'
    says_in_the_midst 'athens was told TEMPORARY_FAILURE for its IKE SA' \
        'generating CREATE_CHILD_SA response .*N(TEMP_FAIL)' cairo child athens ike
    first_is_lost=
    end_between

    begin_between 'requests of strongSwan lost for long' ''
    first_is_lost=yes lost_for=7
    in_the_midst cairo child athens child
    check 'athens had no such child any more: CHILD_SA_NOT_FOUND' \
        wait_for 10 says cairo 'parsed CREATE_CHILD_SA response .*N(NO_CHILD_SA)'
    check 'and one tunnel is left, and traffic' wait_for 20 settled cairo
    first_is_lost='' lost_for=1
    end_between

    begin_between 'responses to strongSwan late' 'receive_delay = 2000; receive_delay_type = 36; receive_delay_request = no'
    in_the_midst cairo child athens ike
    in_the_midst cairo ike athens child
    end_between
}

# Its answer to an IKE_AUTH with a child is AUTH and INVALID_SYNTAX, with which the IKE SA is over (RFC 7296 2.21.2).
refuses_child() {
    connection_keys[athens]='childless = force'
    check 'no child wanted: strongSwan starts' begin_strongswan cairo none
    check 'no child wanted: it loads its connection' load_strongswan cairo
    start athens
    check 'no child wanted: athens is told that there is no IKE SA' \
        wait_for 20 to_peer cairo '.reason == "the peer says INVALID_SYNTAX"'
    check 'no child wanted: strongSwan has no IKE SA' no_sas cairo
    check 'no child wanted: strongSwan initiates' ask_strongswan cairo --initiate --child athens
    check 'no child wanted: one tunnel' wait_for 20 settled cairo
    check 'no child wanted: athens stops with exit status 0' stop athens
    end_strongswan cairo
}

needs_namespaces
write_keys
write_configs
build_hosts
in_host router nft insert rule ip nat out oifname eth0 udp sport 12025 masquerade to :30000-30999
for node in cairo dakar; do forwards $node; done
behind_nat
rekeys_behind_nat
proposal=default
child_keys[athens]='esp_proposals = aes256gcm16-x25519'
refuses_child
connection_keys[athens]=
both_initiate IKE_SA_INIT 34
both_initiate IKE_AUTH 35
both_delete
rekey_across
theirs=sequoia begun_by_us=true
cp "$work/maple.key" "$work/sequoia.key"
write_configs
both_initiate IKE_SA_INIT 34 'ours the smaller identity'
both_initiate IKE_AUTH 35 'ours the smaller identity'
[ "$failures" = 0 ] || { show_logs 60; exit 1; }
