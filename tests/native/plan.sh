#!/bin/bash
# What `aronet daemon plan` prints is what a start does: one host runs its lines, another the daemon, and both have the same
# links, addresses, routes and rules. What an earlier run left is shown as well.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
needs_namespaces
nodes=(athens berlin)

plan_of() { in_host "$1" "$aronet" daemon plan -c "${config_of[athens]}" -r "$work/$2.json"; }
run_lines() { in_host "$1" bash -e <(sed -n 's/^[+-] //p' "$2"); }
# What a host has of ours, in a form that compares: no indexes, no states of cables.
of_ours() {
    local inside
    for inside in '' '-n aronet'; do
        # shellcheck disable=SC2086
        in_host "$1" ip $inside -j -d link show | jq -S '[.[] | select(.ifname | startswith("aronet")) | {ifname, mtu, ifalias, master,
            kind: .linkinfo.info_kind, inet6_addr_gen_mode, up: (.flags | contains(["UP"])), multicast: (.flags | contains(["MULTICAST"]))}]
            | sort_by(.ifname)'
        # shellcheck disable=SC2086
        in_host "$1" ip $inside -j addr show | jq -S '[.[] | select(.ifname | startswith("aronet")) | .ifname as $on | .addr_info[]
            | select(.scope != "link" or .local != null) | {on: $on, local, prefixlen, address}]
            | map(select((.local | startswith("fe80")) and (.on == "aronet") | not)) | sort'
        [ -n "$inside" ] || in_host "$1" nft list table inet aronet_aronet | grep -E 'type filter|maxseg'
        for family in -4 -6; do
            # shellcheck disable=SC2086
            in_host "$1" ip $inside $family -j route show table all proto 140 | jq -S 'map(del(.flags)) | sort'
        done
    done
}
made_alike() { diff <(of_ours athens) <(of_ours berlin); }
refused_inside() {
    local status=0
    in_host athens setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$aronet" daemon plan -c "${config_of[athens]}" \
        -r "$work/registry.json" 2>"$work/refused" || status=$?
    cat "$work/refused"
    [ $status = 4 ] && grep -q "needs root" "$work/refused"
}
prints_nothing() { "$@" >"$work/lines" 2>&1 && [ ! -s "$work/lines" ] || { head -n 5 "$work/lines"; return 1; }; }

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
check 'the lines can be run' run_lines athens "$work/plan"
start berlin
has_links() { [ "$(of_ours berlin 2>/dev/null | grep -c '"kind": "tun"')" = "$(grep -c 'tuntap add' "$work/plan")" ]; }
check 'the daemon makes its links' wait_for 20 has_links
check 'both have made the same' wait_for 5 made_alike
check 'then there is nothing left to do' prints_nothing plan_of athens registry

kill_hard berlin
plan_of berlin alone >"$work/plan"
check 'what a run that was killed left is shown' grep -q '^- ip -6 route del fd10:3::/64' "$work/plan"
check 'and goes by those lines' run_lines berlin "$work/plan"
check 'nothing of it is left' prints_nothing plan_of berlin alone
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
