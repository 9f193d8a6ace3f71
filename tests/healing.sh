# shellcheck shell=bash disable=SC2154,SC2016,SC2317,SC2086
# What somebody does to the kernel behind a node's back, and how soon it is as it was: as it looked before, and as the node
# tells. To be sourced after four_nodes.sh.
# Rows are those of docs/faults.md. How long the kernel was not as it was says the kernel itself (watch_kernel).

slack=${slack:-0}  # ms on top of limits that the kernel does not time, for a machine that is emulated

# Where the overlay of NODE is: ip and what comes before its commands, and the table of its routes.
inside_of() {
    if in_host "$1" test -e /run/netns/aronet; then inside=(ip -n aronet) table=main; else inside=(ip) table=128; fi
}

# Everything of ours, in lines: but for SPIs, for orders that change, and for which of two tunnels Babel takes to a node.
picture() {
    in_host "$1" sh -c '
        routes() { ip $1 $2 route show table all proto 140 | sed "s/^\([^ ]*\) .*metric 32.*/\1 by Babel/"; }
        one() {
            ip $1 -o link | sed "s/^[0-9]*: //; s/@[^:]*//" | awk "{ print \$1, \$2, \$4, \$5, \$8, \$9 }" | grep aronet
            ip $1 -o addr | awk "/aronet/ { print \$2, \$3, \$4, \$5, \$6 }"
            routes "$1" ""
            routes "$1" -6
            for family in -4 -6; do ip $1 $family rule show pref 32000; done
        }
        one
        [ ! -e /run/netns/aronet ] || one "-n aronet"
        ip xfrm policy | paste -d " " - - - - - | grep if_id | sed "s/spi 0x[0-9a-f]*//"' | sort
}

reports() { grep -c 'put back' "$work/$1.log"; }
index_of() { in_host "$1" "${inside[@]}" -o link show "$2" 2>/dev/null | cut -d: -f1; }

# watch_kernel NODE: what its kernel tells is written down from now on, with the time of each line.
watch_kernel() {
    local node=$1 inside each
    inside_of "$node"
    : >"$work/$node.told"
    set -- "ip -ts monitor link address route rule" "ip -ts xfrm monitor SA policy"
    [ ${#inside[@]} = 1 ] || set -- "$@" "ip -n aronet -ts monitor link address route"
    for each; do
        as_host "$node" $each >>"$work/$node.told" 2>/dev/null &
        daemon_pid["told-$node-$#-$each"]=$!
    done
    is_watched() { in_host "$node" ip route replace blackhole 192.0.2.254/32 proto static && [ -s "$work/$node.told" ]; }
    wait_for 10 is_watched
    in_host "$node" ip route del blackhole 192.0.2.254/32
    sleep 1
}
# told_span NODE LINE [TEXT]: the milliseconds between the first thing that was told since LINE and the last, or the first that
# has the text.
told_span() {
    tail -n "+$(($2 + 1))" "$work/$1.told" | awk -v text="${3:-}" '
        /^\[20/ {
            at = (substr($1, 13, 2) * 60 + substr($1, 16, 2)) * 60 + substr($1, 19, 9)
            if (!lines++) first = at
            if (text == "") last = at
            else if (last == "" && index($0, text)) last = at
        }
        END { if (last != "") printf "%d", (last - first) * 1000 }'
}

# heals SECONDS NODE COMMAND...: the command is done to the node, the node says so in one line (of Babel's routes, which also
# go with their links, in none: `silent`), and all is as before.
heals() {
    local seconds=$1 node=$2 began reported lines took most
    shift 2
    picture "$node" >"$work/$node.picture"
    reported=$(reports "$node")
    lines=$(wc -l <"$work/$node.told")
    began=${EPOCHREALTIME/./}
    in_host "$node" "$@" || return 1
    is_healed() { [ -n "${silent:-}" ] || [ "$(reports "$node")" -gt "$reported" ] && picture "$node" | cmp -s "$work/$node.picture"; }
    pause=0.05 wait_for $((seconds + 5)) is_healed ||
        { reports "$node"; picture "$node" | diff "$work/$node.picture" - | tr '\n' ';'; return 1; }
    took=$(told_span "$node" "$lines") most=$((seconds * 1000))
    # Files are nothing that the kernel tells of: by the clock, which the looking counts in.
    [ -n "$took" ] || { took=$(((${EPOCHREALTIME/./} - began) / 1000)) && most=$((most + slack)); }
    echo "$took ms, $(($(reports "$node") - reported)) lines"
    [ $(($(reports "$node") - reported)) -le "${reports_at_most:-1}" ] || return 1
    [ $took -le $most ] && agree "$node" && recovered=$took
}
# healed SECONDS NAME NODE COMMAND...
healed() {
    local seconds=$1 name=$2
    shift 2
    check "$name is made good within $seconds s" heals "$seconds" "$@"
    sleep 1
}

# gap_at_most SECONDS STREAM: so long, all together, no packet was sent or none came, each way.
gap_at_most() {
    end_stream "$2"
    awk -v most=$(($1 * rate + slack * rate / 1000)) '
        /^lost/ { gap = $2 + $(NF - 1); print gap " packets of " most; if (gap > most) bad = 1; ways++ }
        END { exit bad || ways != 2 }' "$work/stream.$2".[12]
}
# A node that `route` leads to.
holder_of() {
    local node
    for node in "${nodes[@]}"; do [[ ${v6_of[$node]} != "${1%::*}"::* ]] || echo "$node"; done
}

# check_healing NODE SECONDS: what the kernel of any data plane has, while a peer's packets come and go.
check_healing() {
    local node=$1 seconds=$2 inside table tunnel route index
    inside_of "$node"
    watch_kernel "$node"
    tunnel=$(in_host "$node" "${inside[@]}" -br link | sed -n 's/^\(aronet-[0-9a-f]*\).*/\1/p' | head -n 1)
    # To a peer's network, by Babel and, of the same prefix, into the overlay.
    route=$(in_host "$node" "${inside[@]}" -6 route show table $table proto 140 metric 32 | sed -n 's/^\(fd10:[^ ]*\) .*/\1/p' | head -n 1)
    begin_stream "$node" "$node" "$(holder_of "$route")"
    silent=yes healed "$seconds" "row 1: $node: a route of Babel that is deleted" "$node" "${inside[@]}" -6 route del "$route" table $table metric 32
    healed "$seconds" "row 1: $node: a route into the overlay that is deleted" "$node" ip -6 route del "$route" table 12025 proto 140
    healed "$seconds" "row 1: $node: a rule that is deleted" "$node" ip rule del pref 32000
    silent=yes healed "$seconds" "row 1: $node: a route that is replaced" "$node" \
        "${inside[@]}" -6 route replace unreachable "$route" table $table metric 32
    check "and the other one is gone" eval \
        '! in_host "$node" "${inside[@]}" -6 route show "$route" table $table metric 32 | grep -q unreachable'
    healed "$seconds" "row 1: $node: a route of ours that is altered under our own number" "$node" \
        ip -6 route replace "$route" dev aronet table 12025 proto 140 metric 1024 mtu 1300
    check "row 1: $node: all of that together keeps no packet for more than a second" gap_at_most 1 "$node"
    told "$node"
    healed $((seconds * 2)) "row 2: $node: a table that is flushed" "$node" "${inside[@]}" -6 route flush table $table proto 140
    in_host "$node" "${inside[@]}" -6 route add fd99::/64 dev "$tunnel" table $table proto static
    sleep 2
    check "row 3: $node: a route of somebody else in our table is left alone" \
        eval 'in_host "$node" "${inside[@]}" -6 route show fd99::/64 table $table | grep -q static'
    in_host "$node" "${inside[@]}" -6 route del fd99::/64 table $table
    healed $((seconds * 2)) "row 2: $node: hundreds of routes into the overlay that are flushed" "$node" ip -6 route flush table 12025
    healed "$seconds" "row 1: $node: an address that is deleted" "$node" ip addr del "${v4_of[$node]}/32" dev aronet
    healed "$seconds" "row 7: $node: the MTU of a tunnel that is changed" "$node" "${inside[@]}" link set "$tunnel" mtu 1300
    healed $((seconds * 3)) "row 7: $node: a tunnel interface that is set down" "$node" "${inside[@]}" link set "$tunnel" down
    healed $((seconds * 3)) "row 7: $node: a tunnel interface that is deleted" "$node" "${inside[@]}" link del "$tunnel"
    index=$(index_of "$node" "$tunnel")
    printf 'link set %s down\nlink set %s name other\n' "$tunnel" "$tunnel" >"$work/renames"
    healed $((seconds * 3)) "row 7: $node: a tunnel interface that is renamed" "$node" "${inside[@]}" -batch "$work/renames"
    check "it is another one by that name, and nothing is left under the other" \
        eval '[ "$(index_of "$node" "$tunnel")" != "$index" ] && [ -z "$(index_of "$node" other)" ]'
    [ "$table" = main ] ||
        healed $((seconds * 3)) "row 7: $node: a tunnel interface that is taken out of its VRF" "$node" ip link set "$tunnel" nomaster
    if [ "$table" = main ]; then
        index=$(in_host "$node" stat -Lc %i /run/netns/aronet)
        # Of a name the kernel tells nothing, and to look at all of it takes longer than that.
        is_named() { [ "$(in_host "$node" stat -Lc %i /run/netns/aronet 2>/dev/null)" = "$index" ]; }
        in_host "$node" ip netns del aronet
        pause=0.05 check "row 8: $node: a namespace that is deleted has its name again within $seconds s" \
            wait_for $((seconds + slack / 1000)) is_named
        check "row 8: $node: it is as it was" agree "$node"
    fi
    check "everybody is reached after all of that" wait_for 30 all_reach 4 6
}

# The daemon hears nothing for a while, and more happens than the kernel will remember for it.
overflows() {
    local node=$1 inside table
    inside_of "$node"
    kill -STOP "${daemon_pid[$node]}"
    seq 8000 | awk '{ printf "route add fd98:%x::/64 dev lo\n", $1 }' >"$work/many"
    echo 'route flush root fd98::/16' >>"$work/many"
    in_host "$node" ip -6 -batch "$work/many"
    in_host "$node" "${inside[@]}" -6 route flush table $table proto 140
    [ "$table" = main ] || in_host "$node" ip xfrm policy flush
    kill -CONT "${daemon_pid[$node]}"
}
