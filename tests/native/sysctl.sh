#!/bin/bash
# `sysctl: apply` sets what the overlay needs and puts back what nobody has changed since; `check` only warns.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin)

read_all() { in_host "$1" sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | tr '\n' ' '; }
are() { [ "$(read_all "$1")" = "$2 " ] || { read_all "$1"; return 1; }; }
inside() { in_host athens ip netns exec aronet sysctl -n "$1"; }
inside_is() { [ "$(inside "$1")" = "$2" ] || { inside "$1"; return 1; }; }
warns_of_nothing() { ask "$1" status --json | jq -e ".warnings == []"; }
warns() { ask "$1" status --json | jq -e --arg text "$2" '.warnings | index($text)'; }

daemon_keys[athens]='"sysctl": "apply",'
daemon_keys[berlin]='"sysctl": "check",'
build_mesh netns user
for node in "${nodes[@]}"; do in_host $node sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0; done
for node in "${nodes[@]}"; do start $node; done
routed() { ask "$1" tunnels --json | jq -e '.tunnels | all(.state == "routed")' >/dev/null; }
check 'both have their tunnels' wait_for 30 routed athens && wait_for 30 routed berlin || { show_logs; exit 1; }

check 'apply sets what the overlay needs' are athens '1 1'
for key in net.ipv4.ip_forward net.ipv6.conf.all.forwarding; do
    check "and inside the namespace: $key" inside_is "$key" 1
done
check 'and what a tunnel needs' inside_is "net.ipv4.conf.$(ask athens tunnels --json | jq -r '.tunnels[0].interface').rp_filter" 0
check 'apply has nothing to warn of' warns_of_nothing athens
check 'check sets nothing' are berlin '0 0'
for key in net.ipv4.ip_forward net.ipv6.conf.all.forwarding; do
    check "but warns of $key" warns berlin "$key is 0, this overlay needs 1"
done
check 'and of the one inside the namespace' \
    warns berlin 'net.ipv6.conf.all.forwarding is 0 in the namespace aronet, this overlay needs 1'
in_host berlin sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
in_host berlin ip netns exec aronet sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
check 'with these set by hand the two reach each other' wait_for 20 all_reach 4 6 || show_logs

in_host athens sysctl -qw net.ipv4.ip_forward=0
check 'row 9: forwarding that somebody switches off is on again at once, for the kernel tells' wait_for 2 are athens '1 1'
in_host athens ip netns exec aronet sysctl -qw net.ipv6.conf.all.seg6_enabled=0
check 'row 9: what the kernel does not tell of is on again within ten seconds' wait_for 12 inside_is net.ipv6.conf.all.seg6_enabled 1
check 'row 9: the kernel has what the node tells of' agree athens
check 'athens stops' stop athens
check 'what it had set is as before' are athens '0 0'
start athens
check 'athens is up again' wait_for 30 all_reach 4
kill -STOP "${daemon_pid[athens]}"  # else it would be set again before the node stops
in_host athens sysctl -qw net.ipv4.ip_forward=0
in_host athens sysctl -qw net.ipv4.conf.all.rp_filter=2
in_host athens sysctl -qw net.ipv6.conf.all.forwarding=2
kill -TERM "${daemon_pid[athens]}"
kill -CONT "${daemon_pid[athens]}"
check 'athens stops again' stop athens
check 'what somebody changed since stays as they want it' are athens '0 2'
check 'what it never touched stays' test "$(in_host athens sysctl -n net.ipv4.conf.all.rp_filter)" = 2

in_host athens sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
start athens
check 'athens is up once more' wait_for 30 all_reach 4
check 'athens stops once more' stop athens
check 'what was as needed before stays' are athens '1 1'
check 'berlin stops' stop berlin
check 'and has touched nothing' are berlin '1 1'
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
