#!/bin/bash
# What `aronet daemon plan` prints is what a start does, of a namespace with our own ESP; and who may ask for it.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/plan.sh"
needs_namespaces

refused_inside() {
    local status=0
    in_host athens setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$aronet" daemon plan -c "${config_of[athens]}" \
        -r "$work/registry.json" 2>"$work/refused" || status=$?
    cat "$work/refused"
    [ $status = 4 ] && grep -q "needs root" "$work/refused"
}

# Of a VRF without root: the kernel's ESP could only be tried with a link among the host's.
plan_unprivileged() { in_host athens setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$aronet" daemon plan -c "$work/vrf.json" \
    -r "$work/registry.json"; }
refused_trial() {
    local status=0
    plan_unprivileged 2>"$work/refused" || status=$?
    cat "$work/refused"
    [ $status = 4 ] && grep -q "takes root" "$work/refused"
}
tries_nothing() {
    in_host athens timeout 10 ip monitor link >"$work/links" &
    local watching=$!
    sleep 0.5
    plan_unprivileged >"$work/lines" || true
    sed -i 's/"auto"/"kernel"/' "$work/vrf.json"
    plan_unprivileged >"$work/lines" || return 1
    sleep 0.5
    kill $watching
    grep -q '^+ ip link add aronet type vrf' "$work/lines" && [ ! -s "$work/links" ] || { cat "$work/links"; return 1; }
}

write_keys
for node in athens berlin cairo; do write_config $node netns user; done
write_registry "$work/registry.json" athens cairo
write_registry "$work/alone.json" athens
build_hosts
config_of[berlin]=${config_of[athens]}
check 'a plan for a bare host is printed' plan_of athens registry
plan_of athens registry >"$work/plan"
check 'TCP would be clamped' grep -q "^+ nft 'add rule inet aronet_aronet forward oifname" "$work/plan"
check 'it has the namespace first' test "$(head -n 1 "$work/plan")" = '+ ip netns add aronet'
check 'who may not enter the namespace is told' refused_inside
sed 's/"netns",/"vrf",/; s/"datapath": "user"/"datapath": "auto"/' "${config_of[athens]}" >"$work/vrf.json"
check 'who may not try the kernel in a namespace is told' refused_trial
check 'and makes no link to try it' tries_nothing
check 'nothing was done' test "$(in_host athens ip netns list)" = ''
check_plan 'tuntap add'
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
