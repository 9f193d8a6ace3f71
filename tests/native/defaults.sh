#!/bin/bash
# Netns mode with nothing but prefixes in the part "daemon": no network, every other key as the original has it by default.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin)

inside() { in_host athens ip netns exec aronet "$@"; }

write_keys
for node in "${nodes[@]}"; do
    write_config $node netns user
    sed -i '/"network":/d; /"datapath":/d; s/"mode": "netns"/"use_netns": true/' "${config_of[$node]}"
done
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts
sleep 1
for node in "${nodes[@]}"; do kernel_of "$node" >"$work/$node.clean"; done
for node in "${nodes[@]}"; do start $node; done
check 'without a network of their own the nodes reach each other in IPv4' wait_for 30 all_reach 4 || { show_logs; exit 1; }
check 'the host behind one reaches the host behind the other' in_host athens-host ping -c1 -W2 -q "${host_v4_of[berlin]}"
check 'the main interface is aronet' in_host athens ip link show aronet
check 'and so is the namespace, with the other end of it' inside ip link show aronet
check 'tunnels have its name and 1400 octets' sh -c "nsenter -t ${holder[athens]} -n -m ip -n aronet link | grep 'aronet-[0-9a-f]\{8\}:.* mtu 1400 '"
check 'their routes are in the main table of the namespace' sh -c \
    "nsenter -t ${holder[athens]} -n -m ip -n aronet route show proto 140 table main | grep 10.10.2.0/24"
check 'the control socket is where the original has its own' in_host athens test -S /var/run/aronet/aronet.sock
check_clean_stop
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
