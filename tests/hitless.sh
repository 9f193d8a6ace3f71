# shellcheck shell=bash
# Restarts that nobody's traffic notices, with the kernel's own ESP: athens, berlin and cairo are in a line, and it is
# berlin's daemon that ends, without a word or as asked, under streams of numbered packets to it and through it. To be
# sourced after peers.sh, four_nodes.sh and rekeyings.sh.

nodes=(athens berlin cairo)
rate_back=${ARONET_RATE_BACK:-100}  # the emulated machine has no power for a thousand both ways
for way in kill keep; do rate_of[${way}4]=100 family_of[${way}4]=4; done

sas_of() { in_host "$1" ip xfrm state | sed -n 's/.*spi \(0x[0-9a-f]*\) .*/\1/p' | sort; }
sas_are_new() {
    sas_of berlin >"$work/sas.after"
    wc -l <"$work/sas.after"
    [ -z "$(comm -12 "$work/sas.before" "$work/sas.after")" ] && [ "$(wc -l <"$work/sas.after")" = "$(wc -l <"$work/sas.before")" ]
}
knows_peers() { [ "$(ask berlin tunnels --json | jq '[.tunnels[] | select(.state == "routed")] | length')" = 3 ]; }
# What the others know of berlin has not changed: nobody told them to forget anything (INITIAL_CONTACT).
unnoticed() { never_down athens olive/berlin && never_down cairo olive/berlin && ! grep -h 'started anew' "$work"/{athens,cairo}.log; }
ends() {
    case $1 in
        kill) kill_hard berlin ;;
        keep) ask berlin daemon stop --keep && wait "${daemon_pid[berlin]}" ;;
    esac
}
# What NODE has of berlin by Babel: of its neighbours how many there are, how many of the last 16 Hellos it has heard of each, and
# for how many seconds it knows them, the least of each; the router that berlin's own prefixes begin at, and its seqno.
neighbours_on() {
    ask "$1" neighbours --json | jq -r 'def ones: if . == 0 then 0 else . % 2 + (. / 2 | floor | ones) end;
        [.neighbours[] | select(.peer == "olive/berlin")] |
        "\(length) \(map(.hello_history | ones) | min) \(map(.since_seconds) | min)"'
}
router_on() {
    ask "$1" routes --json | jq -r '[.routes[] | select(.via == "olive/berlin" and .node == "olive/berlin")] |
        "\(map(.router_id) | unique | join(",")) \(map(.seqno) | max)"'
}
hears_whole() { local heard; read -r _ heard _ < <(neighbours_on "$1") && [ "$heard" = 16 ]; }
remember_babel() { for node in athens cairo; do neighbours_on $node >"$work/$node.neighbours" && router_on $node >"$work/$node.router"; done; }
# Its Hellos have the numbers that they had: of others a neighbour would count anew, and have heard a few by now.
hellos_go_on() {
    local node known since now heard age
    for node in athens cairo; do
        read -r known _ since <"$work/$node.neighbours"
        read -r now heard age < <(neighbours_on $node)
        echo "$node: $known, now $now neighbours, $heard Hellos, known for $since, now $age s"
        [ "$now" = "$known" ] && [ "$heard" -ge 12 ] && [ "$age" -ge "$since" ] || return 1
    done
}
router_goes_on() {
    local node router seqno now_router now
    for node in athens cairo; do
        read -r router seqno <"$work/$node.router"
        read -r now_router now < <(router_on $node)
        echo "$node: $router $seqno, now $now_router $now"
        [ -n "$router" ] && [ "$now_router" = "$router" ] && [ $(((now - seqno) & 0xffff)) -lt 32768 ] || return 1
    done
}
stays_whole() { picture_of berlin | cmp "$work/berlin.picture"; }
picture_of() {
    in_host "$1" sh -c '
        one() { ip $1 -o link | grep aronet; ip $1 -6 route show table all proto 140; ip $1 -4 route show table all proto 140; }
        one
        [ ! -e /run/netns/aronet ] || one "-n aronet"
        ip xfrm policy; ip xfrm state | grep spi'
}

# goes_on HOW NODE SECONDS NAME: under a stream from athens to NODE berlin's daemon ends, and so much later another one starts.
goes_on() {
    local node
    sas_of berlin >"$work/sas.before"
    begin_stream "$1" athens "$2"
    begin_stream "${1}4" athens "$2"
    sleep 3
    for node in athens cairo; do check "$4: $node has heard berlin for a while" wait_for 20 hears_whole $node; done
    remember_babel
    picture_of berlin >"$work/berlin.picture"
    check "$4: it ends" ends "$1"
    check "$4: what its kernel has stays" stays_whole
    sleep "$3"
    start berlin
    check "$4: IKE knows its peers again" wait_for 20 eval 'knows_peers && sas_of berlin >"$work/sas.after" && [ -n "$(comm -13 "$work/sas.before" "$work/sas.after")" ]'
    check "$4: its Hellos go on where they ended" hellos_go_on
    check "$4: every SA is replaced, and nothing is there twice" wait_for 60 sas_are_new
    check "$4: not one packet to $2 is lost" end_stream "$1"
    told "$1"
    check "$4: nor one of IPv4" end_stream "${1}4"
    told "${1}4"
    check "$4: they were as many as asked for" eval "as_fast_as_asked $1 && as_fast_as_asked ${1}4"
    check "$4: it is the router that it was" router_goes_on
    check "$4: the others have not noticed" unnoticed
    check "$4: the kernel of berlin has what it tells of" agree berlin
}

# prepare_hitless MODE: with what else is in daemon_keys, and ways of athens in `segments`.
prepare_hitless() {
    local node
    load_modules
    write_keys
    # On a machine whose processors stand still by turns packets overtake each other by more than the usual window.
    for node in "${nodes[@]}"; do ike_keys[$node]='"replay_window": 4096,' && write_config $node "$1" kernel; done
    [ -z "${segments:-}" ] || sed -i "2i \"segments\": $segments," "${config_of[athens]}"
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    in_host athens ip route add blackhole 192.0.2.3/32
    in_host cairo ip route add blackhole 192.0.2.1/32
    sleep 1
    kernel_of berlin >"$work/berlin.clean"
    for node in "${nodes[@]}"; do start $node; done
    check 'everybody reaches everybody' wait_for 60 all_reach 4 6 || { show_logs 40; exit 1; }
    check 'berlin has all its tunnels' wait_for 20 knows_peers
    sleep 8
}
# hears_goodbyes NODE COUNT: that so many tunnels with berlin are over it has heard from berlin itself.
goodbyes() { grep -c 'CN=berlin,.* ended: the peer closed the IKE SA' "$work/$1.log"; }
hears_goodbyes() { [ "$(goodbyes "$1")" -ge "$2" ]; }
end_hitless() {
    local node athens cairo pause=0.1
    check 'the holder is there while berlin runs' in_host berlin test -S /run/aronet/aronet.held
    athens=$(goodbyes athens) cairo=$(goodbyes cairo)
    check 'berlin stops with exit status 0' stop berlin
    check 'row 16: athens is told within 2 s, on both of its tunnels' wait_for 2 hears_goodbyes athens $((athens + 2))
    check 'row 16: cairo, too' wait_for 2 hears_goodbyes cairo $((cairo + 1))
    kernel_of berlin >"$work/berlin.left"
    check 'row 16: berlin leaves its kernel as it was, whichever of its processes changed it' diff "$work/berlin.clean" "$work/berlin.left"
    for node in athens cairo; do check "$node stops with exit status 0" stop $node; done
    [ "$failures" = 0 ] || { show_logs 60; exit 1; }
}
