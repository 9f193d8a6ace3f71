#!/bin/bash
# A partial mesh of real daemons: athens is the hub, then others have lists. What is filtered, who is dearer, who is no transit; a member that
# announces what is another's, and one that says too much.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
needs_namespaces

total() { ask "$1" tunnels --json | jq -e ".tunnels | length == $2" >/dev/null; }
peers_of() { ask "$1" tunnels --json | jq -ce '[.tunnels[].peer] | unique' | tee "$work/peers" | grep -qxF "$2" || { cat "$work/peers"; return 1; }; }
warns() { ask "$1" status --json | jq -e ".warnings | any(test(\"$2\"))" >/dev/null || { ask "$1" status; return 1; }; }
warns_of_nobody() { ask "$1" status --json | jq -e '.warnings | any(test("announces")) | not' >/dev/null; }
knows() { ask "$1" routes --json | jq -e ".routes | any(.destination == \"$2\")" >/dev/null; }
cost_to() { ask "$1" neighbours --json | jq -e "[.neighbours[] | select(.peer == \"$2\") | .$3] | length > 0 and all(. == $4)" >/dev/null; }

# configure NODE JQ: changes its configuration.
configure() { jq "$2" "${config_of[$1]}" >"$work/changed" && cp "$work/changed" "${config_of[$1]}"; }
restart() { stop "$1" && start "$1"; }

write_keys
for node in "${nodes[@]}"; do write_config "$node" netns user; done
for node in berlin cairo dakar; do
    configure $node '.connect = [{organization: "olive", common_name: "ath*"}]'
done
configure athens '.babel.peers = [{common_name: "cairo", cost: 500}]'
configure dakar '.babel.rxcost = 300'  # whoever says the same as dakar is believed
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
check 'the registry says whom berlin has tunnels with' jq -e '.[] | .nodes[] | select(.common_name == "berlin") |
    .remarks.connect == [{"organization": "olive", "common_name": "ath*"}]' "$work/registry.json"
for node in "${nodes[@]}"; do start $node; done
check 'everybody reaches everybody through the hub' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
check 'athens has tunnels with all' peers_of athens '["maple/cairo","maple/dakar","olive/berlin"]'
for node in berlin cairo dakar; do check "$node has them with athens alone" peers_of $node '["olive/athens"]'; done
check 'cairo is told that its way to athens is dearer' wait_for 10 cost_to cairo olive/athens txcost 532
check 'berlin is not' cost_to berlin olive/athens txcost 32

# Lists: with whom they name and do not refuse, as both sides see it.
for node in cairo dakar; do cp "${config_of[$node]}" "$work/$node.hub"; done
configure cairo '.connect = [{common_name: "athens"}, {organization: "maple"}]'
configure dakar '.connect = [{common_name: "cairo"}, {common_name: "berlin", deny: true}, {organization: "olive"}]'
configure berlin 'del(.connect)'
write_registry "$work/registry.json" "${nodes[@]}"
for node in "${nodes[@]}"; do check "$node reads it again" ask $node reload; done
check 'cairo has tunnels with those that its list names' wait_for 30 peers_of cairo '["maple/dakar","olive/athens"]'
check 'dakar has none with whom its list refuses' wait_for 30 peers_of dakar '["maple/cairo","olive/athens"]'
check 'berlin, which would with everybody, has one with whom no list leaves out' wait_for 30 peers_of berlin '["olive/athens"]'
check 'everybody reaches everybody' wait_for 40 all_reach 4 6
check 'cairo and dakar by the tunnel between them' wait_for 20 via cairo fd10:4::/64 maple/dakar

# What athens does not announce over one of its tunnels goes over the others.
configure athens '.babel.export = [{peer: "maple/dakar", prefix: "10.10.2.0/24", deny: true},
    {peer: "maple/dakar", organization: "olive", prefix: "fd10:2::/64", metric: 700}]'
configure dakar '.connect = [{common_name: "athens"}]'
write_registry "$work/registry.json" "${nodes[@]}"
for node in "${nodes[@]}"; do ask $node reload >/dev/null; done
check 'dakar has one tunnel again' wait_for 30 peers_of dakar '["olive/athens"]'
check 'export filter of a tunnel: what it denies dakar does not know' wait_for 20 eval '! knows dakar 10.10.2.0/24'
check 'and does not reach' eval '! reaches dakar "${v4_of[berlin]}"'
# To athens it costs 32.
dearer() { ask dakar routes --json | jq -e '[.routes[] | select(.destination == "fd10:2::/64") | .received_metric] | . == [732]'; }
check 'what it makes dearer is told to be' wait_for 20 dearer
check 'and reached' wait_for 20 reaches dakar "${v6_of[berlin]}"
check 'what it says nothing of dakar knows' eval 'knows dakar 10.10.3.0/24 && knows dakar 10.10.1.0/24'
check 'cairo, by another tunnel, has all of it' eval 'knows cairo 10.10.2.0/24 && reaches cairo "${v4_of[berlin]}"'
for node in cairo dakar; do cp "$work/$node.hub" "${config_of[$node]}"; done
configure athens 'del(.babel.export)'
configure berlin '.connect = [{organization: "olive", common_name: "ath*"}]'
write_registry "$work/registry.json" "${nodes[@]}"
for node in "${nodes[@]}"; do ask $node reload >/dev/null; done
check 'all is as before' wait_for 40 all_reach 4 6

# A rule that the registry does not know: cairo would, dakar does not want to.
configure cairo 'del(.connect)'
write_registry "$work/registry.json" "${nodes[@]}"
configure cairo '.connect = [{common_name: "athens"}]'
for node in "${nodes[@]}"; do ask $node load -r "$work/registry.json" >/dev/null; done
restart cairo
check 'a rule that the registry lacks is warned of' wait_for 10 grep -q 'other "connect" rules of this node' "$work/cairo.log"
check 'and does no harm' wait_for 40 all_reach 4 6
check 'cairo has its one tunnel' peers_of cairo '["olive/athens"]'

# cairo says that dakar's prefix is its own.
configure cairo '.daemon.prefixes += ["10.10.4.0/24"]'
restart cairo
check 'it is heard beside that of dakar' wait_for 20 knows berlin 10.10.4.0/24
check 'row 55: athens names who announces the prefix of dakar' wait_for 60 warns athens 'maple/cairo announces 10.10.4.0/24 of maple/dakar'
check 'row 55: berlin, which hears it through athens, tells that one router has prefixes of both' wait_for 60 \
    warns berlin 'the router [0-9a-f:]* announces prefixes of maple/cairo and maple/dakar'
check 'the log has it' grep -q 'maple/cairo announces 10.10.4.0/24' "$work/athens.log"
configure cairo '.daemon.prefixes -= ["10.10.4.0/24"]'
restart cairo
check 'it is told of no more when it is so no more' wait_for 90 warns_of_nobody athens

# berlin hears nothing of cairo's prefixes, and little of what more there is.
configure berlin '.babel.import = [{organization: "maple", prefix: "10.10.3.0/24", deny: true}] | .babel.max_routes = 8'
restart berlin
check 'berlin is there again' wait_for 40 reaches berlin "${v4_of[dakar]}"
check 'what its import filter denies it does not know' eval '! knows berlin 10.10.3.0/24'
check 'what it says nothing of it does' knows berlin fd10:3::/64
configure athens '.babel.redistribute = [{protocol: "static", prefix: "10.10.1.0/24"}]'
restart athens
wait_for 10 in_host athens ip -n aronet link show aronet >/dev/null
in_host athens ip netns exec aronet sh -c \
    'for i in $(seq 100 199); do echo "route add 10.10.1.$i/32 dev aronet proto static"; done | ip -batch -'
check 'row 56: a hundred routes of athens are too many for berlin' wait_for 60 warns berlin 'olive/athens announces more than 8 routes'
check 'row 56: the nodes of the registry are reached all the same' wait_for 20 reaches berlin "${v4_of[dakar]}"
check 'cairo has them all' wait_for 20 knows cairo 10.10.1.177/32

# A hub that is no transit.
configure athens 'del(.babel.redistribute) | .babel.transit = false'
restart athens
check 'of a hub that is no transit the others reach itself' wait_for 40 eval \
    "reaches berlin ${v6_of[athens]} && reaches cairo ${v4_of[athens]} && reaches dakar ${v6_of[athens]}"
sleep 5
check 'and not each other' eval "! reaches berlin ${v4_of[dakar]} && ! reaches cairo ${v6_of[berlin]}"
check 'status names whom there is no way to' eval \
    'ask cairo status --json | jq -e ".unreached == [\"maple/dakar\", \"olive/berlin\"]" >/dev/null'
check_clean_stop
[ "$failures" = 0 ] || { show_logs 15; exit 1; }
