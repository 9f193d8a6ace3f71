#!/bin/bash
# Three routers of ours with the intervals nobody chose: a cable that silently loses everything is gone round within
# two seconds of traffic, long before a Hello is missed.
# Alone: it counts what is lost in two seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

needs_namespaces
corners=(east north west)
router "${corners[@]}"
cable east north
cable north west
cable west east
n=0
for name in "${corners[@]}"; do
    n=$((n + 1))
    address $name lo fd60:$n::1/128
    ours $name '"interfaces": ["east", "north", "west"]'
done

all_direct() {
    has east fd60:2::1 'dev north' && has east fd60:3::1 'dev west' && has north fd60:1::1 'dev east' &&
        carries east fd60:3::1 fd60:1::1 && carries east fd60:2::1 fd60:1::1
}

check 'every corner reaches every other the short way' wait_for 40 all_direct
in_host east ping -q -i 0.05 -c 300 -W 1 -I fd60:1::1 fd60:2::1 >"$work/ping" 2>&1 &
ping=$!
sleep 3  # the traffic is known to flow
cut east north
cut north east
wait $ping || true
echo "# $(packets_lost "$work/ping") of 300 packets, one each 50 ms, were lost"
check 'a silent cut under traffic costs at most two seconds' lost_at_most 40 "$work/ping"
check 'and is gone round' has east fd60:2::1 'dev west'
mend east
mend north
check 'once it is mended the short way is taken again' wait_for 60 all_direct
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
