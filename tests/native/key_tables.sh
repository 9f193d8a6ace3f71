#!/bin/bash
# athens runs a debug build and writes its keys: loudly, for nobody else's eyes, and so that tshark reads what berlin says.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin)
folder=$work/keys

start_telling() {
    nsenter -t "${holder[$1]}" -n -m -- "${aronet%/*}/tests/aronet-key-tables" daemon run -c "${config_of[$1]}" \
        -r "${registry_of[$1]}" --keys-to "$folder" >>"$work/$1.log" 2>&1 &
    daemon_pid[$1]=$!
}
warned() { [ "$(grep -c "EVERY KEY IS WRITTEN TO $folder" "$work/athens.log")" = 2 ]; }  # in the log and on stderr
private() { [ "$(stat -c %a "$folder/$1")" = 600 ]; }
seen() {  # FILTER
    WIRESHARK_CONFIG_DIR=$folder tshark -r "$work/all.pcap" -d udp.port==12025,udpencap \
        -o esp.enable_encryption_decode:TRUE -Y "$1" 2>/dev/null | grep -q .
}

write_keys
for node in "${nodes[@]}"; do write_config $node netns user; done
write_registry "$work/registry.json" "${nodes[@]}"
mkdir "$folder"
build_hosts
in_host athens tcpdump -i eth0 -U -w "$work/all.pcap" udp port 12025 >/dev/null 2>&1 &
recording=$!
sleep 1
start_telling athens
start berlin
check 'athens and berlin reach each other' wait_for 20 reaches athens "${v4_of[berlin]}" || show_logs
check 'that every key is written is said twice' warned
for table in ikev2_decryption_table esp_sa; do check "$table is for its owner alone" private $table; done
sleep 2
kill -TERM $recording
wait $recording 2>/dev/null || true
check 'tshark reads the AUTH payload of IKE_AUTH' seen 'isakmp.exchangetype == 35 && isakmp.auth.method'
check 'and the pings inside of ESP' seen 'esp && icmp'
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
