#!/bin/bash
# Mode `none` with a table of choice: routes go there and nowhere else, and come away again. First a plain router beside
# babeld, then three nodes with tunnels, one of them in that mode, which announces what is in a third table.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/babel_peers.sh"

nodes=(athens berlin cairo)
main_of() { in_host "$1" sh -c 'ip -4 route; ip -6 route | grep -v fe80; ip rule; ip -6 rule'; }
in_77() {  # HOST PREFIX
    local family=-4
    case $2 in *:*) family=-6 ;; esac
    in_host "$1" ip $family route show table 77 "$2" 2>/dev/null | grep -v unreachable | grep -q via
}
empty_77() { [ -z "$(in_host "$1" sh -c 'ip -4 route show table 77; ip -6 route show table 77' 2>/dev/null)" ]; }
untouched() { main_of "$1" | diff "$work/$1.main" -; }
filters() { [ "$(in_host near sysctl -n "net.ipv4.conf.$1.rp_filter")" = "$2" ]; }
by_rule() { for family in -4 -6; do in_host "$1" ip $family rule add lookup 77; done; }

check_plain() {
    local interface
    router near far away
    cable near far
    cable near away
    for interface in far away; do in_host near sysctl -qw net.ipv4.conf.$interface.rp_filter=2; done
    address far lo 10.20.2.1/32 fd20:2::1/128
    address near lo 10.20.1.1/32 fd20:1::1/128
    sleep 1
    main_of near >"$work/near.main"
    kernel_of near >"$work/near.clean"
    config_of[near]=$work/near.json
    echo '{"daemon": {"mode": "none", "route_table": 77}, "endpoints": [],
        "babel": {"interfaces": [{"name": "far", "hello_interval": "1s"}, {"name": "away"}]}}' >"$work/near.json"
    start near
    babeld_on far 'interface near type wired hello-interval 1 update-interval 4'
    check 'a plain router: IPv4 and IPv6 land in table 77' wait_for 20 eval 'in_77 near 10.20.2.1 && in_77 near fd20:2::1'
    check 'the main table and the rules are untouched' untouched near
    check 'so that without a rule nothing is reached' eval '! carries near fd20:2::1 fd20:1::1'
    by_rule near
    check 'and with one everything is' wait_for 10 eval 'carries near 10.20.2.1 10.20.1.1 && carries near fd20:2::1 fd20:1::1'
    check 'what filters by the way back is set aside where Babel runs' wait_for 5 eval 'filters far 0 && filters away 0'
    in_host near ip link set away down
    check 'one interface is left' wait_for 5 grep -q 'away is left by Babel' "$work/near.log"
    check 'it stops with exit status 0' stop near
    check 'and leaves nothing in table 77' empty_77 near
    for family in -4 -6; do in_host near ip $family rule del lookup 77; done
    check 'row 16: the kernel is as it was, of the interface that was left, too' eval 'kernel_of near | diff "$work/near.clean" -'
}

check_tunnels() {
    write_keys
    for node in "${nodes[@]}"; do write_config $node netns user; done
    daemon_keys[athens]='"route_table": 77,'
    babel_keys[athens]=', "redistribute": [{"table": 78, "protocol": "static"}], "redistribute_tables": [78]'
    write_config athens none user
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    sleep 1
    main_of athens >"$work/athens.main"
    for node in "${nodes[@]}"; do start $node; done
    check 'with tunnels: what the others have lands in table 77' \
        wait_for 30 eval 'in_77 athens 10.10.2.0/24 && in_77 athens fd10:2::/64 && in_77 athens 10.10.3.0/24 && in_77 athens fd10:3::/64'
    check 'with tunnels: no route of another protocol is new, and none of ours in the main table' of_main
    check 'with tunnels: nothing is reached without a rule' eval '! reaches athens 10.10.2.1'
    by_rule athens
    check 'with tunnels: with one everybody reaches everybody' wait_for 20 all_reach 4 6
    check_pairs
    check_source
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
    check 'with tunnels: nothing is left in table 77' empty_77 athens
    for family in -4 -6; do in_host athens ip $family rule del lookup 77; done
    check 'with tunnels: the main table and the rules are as they were' untouched athens
}
# What athens announces besides its own comes from table 78.
check_source() {
    in_host athens ip route add 10.10.1.128/26 dev lan proto static
    in_host athens ip route add 10.10.1.192/26 dev lan proto boot table 78
    in_host athens ip route add 10.10.1.64/26 dev lan proto static table 78
    in_host athens ip -6 route add fd10:1:0:0:7::/80 dev lan proto static table 78
    check 'a table of choice: its prefixes are learned by the other nodes' wait_for 10 eval \
        'via berlin 10.10.1.64/26 olive/athens && via cairo fd10:1:0:0:7::/80 olive/athens'
    check 'a table of choice: what is in another is not, nor what no rule wants' eval \
        '! ask berlin routes | grep -e 10.10.1.128 -e 10.10.1.192'
    in_host athens ip route del 10.10.1.64/26 table 78
    in_host athens ip -6 route flush table 78
    check 'a table of choice: what goes there goes everywhere' wait_for 10 eval \
        '! via berlin 10.10.1.64/26 olive/athens && ! via cairo fd10:1:0:0:7::/80 olive/athens'
    in_host athens ip route flush table 78
    in_host athens ip route del 10.10.1.128/26
}
# The node's own addresses on the loopback are all that may be new.
of_main() { main_of athens | grep -v -e 'fd10:1::ffff:0:0:1 dev lo' | diff "$work/athens.main" -; }

needs_namespaces
check_plain
check_tunnels
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
