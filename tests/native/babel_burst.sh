#!/bin/bash
# 10,000 routes from one router of ours to another, through real sockets: they appear, disappear and reappear long before a
# periodic update, which comes every five minutes; also where each loses every fifth packet.
# Alone: it measures seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

many=10000
count() { in_host far ip -6 route show proto 140 | grep -c '^fd70:'; }
counts() { [ "$(count)" = "$1" ]; }

# told SECONDS NAME NUMBER: so many are there, since begin().
told() {
    check "$2 within $1 s" within $(($1 * 1000)) counts "$3"
    echo "# $2: $(cat "$work/said"), $(count) of $3"
}
batch() { in_host near ip -6 -batch "$work/$1"; }

both_up() { neighbours near 'any(.reachable)' && neighbours far 'any(.reachable)'; } 2>/dev/null
burst() {  # SECONDS WHAT
    check "$2: the neighbours know each other" wait_for 60 both_up
    sleep 2
    begin
    batch add
    told "$1" "$2: $many routes appear" $many
    begin
    batch del
    told "$1" "$2: they disappear" 0
    begin
    batch add
    told "$1" "$2: they reappear" $many
}

needs_namespaces
router near far
cable near far
record near far
for verb in add del; do
    seq $many | awk -v verb=$verb '{ printf "route %s fd70:%x:%x::/64 dev lo proto 4\n", verb, int($1 / 256), $1 % 256 }' >"$work/$verb"
done
slow='"hello_interval": "4s", "update_interval": "5m"'
ours near "\"interfaces\": [{\"name\": \"far\", $slow}], \"redistribute\": [{\"protocol\": \"static\"}]"
ours far "\"interfaces\": [{\"name\": \"near\", $slow}]"
burst 2 'without loss'
stop near
batch del
check 'what stops takes all of its routes back' wait_for 2 counts 0
batch add
start near
wait_for 10 both_up
begin
told 2 'a neighbour that comes up tells them' $many
batch del
check 'and withdraws them' wait_for 5 counts 0
loses near 20
loses far 20
burst 10 'at 20 % loss'  # two of three Hellos may be lost, and the link with them until the next
check 'tcpdump and tshark can read all that was said' well_formed 500
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
