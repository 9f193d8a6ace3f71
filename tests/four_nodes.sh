# shellcheck shell=bash
# Four nodes of two organizations: athens and berlin of olive, cairo and dakar of maple. athens and berlin have an
# address of each family, dakar sits behind a translating router without a known address. To be sourced after peers.sh.

nodes=(athens berlin cairo dakar)
declare -A key_of=()  # another private key
declare -A daemon_keys=() ike_keys=()  # further lines in the parts "daemon" and "ike", each with its comma
declare -A babel_keys=() prefixes_of=()  # the same of "babel" and "daemon.prefixes", each after a comma
# Faster than the defaults: a test is not to wait.
babel_intervals='"hello_interval": "1s", "update_interval": "4s"'
dpd_interval=2s
underlay4() { case $1 in athens) echo 192.0.2.1 ;; berlin) echo 192.0.2.2 ;; cairo) echo 192.0.2.3 ;; router) echo 192.0.2.4 ;; esac; }
organization() { case $1 in athens | berlin) echo olive ;; *) echo maple ;; esac; }
number() { case $1 in athens) echo 1 ;; berlin) echo 2 ;; cairo) echo 3 ;; dakar) echo 4 ;; esac; }

endpoints() {
    case $1 in
        athens | berlin) echo "[{\"serial_number\": 0, \"address\": \"$(underlay4 "$1")\", \"port\": 12025},
            {\"serial_number\": 1, \"address\": \"2001:db8::$(number "$1")\", \"port\": 12025}]" ;;
        cairo) echo '[{"serial_number": 0, "address": "192.0.2.3", "port": 12025}]' ;;
        dakar) echo '[{"serial_number": 0, "address": null, "address_family": "ip4", "port": 12025}]' ;;
    esac
}

# write_config NODE MODE DATAPATH
write_config() {
    local n
    n=$(number "$1")
    cat >"$work/$1.json" <<CONFIG
{
  "private_key": "${key_of[$1]:-$work/$(organization "$1").key}",
  "organization": "$(organization "$1")",
  "common_name": "$1",
  "daemon": {
    "network": "fd10:$n::/64",
    "prefixes": ["10.10.$n.0/24"${prefixes_of[$1]:-}],
    "extra_ip": ["10.10.$n.1"],
    "mode": "$2",
    ${daemon_keys[$1]:-}
    "datapath": "$3"
  },
  "babel": {$babel_intervals${babel_keys[$1]:-}},
  "ike": {${ike_keys[$1]:-} "dpd_interval": "$dpd_interval"},
  "endpoints": $(endpoints "$1")
}
CONFIG
    config_of[$1]=$work/$1.json
    registry_of[$1]=$work/registry.json
    v4_of[$1]=10.10.$n.1
    v6_of[$1]=fd10:$n::ffff:0:0:1
}

write_keys() {
    "$aronet" keygen -o "$work/olive.key" >/dev/null && "$aronet" keygen -o "$work/maple.key" >/dev/null
}

# write_registry FILE NODE...: from what each node says of itself; the nodes of one organization share a key.
write_registry() {
    local file=$1 node
    shift
    for node; do "$aronet" pub -c "${config_of[$node]}"; done |
        jq -s 'flatten(1) | group_by(.organization) | map(.[0] + {nodes: map(.nodes[])})' >"$file"
}

build_hosts() {
    local node
    add_switch
    for node in "${nodes[@]}"; do
        add_host "$node"
        case $node in
            dakar) add_router router "$(underlay4 router)/24" dakar ;;
            cairo) plug cairo "$(underlay4 cairo)/24" ;;
            *) plug "$node" "$(underlay4 "$node")/24" "2001:db8::$(number "$node")/64" ;;
        esac
        add_lan "$node"
    done
}

# build_mesh MODE DATAPATH: hosts, keys, configurations and registry of "${nodes[@]}", all alike.
build_mesh() {
    local node
    write_keys
    for node in "${nodes[@]}"; do write_config "$node" "$1" "$2"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
}

# count_questions NODE MATCH: what leaves it that fits, with the tunnels' mark and without.
count_questions() {
    in_host "$1" nft "add table inet asked; add chain inet asked out { type filter hook output priority 0; };
        add rule inet asked out $2 meta mark 0x20a0 counter comment \"marked\";
        add rule inet asked out $2 meta mark != 0x20a0 counter comment \"unmarked\""
}
questions_are_marked() {
    local marked unmarked
    read -r marked unmarked < <(in_host "$1" nft -j list table inet asked | jq -r '[.nftables[].rule | select(. != null)]
        | map({(.comment): (.expr[].counter | select(. != null) | .packets)}) | add | "\(.marked) \(.unmarked)"')
    echo "$marked marked, $unmarked not"
    [ "$marked" -gt 0 ] && [ "$unmarked" = 0 ]
}

# Nothing passes between the two, until the table `cut` of the switch is deleted.
part_athens_from_berlin() {
    in_host switch nft 'add table bridge cut; add chain bridge cut f { type filter hook forward priority 0; };
        add rule bridge cut f ip saddr 192.0.2.1 ip daddr 192.0.2.2 drop;
        add rule bridge cut f ip saddr 192.0.2.2 ip daddr 192.0.2.1 drop;
        add rule bridge cut f ip6 saddr 2001:db8::1 ip6 daddr 2001:db8::2 drop;
        add rule bridge cut f ip6 saddr 2001:db8::2 ip6 daddr 2001:db8::1 drop'
}
