# shellcheck shell=bash
# Streams of numbered packets through tunnels whose keys are changed meanwhile. To be sourced after peers.sh.

rekeyings=${ARONET_REKEYINGS:-10}  # of the data's keys and of IKE's, each
[ -z "${ARONET_ALL:-}" ] || rekeyings=${ARONET_REKEYINGS:-100}
processor=''                   # where senders are to stay: packets that two take along overtake each other
declare -A rate_of=()          # of a stream: packets a second, each way; else
rate=${ARONET_RATE:-1000}      # there
rate_back=${ARONET_RATE_BACK:-}  # and back; else as many
declare -A family_of=()        # of a stream: 4, or else 6

# begin_stream NAME NODE NODE: each sends to the other, the second one `rate_back`, until end_stream.
begin_stream() {
    local port=$((6000 + streams++))
    send_from "$2" "$3" $port "${rate_of[$1]:-$rate}" "${family_of[$1]:-6}" >"$work/stream.$1.1" 2>&1 &
    stream_of[$1]=$!
    send_from "$3" "$2" $port "${rate_of[$1]:-${rate_back:-$rate}}" "${family_of[$1]:-6}" >"$work/stream.$1.2" 2>&1 &
    stream_of[$1]+=" $!"
}
# In place of the shell, so that who ends the process ends it.
send_from() {
    local to=${v6_of[$2]}
    [ "$5" = 6 ] || to=${v4_of[$2]}
    exec ${processor:+taskset -c "$processor"} nsenter -t "${holder[$1]}" -n -m -- \
        "${aronet%/*}/tests/aronet-stream" "$to" "$3" "$4"
}
declare -A stream_of=()
streams=0  # so far: each has a port of its own

# end_stream NAME: true if not one packet of either direction was lost.
end_stream() {
    local pid status=0
    # shellcheck disable=SC2086  # two of them
    kill -TERM ${stream_of[$1]}
    for pid in ${stream_of[$1]}; do wait "$pid" || status=$?; done
    cat "$work/stream.$1".[12]
    return $status
}
# as_fast_as_asked NAME: each way, but for a twentieth.
as_fast_as_asked() {
    local way speed asked=${rate_of[$1]:-$rate}
    for way in 1 2; do
        speed=$(sed -n '1s/.* \([0-9]*\) a second sent.*/\1/p' "$work/stream.$1.$way")
        echo "$speed of $asked a second"
        [ "$speed" -ge $((asked * 19 / 20)) ] || return 1
        asked=${rate_of[$1]:-${rate_back:-$rate}}
    done
}
told() {
    local node
    sed "s/^/# $1: /" "$work/stream.$1".[12]
    ! grep -q '^ lost' "$work/stream.$1".[12] || for node in "${nodes[@]}"; do
        in_host "$node" awk -v n="$node" '$2 > 0 { print "# " n ": " $0 }' /proc/net/xfrm_stat
    done
}

# tunnels_to NODE PEER FILTER: for all tunnels between them.
tunnels_to() {
    ask "$1" tunnels --json | jq -ce --arg peer "$2" "[.tunnels[] | select(.peer == \$peer) |
        {state, came_up, rekeyings}] | ., (length > 0 and all($3))"
}
never_down() { tunnels_to "$1" "$2" ".state == \"routed\" and .came_up == 1"; }
changed() { tunnels_to "$1" "$2" ".rekeyings.child >= $3 and .rekeyings.ike >= $4" >/dev/null; }

# change NODE PEER child|ike: NODE, one of ours or strongSwan, asks for other keys.
change() {
    if [ -e "$work/$1-strongswan" ]; then
        ask_strongswan "$1" --rekey "--$3" "$2" >/dev/null
    elif [ "$3" = ike ]; then
        ask "$1" rekey "$(organization "$2")/$2" --ike
    else
        ask "$1" rekey "$(organization "$2")/$2"
    fi
}

# by_turns NODE PEER [both]: each asks in turn, with `both` then both at once; NODE, one of ours, counts.
by_turns() {
    local i kind way ways=2 before peer pause=0.05
    peer=$(organization "$2")/$2
    [ -z "${3:-}" ] || ways=3
    for i in $(seq "$rekeyings"); do
        way=$((i % ways))
        for kind in child ike; do
            [ $way = 0 ] || change "$1" "$2" $kind || return 1
            [ $way = 1 ] || change "$2" "$1" $kind || return 1
            if [ $kind = child ]; then before=$((i - 1)); else before=$i; fi
            wait_for 30 changed "$1" "$peer" "$i" "$before" || return 1
        done
    done
}
