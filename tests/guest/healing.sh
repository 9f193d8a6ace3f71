#!/bin/bash
# Somebody meddles with the kernel of nodes of ours with its own ESP: athens with a VRF, dakar in a namespace behind NAT.
# Alone: it measures seconds; another for the emulated processors.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/healing.sh"

load_modules
rate=100
slack=1000  # the emulated machine needs most of that to look
prefixes_of[berlin]=$(seq 200 | xargs printf ', "fd20:2:0:%x::/64"')
nodes=(athens berlin dakar)
write_keys
for node in athens berlin; do write_config $node vrf kernel; done
write_config dakar netns kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
for node in "${nodes[@]}"; do start "$node"; done
check 'every node reaches every other within a minute' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
sleep 10
check_healing athens 1
check_healing dakar 1

# What leaves without ESP, while there is no SA to leave by.
nsenter -t "${holder[athens]}" -n -m -- tcpdump -n -U -i eth0 -w "$work/plain.pcap" \
    '(icmp or icmp6) and (net 10.10.0.0/16 or net fd10::/16 or host 192.0.2.2)' 2>/dev/null &
daemon_pid[tcpdump]=$!
wait_for 10 test -s "$work/plain.pcap"
in_host athens ping -c1 -W2 192.0.2.2 >/dev/null  # of the underlay: what the recording must have
nsenter -t "${holder[athens]}" -n -m -- ping -q -i 0.05 10.10.2.1 >"$work/pinged" 2>&1 &
pinging=$!
sas_of() { in_host athens ip xfrm state | paste -s -d ' ' | sed 's/ src /\nsrc /g' |
    sed -n 's/^src \([^ ]*\) dst \([^ \t]*\)[ \t]*proto esp spi \(0x[0-9a-f]*\) .*/\1 \2 \3/p'; }
loses_sa() { in_host athens ip xfrm state delete src "$src" dst "$dst" proto esp spi "$spi"; }
# Its packets would go to where nobody listens.
alters_sa() {
    local shown number
    shown=$(in_host athens ip xfrm state get src "$src" dst "$dst" proto esp spi "$spi")
    number=$(sed -n 's/.*\(reqid [0-9]*\).*/\1/p; s/.*\(if_id [0-9a-fx]*\).*/\1/p' <<<"$shown")
    # shellcheck disable=SC2086,SC2046
    in_host athens ip xfrm state update src "$src" dst "$dst" proto esp spi "$spi" mode tunnel $number \
        $(sed -n 's/^[ \t]*\(aead .*\)/\1/p' <<<"$shown") encap espinudp 12025 9 0.0.0.0
}
check_sas() {  # SECONDS NAME FILTER HOW: of the SAs towards berlin
    local src dst spi line took
    sas_of | grep "$3" | head -n 1 >"$work/sa"
    read -r src dst spi <"$work/sa"
    line=$(wc -l <"$work/athens.told")
    is_renewed() { ! sas_of | grep -q "$spi" && [ "$(sas_of | grep -c "$2")" -ge 1 ]; }
    check "$2: $src > $dst $spi" "$4"
    check "$2: there is another within ten seconds, and that is gone" wait_for 10 is_renewed "$2" "$3"
    # The first that was made since.
    replaced() {
        took=$(told_span athens "$line" "] src $src dst $dst")
        echo "$took ms"
        [ -n "$took" ] && [ "$took" -le $(($1 * 1000)) ] && recovered=$took
    }
    check "$2: the other came within $1 s" replaced "$1"
    check "berlin is reached again" wait_for 10 reaches athens 10.10.2.1
    check "$2: the kernels have what the nodes tell of" agree athens berlin
}
check_sas 1 'row 4: an outbound SA is deleted' '^192.0.2.1 192.0.2.2 ' loses_sa
check_sas 1 'row 4: an outbound SA is altered' '^192.0.2.1 192.0.2.2 ' alters_sa
check_sas 3 'row 5: an inbound SA is deleted' '^192.0.2.2 192.0.2.1 ' loses_sa
healed 1 'row 6: all policies that are flushed' athens ip xfrm policy flush
# Of which it was told in this minute: in silence.
tunnels=$(in_host athens ip -o link show type xfrm | wc -l)
read -r if_id < <(in_host athens ip xfrm policy | sed -n 's/.*if_id \(0x[0-9a-f]*\).*/\1/p')
silent=yes healed 1 'row 6: a policy that is altered' athens ip xfrm policy update src ::/0 dst ::/0 dir out if_id "$if_id" \
    tmpl src 192.0.2.1 dst 192.0.2.9 proto esp reqid 9999 mode tunnel
kill -INT $pinging && wait $pinging
echo "# $(tail -n 2 "$work/pinged" | head -n 1)"
kill -INT "${daemon_pid[tcpdump]}" && wait "${daemon_pid[tcpdump]}"
check 'the underlay was watched' eval '[ "$(tcpdump -n -r "$work/plain.pcap" host 192.0.2.2 2>/dev/null | wc -l)" -ge 2 ]'
check 'nothing left in the clear meanwhile' eval '[ -z "$(tcpdump -n -r "$work/plain.pcap" not host 192.0.2.2 2>/dev/null)" ]'
healed 2 'row 8: the VRF that is deleted' athens ip link del aronet
check 'everybody is reached after that' wait_for 30 all_reach 4 6

picture athens >"$work/athens.picture"
check 'row 10: more happens than the kernel remembers' overflows athens
is_as_before() { picture athens | cmp -s "$work/athens.picture"; }
check 'row 10: all of it is looked at again and put right' wait_for 20 is_as_before
check 'row 10: the kernel has what the node tells of' agree athens
check 'the overflow is in the log' grep -q 'notices overflowed' "$work/athens.log"
idles() { local a b; a=$(cut -d' ' -f14,15 "/proc/${daemon_pid[athens]}/stat" | tr ' ' +); sleep 5
    b=$(cut -d' ' -f14,15 "/proc/${daemon_pid[athens]}/stat" | tr ' ' +); echo "$((b - a)) ticks"; [ $((b - a)) -lt 100 ]; }
check 'afterwards it rests' idles
# The kernel shows SAs with their keys to whoever asks for counters or looks at everything.
keys_kept() {
    local keys
    keys=$(in_host athens ip xfrm state | sed -n 's/.*aead .* 0x\([0-9a-f]*\) .*/\1/p' | awk '{ print "sa" NR "=" $1 }')
    [ -n "$keys" ] || { echo 'no SA shows a key'; return 1; }
    # shellcheck disable=SC2086
    in_host athens python3 "$root/tests/memory.py" "${daemon_pid[athens]}" $keys | tee "$work/memory"
    ! grep -Ev 'unlocked 0 elsewhere 0$' "$work/memory"
}
check 'keys of SAs in the kernel are nowhere in the daemon but in its vault' keys_kept
# Somebody else has the number of a tunnel, then the table of the VRF.
warns() { ask athens status --json | jq -e '.warnings | any(contains("theirs"))' >/dev/null; }
gives_up() { start athens; ! wait "${daemon_pid[athens]}"; }
check 'athens stops with exit status 0' stop athens
in_host athens ip link add theirs type xfrm dev lo if_id "$if_id"
in_host athens ip -d link show theirs >"$work/theirs"
start athens
check "row 13: a tunnel whose number is that of somebody's link is told of with its name" wait_for 20 warns
check 'row 13: and that link is as it was' eval 'in_host athens ip -d link show theirs | cmp - "$work/theirs"'
in_host athens ip link del theirs
has_all() { [ "$(in_host athens ip -o link show type xfrm | wc -l)" = "$tunnels" ]; }
check 'without it the tunnel is there' wait_for 60 has_all
check 'athens stops again' stop athens
in_host athens ip link add blue type vrf table 128
check "row 13: where the table is that of somebody's VRF athens does not start" gives_up
check 'row 13: and says whose' grep -q 'aronet: table 128 is that of blue, which is not ours' "$work/athens.log"
in_host athens ip link del blue
for node in berlin dakar; do check "$node stops with exit status 0" stop "$node"; done
[ "$failures" = 0 ] || { show_logs 30; exit 1; }
