#!/bin/bash
# Periodic updates that are lost while Hellos are not: whoever does not hear a route again asks for it by name before it
# expires (RFC 8966 3.8.2.3): ours asks babeld and BIRD, and BIRD asks ours. babeld 1.12 lets such a route go and asks for a
# newer seqno then; where it asks by name is shown by babel_requests.sh.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/babel_peers.sh"

pair() {
    local p=$1
    router "$p-a" "$p"
    cable "$p-a" "$p"
    record "$p-a" "$p"
    for i in $(seq 60); do echo "route add fd70:$i::/48 dev lo proto 4"; done >"$work/near"
    sed 's/fd70/fd71/' "$work/near" >"$work/far"
    in_host "$p-a" ip -6 -batch "$work/near"
    [ "$p" = bird ] || in_host "$p" ip -6 -batch "$work/far"
    ours "$p-a" "\"interfaces\": [{\"name\": \"$p\", \"hello_interval\": \"1s\", \"update_interval\": \"5s\"}],
        \"redistribute\": [{\"protocol\": \"static\"}]"
}
through() { in_host "$1" ip -6 route show | grep "^fd$2:" | grep -c via; }
all_known() { [ "$(through "$1-a" 71)" = 60 ] && [ "$(through "$1" 70)" = 60 ]; }

# What is large is lost at HOST. Hellos are small, but ours may share the packet of an update: BIRD, which wants to hear
# three of four, is content with a quarter here. From the moment it asks (its packet begins with a Route Request, type 9)
# it hears everything: what is asked for late must come before the route expires.
loses_updates() {
    in_host "$1" nft 'add table inet updates; add set inet updates asked { type inet_service; flags dynamic, timeout; timeout 1m; };
        add chain inet updates in { type filter hook input priority -300; };
        add chain inet updates out { type filter hook output priority -300; };
        add rule inet updates out udp dport 6696 @th,96,8 9 add @asked { udp dport };
        add rule inet updates in udp dport 6696 udp length > 200 udp dport != @asked drop'
}
hears_updates() { in_host "$1" nft delete table inet updates; }

# said PEER HOST INTERFACE SINCE FILTER: when it first said that, in seconds.
said() {
    tshark -r "$work/$1-a-$1.pcap" -T fields -e frame.time_epoch 2>/dev/null -Y "eth.src == $(mac_of "$2" "$3") &&
        frame.time_epoch > $4 && babel.message.ae == 2 && $5" | head -n 1 | grep .
}
asked() { said "$@" 'babel.message.type == 9' >"$work/asked"; }
# Sooner than the next periodic update could be.
answered() {
    local request answer
    request=$(cat "$work/asked")
    answer=$(said "$@" "$request" 'babel.message.type == 8') || return 1
    awk -v a="$answer" -v q="$request" 'BEGIN { print a - q; exit !(a - q < 1.5) }'
}

# check_expiry PEER WHO HOST OTHER: HOST does not hear the updates of OTHER.
check_expiry() {
    local p=$1 host=$3 other=$4 started monitor
    started=$(($(date +%s) + 3))  # whatever was asked at the beginning is over
    nsenter -t "${holder[$host]}" -n -m -- ip -6 monitor route >"$work/$host.monitor" 2>/dev/null &
    monitor=$!
    loses_updates "$host"
    check "$2 asks by name for what was not said again" wait_for 25 asked "$p" "$host" "$other" "$started"
    hears_updates "$host"
    check "$2 is answered at once" wait_for 3 answered "$p" "$other" "$host"
    sleep 6  # longer than routes not heard of again would live
    kill $monitor
    check "$2 has lost no route meanwhile" eval "! grep '^Deleted fd7' '$work/$host.monitor'"
}

with_babeld() {
    pair babeld
    babeld_on babeld 'interface babeld-a type wired hello-interval 1 update-interval 5' 'redistribute proto 4'
    check 'babeld: all routes are known' wait_for 30 all_known babeld
    check_expiry babeld 'ours, of babeld:' babeld-a babeld
}
with_bird() {
    pair bird
    bird_on bird 'interface "bird-a" { type wired; limit 4; hello interval 1 s; update interval 5 s; };' \
        "protocol static far { ipv6; $(seq -f 'route fd71:%.0f::/48 unreachable;' 60) }"
    check 'BIRD: all routes are known' wait_for 30 all_known bird
    check_expiry bird 'BIRD, of ours:' bird bird-a
    check_expiry bird 'ours, of BIRD:' bird-a bird
}

with_peers "$@"
