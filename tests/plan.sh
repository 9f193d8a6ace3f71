# shellcheck shell=bash disable=SC2016
# What `aronet daemon plan` prints is what a start does: athens runs its lines, berlin the daemon of athens, and both have
# the same links, addresses, routes and rules. What an earlier run left is shown as well. To be sourced after peers.sh and
# four_nodes.sh.

nodes=(athens berlin)

plan_of() { in_host "$1" "$aronet" daemon plan -c "${config_of[athens]}" -r "$work/$2.json"; }
run_lines() { sed -n 's/^[+-] //p' "$2" >"$work/lines.run" && in_host "$1" bash -e "$work/lines.run"; }
# What a host has of ours, in a form that compares: no indexes, no states of cables.
of_ours() {
    local inside
    for inside in '' '-n aronet'; do
        # shellcheck disable=SC2086
        in_host "$1" ip $inside -j -d link show | jq -S '[.[] | select(.ifname | startswith("aronet")) | {ifname, mtu, ifalias, master,
            kind: .linkinfo.info_kind, data: (.linkinfo.info_data // {} | {if_id, table}), inet6_addr_gen_mode,
            up: (.flags | contains(["UP"])), multicast: (.flags | contains(["MULTICAST"]))}]
            | sort_by(.ifname)'
        # shellcheck disable=SC2086
        in_host "$1" ip $inside -j addr show | jq -S '[.[] | select(.ifname | startswith("aronet")) | .ifname as $on | .addr_info[]
            | select(.scope != "link" or .local != null) | {on: $on, local, prefixlen, address}]
            | map(select((.local | startswith("fe80")) and (.on == "aronet") | not)) | sort'
        [ -n "$inside" ] || in_host "$1" nft list table inet aronet_aronet | grep -E 'type filter|maxseg'
        for family in -4 -6; do
            # shellcheck disable=SC2086
            in_host "$1" ip $inside $family -j route show table all proto 140 | jq -S 'map(del(.flags)) | sort'
            # shellcheck disable=SC2086
            in_host "$1" ip $inside $family rule show pref 32000
        done
    done
}
made_alike() {
    local node
    for node in athens berlin; do of_ours $node >"$work/by.$node" 2>/dev/null; done  # not each mode has a namespace
    [ -s "$work/by.athens" ] && diff "$work"/by.{athens,berlin}
}
prints_nothing() { "$@" >"$work/lines" 2>&1 && [ ! -s "$work/lines" ] || { head -n 5 "$work/lines"; return 1; }; }

# check_plan LINK: "$work/plan" is that of athens with registry.json; alone.json has nobody else. Tunnels are lines with LINK.
check_plan() {
    has_links() { [ "$(of_ours berlin 2>/dev/null | grep -c '"ifname": "aronet-')" = "$(grep -c "$1" "$work/plan")" ]; }
    check 'the lines can be run' run_lines athens "$work/plan"
    start berlin
    check 'the daemon makes its links' wait_for 20 has_links "$1"
    check 'both have made the same' wait_for 5 made_alike
    check 'then there is nothing left to do' prints_nothing plan_of athens registry

    kill_hard berlin
    plan_of berlin alone >"$work/plan"
    check 'what a run that was killed left is shown' grep -q '^- ip -6 route del fd10:3::/64' "$work/plan"
    check 'and goes by those lines' run_lines berlin "$work/plan"
    check 'nothing of it is left' prints_nothing plan_of berlin alone
}
