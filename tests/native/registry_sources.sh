#!/bin/bash
# Where the registry comes from: a file that changes in every way there is, a web server that fails in as many, with and
# without signatures, and a copy that outlives both.
# Alone: it asks for answers within a second while the daemon is busy.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
needs_namespaces
nodes=(athens cairo)
files=$work/files web=$work/web state=$work/state
url=https://registry.test:8443/registry.json
mkdir -p "$files" "$web" "$work/pids"

said() { ask athens status --json | jq -c "$1"; }
is() { [ "$(said "$1" 2>/dev/null)" = "$2" ] || { said .registry; return 1; }; }
peers() { ask athens tunnels --json | jq -c '[.tunnels[].peer] | unique'; }
peers_are() { [ "$(peers)" = "$1" ] || { peers; return 1; }; }
two='["maple/cairo"]' three='["maple/cairo","olive/berlin"]'
came_up() { ask athens tunnels --json | jq -c '[.tunnels[] | select(.peer == "maple/cairo") | [.came_up, .spi_in]]'; }
logged() { grep -q -- "$1" "$work/athens.log" || { tail -n 5 "$work/athens.log"; return 1; }; }
times_logged() { grep -c -- "$1" "$work/athens.log"; }
hang_up() { kill -HUP "${daemon_pid[athens]}"; }
# soon WORDS COMMAND...: within three seconds, without being asked.
soon() { check "$1" wait_for 3 "${@:2}"; }
replace() { cp "$1" "$2.tmp" && mv "$2.tmp" "$2"; }
# numbered N: a registry of athens, cairo and N more that are reached nowhere.
numbered() {
    jq --argjson many "$1" '(.[] | select(.organization == "maple") | .nodes) += [range($many) | {common_name: "n\(.)",
        endpoints: [{serial_number: 0, address: "198.18.0.\(. + 1)", port: 12025}], remarks: {network: "fd20:\(.)::/64"}}]' \
        "$work/two.json"
}
version_is() { [ "$(said .registry.version)" = "\"$(sha256sum <"$1" | cut -d' ' -f1)\"" ]; }
# A registry that takes seconds to read, and is then refused as a whole.
crowd() {
    jq -c '.[0] | .nodes = []' "$work/two.json" | sed 's/^/[/; s/\]}$//'
    seq 120000 | awk '{ printf "%s{\"common_name\": \"n%d\", \"endpoints\": [], \"remarks\": {\"network\": \"fd%02x:%x::/64\"}}\n",
        (NR > 1 ? "," : ""), $1, 32 + $1 / 65536, $1 % 65536 }'
    echo ']}]'
}
exits_with() { local status=0; wait "${daemon_pid[athens]}" || status=$?; [ $status = "$1" ] || { echo "exit status $status"; return 1; }; }
answers_while() {  # COMMAND...: until it succeeds, nobody waits a second for an answer
    local begun took slowest=0 end=$((SECONDS + 60))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        begun=$(date +%s%N)
        ask athens daemon info >/dev/null || return 1
        took=$((($(date +%s%N) - begun) / 1000000))
        [ $took -le $slowest ] || slowest=$took
    done
    [ $slowest -lt 1000 ] || { echo "slowest: $slowest ms"; return 1; }
}
peak() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${daemon_pid[athens]}/status"; }

check_file() {
    local before errors
    before=$(came_up)
    check 'what status says of a file' is '.registry | [.from, .source, .error, .copy_error]' \
        "[\"file\",\"$files/registry.json\",null,null]"
    replace "$work/three.json" "$files/registry.json"
    soon 'a file that is replaced by a rename is read' peers_are "$three"
    cat "$work/two.json" >"$files/registry.json"
    soon 'and one that is written over' peers_are "$two"

    errors=$(times_logged 'the old registry stays')
    head -c 300 "$work/three.json" >"$files/registry.json"
    sleep 0.1
    tail -c +301 "$work/three.json" >>"$files/registry.json"
    soon 'one that is written bit by bit is read when it is whole' peers_are "$three"
    check 'and not before' test "$(times_logged 'the old registry stays')" = "$errors"
    head -c 300 "$work/two.json" >"$files/registry.json"
    soon 'one that stays half-written is told of' is '.registry.error | type' '"string"'
    check 'and the old one stays' peers_are "$three"
    check 'which the log says once' test "$(times_logged 'the old registry stays')" = $((errors + 1))
    tail -c +301 "$work/two.json" >>"$files/registry.json"
    soon 'when the other half comes it is read' peers_are "$two"
    check 'and all is well again' is .registry.error null

    mv "$files" "$files.away"
    soon 'a directory that goes is told of' logged 'registry.json: cannot be read: No such file'
    mkdir -p "$work/other" && cp "$work/three.json" "$work/other/registry.json" && mv "$work/other" "$files"
    soon 'another one in its place is looked into' peers_are "$three"

    mkdir "$files/v1" "$files/v2"
    cp "$work/two.json" "$files/v1/registry.json" && cp "$work/three.json" "$files/v2/registry.json"
    ln -s v1 "$files/..data" && ln -s ..data/registry.json "$files/link" && mv -T "$files/link" "$files/registry.json"
    soon 'a link in place of the file is followed' peers_are "$two"
    ln -s v2 "$files/..new" && mv -T "$files/..new" "$files/..data"
    soon 'and so is a link on its way that is swapped' peers_are "$three"
    check 'no tunnel was set up anew by all this' test "$(came_up)" = "$before"
}

check_storms() {
    local n reads pids=()
    rm "$files/registry.json"
    reads=$(times_logged ': a registry of ')
    for n in $(seq 100); do
        replace "$work/numbered.$((n % 10)).json" "$files/registry.json"
        sleep 0.01
    done
    replace "$work/numbered.7.json" "$files/registry.json"
    soon 'of a hundred files in a second or two the last one is in use' version_is "$work/numbered.7.json"
    reads=$(($(times_logged ': a registry of ') - reads))
    check "and few were read ($reads)" test "$reads" -le 5
    for n in $(seq 100); do
        in_host athens curl -sS -o "$work/load.$n" -w '%{http_code}\n' --unix-socket /run/aronet/aronet.sock \
            -T "$work/numbered.$((n % 10)).json" http://aronet/v1/registry >"$work/status.$n" &
        pids+=($!)
    done
    wait "${pids[@]}"
    check 'row 65: of a hundred loads at once all are answered' test "$(cat "$work"/status.* | grep -c -e 200 -e 409)" = 100
    check 'some of them that another one came' grep -q 'another registry came' "$work"/load.*
    ask athens load -r "$work/three.json" >/dev/null
    check 'row 65: the last one is in use' version_is "$work/three.json"
    check 'and status knows that it was loaded' is .registry.from '"load"'
    hang_up
    soon 'SIGHUP brings back the one of the file' version_is "$work/numbered.7.json"
}

check_limits() {
    local before
    before=$(peak)
    truncate -s 1G "$files/huge" && mv "$files/huge" "$files/registry.json"
    soon 'a file of 1 GB is refused' is .registry.error '"larger than 64 MiB"'
    check 'without being read' test $(($(peak) - before)) -lt 20000
    { cat "$work/three.json"; head -c $(((64 << 20) - $(wc -c <"$work/three.json"))) /dev/zero | tr '\0' ' '; } >"$work/large.json"
    mv "$work/large.json" "$files/registry.json"
    check 'one of 64 MiB is read, and others are answered meanwhile' answers_while peers_are "$three"
    cp "$work/crowd.json" "$files/crowd" && mv "$files/crowd" "$files/registry.json"
    check 'one of too many nodes is refused, and others are answered meanwhile' \
        answers_while is '.registry.error // "" | test("more than 100000 nodes")' true
    hang_up
    told_twice() { [ "$(times_logged 'more than 100000 nodes: the old')" -ge 2 ]; }
    check 'on SIGHUP, too' answers_while told_twice
    replace "$work/two.json" "$files/registry.json"
    soon 'after that a small one' peers_are "$two"
    mkfifo "$files/pipe" && mv "$files/pipe" "$files/registry.json"
    soon 'a pipe in place of the file is refused' is .registry.error '"cannot be read: it is not a regular file"'
    check 'and nobody waits for it' answers_while true
}

# --- the web

mode() { echo "$1" >"$web/mode"; }
asked() { wc -l <"$web/asked"; }
serve() {  # [CERTIFICATE KEY]
    touch "$web/asked"
    nsenter -t "${holder[web]}" -n -m -- python3 "$root/tests/registry_server.py" "$web" "$@" >>"$work/web.log" 2>&1 &
    server=$!
    echo $server >"$work/pids/web"
    wait_for 10 in_host web sh -c "ss -ltn | grep -q ':$([ $# -gt 0 ] && echo 8443 || echo 8080) '"
}
stop_serving() { kill "$server" && { wait "$server" 2>/dev/null || true; }; }
make_certificates() {
    openssl req -x509 -newkey ed25519 -nodes -keyout "$work/ca.key" -out "$work/ca.pem" -subj /CN=ca -days 2
    openssl req -x509 -newkey ed25519 -nodes -keyout "$work/stranger.key" -out "$work/stranger.pem" -subj /CN=ca -days 2
    local name
    for name in registry.test other.test; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$name.key" -out "$work/$name.csr" -subj /CN=web
        openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 2 -out "$work/$name.pem" \
            -extfile <(echo "subjectAltName = DNS:$name, IP:$([ $name = other.test ] && echo 192.0.2.81 || echo 192.0.2.80)")
    done
} >"$work/openssl.log" 2>&1
# configure URL-OR-FILE JQ-EXPRESSION: athens' source, and its part "registry".
configure() {
    write_config athens netns user
    jq ".registry = $2" "${config_of[athens]}" >"$work/configured" && mv "$work/configured" "${config_of[athens]}"
    registry_of[athens]=$1
}
restart() { stop athens; start athens; }
# An error that names WORDS, asked for at once; the peers stay as they were.
fails_with() { hang_up; check "$1: that is told of" wait_for 5 is ".registry.error | test(\"$2\")" true; check "$1: the old one stays" peers_are "$three"; }
recovers() { mode fine; hang_up; check "$1: over when the server is well" wait_for 5 is .registry.error null; }
has_copy() { tail -n +2 "$state/aronet.registry.json" 2>/dev/null | cmp -s - "$1"; }

check_web() {
    echo '192.0.2.80 registry.test' >"$work/hosts"
    in_host athens mount --bind "$work/hosts" /etc/hosts
    stop athens
    count_questions athens 'tcp dport 8443 tcp flags syn'
    configure $url "{interval: \"5s\", ca_file: \"$work/ca.pem\"}"
    start athens
    check 'without a server, a copy or a registry a node runs' wait_for 5 is '[.registry.nodes, .registry.from]' '[0,null]'
    check 'and says what is missing' wait_for 5 is '.registry.error | test("cannot be reached: Connection refused")' true
    cp "$work/two.json" "$web/registry.json" && mode fine
    serve "$work/registry.test.pem" "$work/registry.test.key"
    check 'when the server is there, its registry is' wait_for 20 peers_are "$two"
    check 'status says so' is '.registry | [.from, .source, .error, .copy_error]' "[\"url\",\"$url\",null,null]"
    check 'a copy is kept for its owner alone' test "$(stat -c %a "$state/aronet.registry.json")" = 600
    check 'of the very same octets' has_copy "$work/two.json"
    local before
    check 'it carries' wait_for 20 reaches athens "${v6_of[cairo]}"
    before=$(came_up)
    check 'it is asked outside of the overlay' questions_are_marked athens
    check 'it is asked again, and only whether something is new' wait_for 10 grep -q '^/registry.json "[0-9a-f]*" 304' "$web/asked"
    replace "$work/three.json" "$web/registry.json"
    check 'another one is in use after the interval' wait_for 8 peers_are "$three"
    check 'and kept' has_copy "$work/three.json"

    mode 'status 503' && fails_with 'a server with an error' 'answers with status 503'
    mode half && fails_with 'half an answer' 'ends in the middle'
    mode large && fails_with 'an answer of 1 GB' 'more than 67108864 octets'
    mode endless && fails_with 'an answer without an end' 'more than 67108864 octets'
    recovers 'errors of a server'
    mode 'redirect http://192.0.2.80:8080/moved.json' && fails_with 'a redirect to http' 'from https to http'
    mode 'redirect https://registry.test:8443/registry.json' && fails_with 'a redirect in circles' 'redirects too often'
    cp "$work/two.json" "$web/moved.json" && mode 'redirect moved.json'
    hang_up
    check 'a redirect on the same server is followed' wait_for 5 peers_are "$two"
    mode 'redirect https://192.0.2.80:8443/another.json' && cp "$work/three.json" "$web/another.json" && hang_up
    check 'and one to an address' wait_for 5 peers_are "$three"
    mode 'redirect https://192.0.2.81:8443/another.json' && in_host web ip addr add 192.0.2.81/24 dev eth0
    fails_with 'a redirect to an address that the certificate is not of' 'not trusted: IP address mismatch'
    recovers 'redirects' && check 'and the registry is there where it was' wait_for 5 peers_are "$three"
    jq '.[1].nodes[0].endpoints[0].port = "many"' "$work/three.json" >"$web/registry.json"
    fails_with 'a registry that is none' 'port: expected a whole number'
    check 'and so does its copy' has_copy "$work/three.json"
    replace "$work/three.json" "$web/registry.json"
    recovers 'a registry that is none'
    mode bare && hang_up
    check 'a server without ETags will do, too' wait_for 5 is .registry.error null
    if [ -n "${ARONET_ALL:-}" ]; then
        mode silent && hang_up
        check 'a server that never answers is given up' wait_for 130 is '.registry.error | test("no answer in time")' true
        recovers 'a server that never answers'
    fi

    stop_serving && serve "$work/other.test.pem" "$work/other.test.key"
    fails_with 'a certificate of another name' 'not trusted: hostname mismatch'
    stop_serving && serve "$work/stranger.pem" "$work/stranger.key"
    fails_with 'a certificate of strangers' 'the certificate is not trusted'
    stop_serving
    fails_with 'no server at all' 'cannot be reached'
    check 'cairo was connected through all of this' test "$(came_up)" = "$before"
}

# What has no ETag is known by its date; and over plain HTTP.
check_dates() {
    local plain=http://registry.test:8080/registry.json date
    replace "$work/three.json" "$web/registry.json"
    touch -d '2001-09-09 01:46:40 UTC' "$web/registry.json"
    mode dated && rm "$web/asked" && serve
    stop athens
    in_host athens nft delete table inet asked
    count_questions athens 'tcp dport 8080 tcp flags syn'
    configure $plain '{interval: "5s"}'
    rm "$state/aronet.registry.json"
    start athens
    check 'a registry comes over plain HTTP, too' wait_for 5 is '.registry | [.from, .source, .error, .nodes]' "[\"url\",\"$plain\",null,3]"
    check 'it is asked outside of the overlay, too' questions_are_marked athens
    date=Sun,_09_Sep_2001_01:46:40_GMT
    check 'what has a date alone is asked for again by its date' wait_for 10 grep -q "^/registry.json $date 304" "$web/asked"
    check 'and was sent once' test "$(grep -c ' 200$' "$web/asked")" = 1
    replace "$work/two.json" "$web/registry.json"
    check 'one of another date is in use after the interval' wait_for 8 peers_are "$two"
    check 'and kept' has_copy "$work/two.json"
    mode 'redirect http://registry.test:8080/moved.json' && cp "$work/three.json" "$web/moved.json" && hang_up
    check 'a redirect from HTTP to HTTP is followed' wait_for 5 peers_are "$three"
    mode 'status 503' && fails_with 'a server of plain HTTP with an error' 'answers with status 503'
    stop_serving
    fails_with 'no server of plain HTTP' 'cannot be reached'
    check 'it carries' wait_for 20 reaches athens "${v6_of[cairo]}"
    replace "$work/three.json" "$web/registry.json"
}

check_trust() {
    serve "$work/registry.test.pem" "$work/registry.test.key" && mode fine
    stop athens
    configure $url '{interval: "5s"}'
    start athens
    check 'without a file of authorities those of the system count' wait_for 5 is '.registry.error | test("is not trusted")' true
    stop athens
    SSL_CERT_FILE=$work/ca.pem start athens
    check 'and those alone' wait_for 5 is .registry.error null
    stop athens
    configure $url "{interval: \"5s\", ca_file: \"$work/ca.pem\"}"
    start athens
    check 'all is as before' wait_for 5 is '[.registry.from, .registry.error, .registry.nodes]' '["copy",null,3]'
    stop_serving
}

check_copy() {
    restart
    check 'a node that starts without its server has the last good one' wait_for 5 peers_are "$three"
    check 'and says that it is a copy' is '.registry | [.from, .checked_seconds]' '["copy",null]'
    check 'it connects' wait_for 20 reaches athens "${v6_of[cairo]}"
    stop athens
    truncate -s -1 "$state/aronet.registry.json"
    start athens
    check 'a copy that is torn is told of' wait_for 5 logged 'not used: not a whole copy'
    check 'and not used' wait_for 5 is .registry.from null
    mode fine && serve "$work/registry.test.pem" "$work/registry.test.key"
    hang_up
    check 'the server makes up for it' wait_for 5 peers_are "$three"
    check 'and for the copy' has_copy "$work/three.json"
}

check_disk() {
    in_host athens mount -t tmpfs -o size=16k tmpfs "$state"
    local inside="nsenter -t ${holder[athens]} -m"
    hang_up
    check 'in an empty state directory the copy is made again' wait_for 5 $inside test -s "$state/aronet.registry.json"
    $inside dd if=/dev/zero of="$state/rest" bs=4k 2>/dev/null
    replace "$work/two.json" "$web/registry.json"
    check 'row 20: on a full disk another registry is used' wait_for 10 peers_are "$two"
    check 'status says that there is no copy of it' is '.registry.copy_error | test("No space left")' true
    check 'and the log' logged 'no copy of the registry can be kept: .*No space left'
    check 'the old copy is whole' $inside sh -c "tail -n +2 '$state/aronet.registry.json' | cmp - '$work/three.json'"
    check 'and nothing else lies there' test "$($inside ls "$state" | tr '\n' ' ')" = 'aronet.registry.json rest '
    $inside rm "$state/rest"
    check 'when there is room again, it is kept' wait_for 10 is .registry.copy_error null
    check 'as it is' $inside sh -c "tail -n +2 '$state/aronet.registry.json' | cmp - '$work/two.json'"
    $inside mount -o remount,ro "$state"
    replace "$work/three.json" "$web/registry.json"
    check 'row 20: on a disk that can only be read another registry is used' wait_for 10 peers_are "$three"
    check 'and that is told of' is '.registry.copy_error | test("Read-only file system")' true
    in_host athens umount "$state"
}

check_signatures() {
    local signer
    "$aronet" keygen -o "$work/signer.key" >"$work/signer.json"
    "$aronet" keygen -o "$work/other.key" >/dev/null
    signer=$(jq -r .public_key "$work/signer.json" | jq -Rs .)
    stop athens
    configure $url "{interval: \"5s\", ca_file: \"$work/ca.pem\", public_key: $signer}"
    start athens
    check 'where signatures are asked for, a copy without one is not used' wait_for 5 logged 'not used: the signature'
    check 'nor a registry without one' wait_for 5 is '.registry | [.nodes, (.error | test("signature: .*status 404"))]' '[0,true]'
    sign() { "$aronet" sign -k "$work/$1.key" -r "$2" -o "$web/registry.json.sig" && hang_up; }
    sign other "$web/registry.json"
    check 'nor one that somebody else signed' wait_for 5 is '.registry | [.nodes, (.error | test("not one of this text"))]' '[0,true]'
    sign signer "$web/registry.json"
    check 'one that is signed is used' wait_for 5 peers_are "$three"
    printf ' ' >>"$web/registry.json" && hang_up
    check 'one octet more is refused' wait_for 5 is '.registry.error | test("not one of this text")' true
    check 'and the old one stays' peers_are "$three"
    openssl pkeyutl -sign -rawin -inkey "$work/signer.key" -in "$web/registry.json" -out "$web/registry.json.sig" && hang_up
    check 'what openssl signs is taken, too' wait_for 5 is .registry.error null
    stop_serving
    restart
    check 'a copy keeps its signature' wait_for 5 is '.registry | [.from, .nodes]' '["copy",3]'
    check 'nothing that is no registry is signed' test "$("$aronet" sign -k "$work/signer.key" -r "$work/signer.json" 2>&1 | tail -n 1)" = \
        "aronet: $work/signer.json: not signed"

    stop athens
    rm -f "$files/registry.json" && cp "$work/two.json" "$files/registry.json"
    configure "$files/registry.json" "{public_key: $signer}"
    check 'with a file, too, a node does not start without' test "$(in_host athens "$aronet" daemon run -c "${config_of[athens]}" \
        -r "$files/registry.json" 2>/dev/null; echo $?)" = 6
    "$aronet" sign -k "$work/signer.key" -r "$files/registry.json"
    start athens
    check 'but with' wait_for 5 peers_are "$two"
    replace "$work/three.json" "$files/registry.json"
    soon 'a file that is replaced before its signature is refused' is '.registry.error | test("not one of this text")' true
    "$aronet" sign -k "$work/signer.key" -r "$files/registry.json"
    soon 'until that is there' peers_are "$three"
}

write_keys
make_certificates
daemon_keys[athens]="\"state_dir\": \"$state\","
for node in athens berlin cairo; do write_config $node netns user; done
write_registry "$work/two.json" athens cairo
write_registry "$work/three.json" athens berlin cairo
for n in $(seq 0 9); do numbered "$n" >"$work/numbered.$n.json"; done
cp "$work/two.json" "$work/registry.json"
build_hosts
add_host web
plug web 192.0.2.80/24
crowd >"$work/crowd.json"
registry_of[athens]=$work/crowd.json
start athens
sleep 0.5
hang_up
check 'SIGHUP while a node starts does no harm' exits_with 6
registry_of[athens]=$files/registry.json
start athens
start cairo
check 'without its file a node runs and waits for it' wait_for 5 is '[.registry.nodes, .registry.checked_seconds]' '[0,null]'
cp "$work/two.json" "$files/registry.json"
soon 'when it appears it is read' peers_are "$two"
check 'the two reach each other' wait_for 30 all_reach 4 6 || { show_logs; exit 1; }
check_file
check_storms
check_limits
check_web
check_dates
check_trust
check_copy
check_disk
check_signatures
check 'row 20, 65: the kernel has what the node tells of' agree athens
for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
[ "$failures" = 0 ] || { show_logs 20; exit 1; }
