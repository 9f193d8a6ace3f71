#!/bin/bash
# What `aronet daemon plan` prints is what a start does, of a VRF with the kernel's ESP, IPv4 inside IPv6, and a way by segments.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/plan.sh"

load_modules
write_keys
daemon_keys[athens]='"ipv4_transport": "srv6",'
for node in athens berlin cairo dakar; do write_config $node vrf kernel; done
sed -i '2i "segments": [{"prefix": "10.10.3.0/24", "via": ["maple/dakar"]}],' "${config_of[athens]}"
write_registry "$work/registry.json" athens cairo dakar
write_registry "$work/alone.json" athens
build_hosts
config_of[berlin]=${config_of[athens]}
check 'a plan for a bare host is printed' plan_of athens registry
plan_of athens registry >"$work/plan"
for words in 'link add aronet type vrf table 128' 'link add aronet-.* type xfrm .*if_id' 'encap seg6 mode encap.red segs fd10:4' \
    'encap seg6local action End' 'rule add'; do
    check "it has '$words'" grep -q -- "^+ ip.* $words" "$work/plan"
done
check_plan 'type xfrm'
[ "$failures" = 0 ] || { cat "$work/plan"; show_logs 10; exit 1; }
