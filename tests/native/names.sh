#!/bin/bash
# cairo is known by a domain name. Its name server fails, is silent, is late, recovers, moves cairo elsewhere, gives answers
# of long and short life and addresses where nobody is; the tunnel between the others must not notice.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/name_server.sh"
nodes=(athens berlin cairo)

endpoints() {
    case $1 in
        cairo) echo '[{"serial_number": 0, "address": "cairo.test", "address_family": "ip4", "port": 12025}]' ;;
        *) echo "[{\"serial_number\": 0, \"address\": \"$(underlay4 "$1")\", \"port\": 12025}]" ;;
    esac
}
reach_each_other() { reaches athens "${v4_of[$1]}" && reaches "$1" "${v4_of[athens]}"; }
to_cairo() { ask athens tunnels --json | jq -e ".tunnels[] | select(.peer == \"maple/cairo\") | $1"; }
logged() { grep -q 'cairo.test does not resolve' "$work/athens.log"; }
test_asked_more() { [ "$(asked)" -gt "$before" ]; }
no_more_questions() {
    local before
    before=$(asked)
    sleep 7  # a name that failed is asked for again after 4 to 6 s
    [ "$(asked)" = "$before" ]
}
move_cairo() {
    in_host cairo ip addr flush dev eth0 scope global
    in_host cairo ip addr add "$1/24" dev eth0
}

build_mesh netns user
# cairo knows nobody's address: the others must come to it.
jq '(.[] | select(.organization == "olive") | .nodes[].endpoints[]) += {address: null, address_family: "ip4"}' \
    "$work/registry.json" >"$work/cairo-registry.json"
registry_of[cairo]=$work/cairo-registry.json
jq 'map(select(.organization == "olive"))' "$work/registry.json" >"$work/olive.json"
name_is fail
ask_own_name_server
count_questions athens 'udp dport 53'
for node in "${nodes[@]}"; do start $node; done
check 'row 35: the others reach each other while a name does not resolve' wait_for 20 reach_each_other berlin || show_logs
check 'SERVFAIL is told of' wait_for 5 logged
check 'and the tunnel says why it is not there' to_cairo '.state == "wanted" and .remote == null and .reason != ""'
nsenter -t "${holder[athens]}" -n -m ping -n -i 0.05 "${v4_of[berlin]}" >"$work/ping.txt" &
pinging=$!

before=$(asked)
name_is silence
check 'it is asked again' wait_for 8 test_asked_more
sleep 5
check 'no answer at all changes nothing for the others' reach_each_other berlin
check 'nor is one that does not answer reached' to_cairo '.state == "wanted"'
name_is late 3 192.0.2.3
check 'an answer that comes late is an answer' wait_for 30 reach_each_other cairo || show_logs

name_is fail
before=$(asked)
check 'the registry is loaded again' ask athens load -r "$work/registry.json"
check 'its names are asked for again' wait_for 5 test_asked_more
name_is nothing
before=$(asked)
check 'and again when they fail' wait_for 10 test_asked_more
check 'a name that is gone leaves a tunnel that is up alone' to_cairo '.state == "routed" and .came_up == 1'

name_is 192.0.2.33
move_cairo 192.0.2.33
check 'row 35: cairo is found again at its new address' wait_for 40 reach_each_other cairo || show_logs
check 'which the tunnel shows' to_cairo '.remote == "192.0.2.33:12025"'

before=$(asked)
name_is ttl 300 192.0.2.77
check 'the name is asked for again when its five seconds are over' wait_for 8 test_asked_more
check 'an answer that holds for minutes is not asked for again' no_more_questions
check 'a name that leads elsewhere leaves a tunnel that is up alone' to_cairo '.state == "routed" and .remote == "192.0.2.33:12025"'

before=$(asked)
kill_hard cairo  # else it would say itself that it has moved
check 'a name whose tunnel is lost is asked for long before its answer is over' wait_for 40 test_asked_more
sleep 0.5
name_is ttl 300 192.0.2.44
move_cairo 192.0.2.44
start cairo
check 'and so is one that leads nowhere' wait_for 40 reach_each_other cairo || show_logs
check 'the peer is found where the new answer says' to_cairo '.state == "routed" and .remote == "192.0.2.44:12025"'
kill -INT $pinging
wait $pinging
check 'in all that time not one packet between athens and berlin was lost' lost_at_most 0 "$work/ping.txt"

name_is 192.0.2.77 192.0.2.44
kill_hard athens
start athens
check 'where the first of two addresses is dead the second is tried within seconds' wait_for 8 reach_each_other cairo || show_logs

name_is fail
kill_hard athens
start athens
sleep 3
check 'without its address nobody finds cairo' to_cairo '.state == "wanted"'
echo 'cairo.test 192.0.2.44' >"$work/names2"
start_name_server names2 127.0.0.2
echo 'nameserver 127.0.0.2' >"$work/resolv.conf"
check 'the name server that the host asks from now on is asked' wait_for 20 reach_each_other cairo || show_logs

registry_of[athens]=$work/registry.json
check 'row 35: the kernels have what the nodes tell of' agree "${nodes[@]}"
check 'no question could have taken a way through the overlay' questions_are_marked athens
check 'athens loads a registry without cairo' ask athens load -r "$work/olive.json"
check 'a name that nobody needs any more is not asked for' no_more_questions
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
