#!/bin/bash
# `scripts/demo --keep` leaves a mesh to look around in, by the commands it prints; the last of them leaves nothing.
# Alone: the namespaces of all demos have the same names.
. "$(dirname "$0")/../peers.sh"

left() {
    ip netns list | grep demo-
    ls -d /tmp/aronet-demo 2>/dev/null
    ps -eo args | grep -E '^[^ ]*(aronet daemon run|tcpdump) .*aronet-demo'
}
nothing_left() { [ -z "$(left)" ] || { left; return 1; }; }

check 'scripts/demo --keep holds every step' sh -c "'$root/scripts/demo' --keep >'$work/demo.txt' </dev/null" || {
    tail -n 20 "$work/demo.txt"
    exit 1
}
sed 's/\x1b\[[0-9;]*m//g' "$work/demo.txt" >"$work/plain.txt"
sed -n '/To look around:/,/To stop it:/s/^   //p' "$work/plain.txt" >"$work/look"
sed -n '/To stop it:/,$s/^   //p' "$work/plain.txt" >"$work/stop"
check 'it says how to look around' test "$(wc -l <"$work/look")" = 3
while read -r command; do check "it works: ${command##*/}" sh -c "$command </dev/null"; done <"$work/look"
check 'the mesh is there' sh -c "ip netns list | grep -q demo-athens-overlay"
check 'and is stopped as printed' sh -c "$(cat "$work/stop")"
check 'nothing is left: no namespace, file nor process' nothing_left
[ "$failures" = 0 ]
