#!/bin/bash
# The original's own test scenario with its own files, unchanged: moon and earth of test1, sun (behind NAT) and mars of
# test2. Two generations of the files; the first gives them all IKE identities and prefixes in the old spelling.
[ -d "${ARONET_TEST_DATA:-}/aronet" ] || {
    echo 'left out: the files of the original (ARONET_TEST_DATA is not set)'
    exit 0
}
. "$(dirname "$0")/../peers.sh"
nodes=(moon earth sun mars)

build() {
    local node number
    add_switch
    for node in "${nodes[@]}"; do
        add_host $node
        case $node in
            moon) plug moon 172.32.0.2/16 ;;
            earth) plug earth 172.32.0.4/16 ;;
            mars) plug mars 172.32.0.5/16 ;;
            sun) add_router router 172.32.0.6/16 sun ;;
        esac
        case $node in moon) number=128 six=66 ;; sun) number=129 six=67 ;; earth) number=130 six=68 ;; mars) number=131 six=69 ;; esac
        v4_of[$node]=192.168.$number.1
        v6_of[$node]=fd$six::ffff:0:0:1
        add_lan $node
    done
}

run() {
    local generation=$1 node directory=$ARONET_TEST_DATA/aronet/$1/tests/config
    for node in "${nodes[@]}"; do
        config_of[$node]=$directory/$node/config.json
        registry_of[$node]=$directory/registry.json
        start "$node"
    done
    # Their timers are the original's: a Hello every 20 s.
    check "$generation: every node reaches every other within 100 s" wait_for 100 all_reach 4 6 || show_logs
    check_pairs
    check "$generation: 200 kB of IPv4 from sun to moon" transfer sun moon "${v4_of[moon]}" 200000
    check "$generation: 200 kB of IPv6 from earth to sun" transfer earth sun "${v6_of[sun]}" 200000
    for node in "${nodes[@]}"; do check "$generation: $node stops with exit status 0" stop "$node"; done
}

load_modules
build
run aronet-v0.1-beta1
run aronet-HEAD-rust
[ "$failures" = 0 ] || exit 1
