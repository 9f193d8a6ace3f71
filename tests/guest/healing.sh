#!/bin/bash
# Somebody meddles with the kernel of nodes of ours with its own ESP: athens with a VRF, dakar in a namespace behind NAT.
# Alone: it measures seconds; another for the emulated processors.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/healing.sh"

load_modules
nodes=(athens berlin dakar)
write_keys
for node in athens berlin; do write_config $node vrf kernel; done
write_config dakar netns kernel
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
for node in "${nodes[@]}"; do start "$node"; done
check 'every node reaches every other within a minute' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
sleep 10
seconds=5  # of the emulated machine, which needs most of them to look
check_healing athens $seconds
check_healing dakar $seconds

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
check_sas() {  # NAME FILTER: of the SAs towards berlin
    local src dst spi
    sas_of | grep "$2" | head -n 1 >"$work/sa"
    read -r src dst spi <"$work/sa"
    loses_sa() { in_host athens ip xfrm state delete src "$src" dst "$dst" proto esp spi "$spi"; }
    is_renewed() { ! sas_of | grep -q "$spi" && [ "$(sas_of | grep -c "$2")" -ge 1 ]; }
    check "$1: $src > $dst $spi" loses_sa
    check "$1: there is another within $((seconds * 2)) s" wait_for $((seconds * 2)) is_renewed "$1" "$2"
    check "berlin is reached again" wait_for 10 reaches athens 10.10.2.1
    check "$1: the kernels have what the nodes tell of" agree athens berlin
}
check_sas 'row 4: an outbound SA is deleted' '^192.0.2.1 192.0.2.2 '
check_sas 'row 5: an inbound SA is deleted' '^192.0.2.2 192.0.2.1 '
healed $seconds 'row 6: all policies that are flushed' athens ip xfrm policy flush
kill -INT $pinging && wait $pinging
echo "# $(tail -n 2 "$work/pinged" | head -n 1)"
kill -INT "${daemon_pid[tcpdump]}" && wait "${daemon_pid[tcpdump]}"
check 'the underlay was watched' eval '[ "$(tcpdump -n -r "$work/plain.pcap" host 192.0.2.2 2>/dev/null | wc -l)" -ge 2 ]'
check 'nothing left in the clear meanwhile' eval '[ -z "$(tcpdump -n -r "$work/plain.pcap" not host 192.0.2.2 2>/dev/null)" ]'
healed $((seconds * 4)) 'row 8: the VRF that is deleted' athens ip link del aronet
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
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop "$node"; done
[ "$failures" = 0 ] || { show_logs 30; exit 1; }
