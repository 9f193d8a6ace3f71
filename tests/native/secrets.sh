#!/bin/bash
# What is left of keys outside the vault in a running daemon: nothing, neither of a private key in the configuration or in a
# file, nor of shared secrets; and none of them in a log or in what it remembers. And a daemon that crashes leaves no core
# file, unless that is wished for.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"

needs_namespaces
nodes=(athens cairo)
psk='what athens and cairo share, and nobody else'
ppk='and what makes it last when curves have fallen'
write_keys
hex() { od -An -v -tx1 | tr -d ' \n'; }
body_of() { sed -n 2p "$1"; }  # the base64 of a PEM file
seed_of() { body_of "$1" | base64 -d | tail -c 32 | hex; }

for node in "${nodes[@]}"; do write_config $node netns user; done
# athens has its key in the configuration, cairo in a file.
sed -i "s|\"private_key\": \".*\"|\"private_key\": \"$(awk '{ printf "%s\\\\n", $0 }' "$work/olive.key")\"|" "${config_of[athens]}"
sed -i "s|\"ike\": {|\"ike\": {\"peers\": [{\"organization\": \"maple\", \"psk\": \"$psk\", \"ppk\": \"$ppk\", \"ppk_id\": \"two\"}],|" "${config_of[athens]}"
sed -i "s|\"ike\": {|\"ike\": {\"peers\": [{\"organization\": \"olive\", \"psk\": \"$psk\", \"ppk\": \"$ppk\", \"ppk_id\": \"two\"}],|" "${config_of[cairo]}"
for node in "${nodes[@]}"; do sed -i '1a "log": {"level": "debug"},' "${config_of[$node]}"; done
write_registry "$work/registry.json" "${nodes[@]}"
build_hosts

# kept NAME PEM: the key's seed, its text and the shared secret are in the vault at most.
in_memory() {
    in_host "$1" python3 "$root/tests/memory.py" "${daemon_pid[$1]}" "seed=$(seed_of "$2")" \
        "text=$(body_of "$2" | head -c 40 | tail -c 16 | hex)" "psk=$(printf %s "$psk" | head -c 24 | hex)" \
        "ppk=$(printf %s "$ppk" | head -c 24 | hex)" | tee "$work/memory.$1"
}
kept() {
    in_memory "$1" "$2" || return 1
    grep -Eq '^seed vault [1-9]' "$work/memory.$1" && grep -Eq '^psk vault [1-9]' "$work/memory.$1" &&
        grep -Eq '^ppk vault [1-9]' "$work/memory.$1" &&
        ! grep -Ev 'unlocked 0 elsewhere 0$' "$work/memory.$1"
}
locked_kib() { sed -n 's/^VmLck:[ \t]*\([0-9]*\) kB/\1/p' "/proc/${daemon_pid[$1]}/status"; }
locks_little() { [ "$(locked_kib "$1")" -ge 64 ] && [ "$(locked_kib "$1")" -le 4096 ] || { locked_kib "$1"; return 1; }; }

if [ "$(ulimit -l)" != unlimited ] && [ "$(ulimit -l)" -lt 4096 ]; then
    echo 'left out: memory cannot be locked here'
    exit 0
fi
for node in "${nodes[@]}"; do start $node; done
check 'both nodes reach each other' wait_for 30 all_reach 6 || { show_logs; exit 1; }
ask athens rekey maple/cairo
ask athens rekey maple/cairo --ike
sleep 1
check 'row 69: of a key in the configuration nothing is outside the vault' kept athens "$work/olive.key"
check 'row 69: of a key in a file nothing is outside the vault' kept cairo "$work/maple.key"
check 'what is locked is little' locks_little athens
# What is remembered for the next process goes with a stop.
states() {
    local node
    for node in "${nodes[@]}"; do in_host $node cat /run/aronet/aronet.state >"$work/$node.state" && [ -s "$work/$node.state" ] || return 1; done
}
check 'both remember something for the next process' states

# Core files lie in a daemon's folder here. The limit is raised from outside: the process itself must not be dumpable either.
no_core_limit() { grep -q '^Max core file size  *0 ' "/proc/${daemon_pid[athens]}/limits"; }
crash() {
    prlimit --core=unlimited --pid "${daemon_pid[athens]}" && kill -ABRT "${daemon_pid[athens]}" || return 1
    wait "${daemon_pid[athens]}"
    [ $? = $((128 + 6)) ]
}
start_in_cores() {
    nsenter -t "${holder[athens]}" -n -m --wd="$work/cores" -- "$aronet" daemon run -c "${config_of[athens]}" 2>>"$work/athens.log" &
    daemon_pid[athens]=$!
}
core_files() { find "$work/cores" -type f | wc -l; }
check 'a daemon may leave no core file' no_core_limit
mkdir "$work/cores"
if [[ $(cat /proc/sys/kernel/core_pattern) != core* ]]; then
    echo 'left out: the system puts core files elsewhere'
else
    for allowed in false true; do
        kill_hard athens 2>/dev/null
        sed -i "s/\"daemon\": {/\"daemon\": {\"core_dumps\": $allowed,/" "${config_of[athens]}"
        start_in_cores
        wait_for 10 ask athens daemon info >/dev/null 2>&1
        check "a daemon crashes, core dumps allowed: $allowed" crash
        if [ $allowed = true ]; then check 'it leaves a core file' test "$(core_files)" = 1
        else check 'row 69: it leaves none' test "$(core_files)" = 0; fi
        sed -i "s/\"core_dumps\": $allowed,//" "${config_of[athens]}"
    done
    check 'that it may is said in the log' grep -q 'core dumps are allowed' "$work/athens.log"
fi
check 'cairo stops with exit status 0' stop cairo

# Keys as they would be written: in hex and in base64, with what is before them in a PEM file and without.
words() {
    local key secret
    for key in olive maple; do
        seed_of "$work/$key.key" && echo
        body_of "$work/$key.key" | tail -c 41  # the newline, and octets of the key alone
        body_of "$work/$key.key" | base64 -d | tail -c 32 | base64 -w0 | tr -d = && echo
    done
    for secret in "$psk" "$ppk"; do
        printf '%s\n' "$secret"
        printf %s "$secret" | hex && echo
        printf %s "$secret" | base64 -w0 | tr -d = && echo
    done
}
shows_keys() { { cat "$1" && hex <"$1"; } | grep -o -i -F -f "$work/words"; }
kept_from_files() {
    local file
    words >"$work/words"
    [ "$(grep -c '.\{24\}' "$work/words")" = 12 ] && [ "$(wc -l <"$work/words")" = 12 ] || { echo 'no words to look for'; return 1; }
    for file in "$work"/{olive,maple}.key "${config_of[@]}"; do
        shows_keys "$file" >/dev/null || { echo "not found where they are: $file"; return 1; }
    done
    for file in "$work"/*.log "$work"/*.state; do
        ! shows_keys "$file" || { echo "in $file"; return 1; }
    done
}
check 'both logs tell of new keys' eval 'grep -q "IKE SA .* rekeyed" "$work/athens.log" && grep -q "IKE SA .* rekeyed" "$work/cairo.log"'
check 'row 69: neither a log nor what is remembered has a key or a secret in it, in hex, base64 or as it is' kept_from_files
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
