# shellcheck shell=bash
# Routers of others behind athens, one of three nodes with tunnels: what is theirs is reached from the other nodes, as far
# as the filters let it through. To be sourced after peers.sh, four_nodes.sh and babel_peers.sh.

nodes=(athens berlin cairo)

# The site has 10.80.0.0/14 and fd80::/16 by the registry; cairo takes what the registry does not know as well, and
# athens nothing of 10.82.0.0/16.
build_joined() {  # MODE DATAPATH INTERFACES...
    local mode=$1 datapath=$2 name interfaces=
    shift 2
    for name; do
        interfaces+="${interfaces:+, }{\"name\": \"$name\", \"hello_interval\": \"1s\",
            \"import\": [{\"prefix\": \"10.82.0.0/16\", \"deny\": true}]}"
    done
    prefixes_of[athens]=', "10.80.0.0/14", "fd80::/16"'
    babel_keys[athens]=", \"interfaces\": [$interfaces]"
    babel_keys[cairo]=', "only_registered_prefixes": false'
    build_mesh "$mode" "$datapath"
    for name in "${nodes[@]}"; do start "$name"; done
    check 'the nodes reach each other' wait_for 60 all_reach 4 6 || { show_logs; exit 1; }
}

# A router with networks of its own: some of the site's, one that athens refuses, some that the registry does not know.
declare -A number_of=([babeld]=1 [bird]=2 [frr]=3)
site_router() {
    local n=${number_of[$1]}
    router "$1"
    address "$1" lo "10.80.$n.1/32" "fd80:$n::1/128" "10.82.$n.1/32" "10.91.$n.1/32" "fd91:$n::1/128"
}

# The table that the overlay has, in whichever mode.
knows() {
    local overlay=(ip -4)
    case $2 in *:*) overlay=(ip -6) ;; esac
    [ -z "${in_namespace:-}" ] || overlay+=(-n aronet)
    in_host "$1" "${overlay[@]}" route show table "${table:-main}" "$2" | grep -v unreachable | grep -q .
}
misses() { ! knows "$@"; }

reached() {  # PEER: from the other nodes and from the hosts behind them
    local n=${number_of[$1]} from
    for from in berlin berlin-host cairo cairo-host; do
        reaches $from "10.80.$n.1" && reaches $from "fd80:$n::1" || { echo "not from $from"; return 1; }
    done
}
reaches_out() {  # PEER: from its own networks to a host behind another node
    local n=${number_of[$1]}
    carries "$1" "${host_v4_of[berlin]}" "10.80.$n.1" && carries "$1" "${host_v6_of[cairo]}" "fd80:$n::1"
}

check_joined() {  # PEER NAME
    local n=${number_of[$1]}
    check "$2: its networks are reached from the other nodes and from behind them, IPv4 and IPv6" wait_for 30 reached "$1"
    check "$2: and reach them" wait_for 10 reaches_out "$1"
    check "$2: a network that the registry does not know is learned where that was asked for" \
        wait_for 10 eval "knows cairo 10.91.$n.1 && knows cairo fd91:$n::1"
    check "$2: by athens, too, whose interface has no such filter" eval "knows athens 10.91.$n.1 && knows athens fd91:$n::1"
    check "$2: and nowhere else" eval "misses berlin 10.91.$n.1 && misses berlin fd91:$n::1"
    check "$2: what the interface's import filter denies is nowhere" eval "misses athens 10.82.$n.1 && misses cairo 10.82.$n.1"
}

withdrawn() {  # PEER
    local n=${number_of[$1]} node
    for node in "${nodes[@]}"; do
        misses "$node" "10.80.$n.1" && misses "$node" "fd80:$n::1" || return 1
    done
}
check_death() {  # PEER NAME START...
    local p=$1 name=$2
    shift 2
    kill_peer "$p"
    check "$name: killed, it is withdrawn from all nodes" wait_for 15 withdrawn "$p"
    "$@"
    check "$name: started again, it is reached again" wait_for 30 reached "$p"
}
