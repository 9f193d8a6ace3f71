#!/bin/bash
# Scripts of tunnels that come and go, as ranet and strongSwan run them; one that hangs and one that fails.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
nodes=(athens berlin cairo)

# athens has a script that tells what it sees, cairo one that hangs, berlin one that fails.
cat >"$work/tell" <<'SCRIPT'
#!/bin/sh
sleep 0.3  # so that what happens next would overtake it
{ echo "$1 $PLUTO_VERB $PLUTO_PEER_ID"; env | grep '^PLUTO_' | sort | sed 's/^/  /'; } >>"$0.out"
SCRIPT
chmod +x "$work/tell"
: >"$work/tell.out"
script() {
    case $1 in
        athens) echo "$work/tell argument" ;;
        berlin) echo 'echo berlin says no; exit 3' ;;
        cairo) echo "sleep 1000 & echo \$! >>$work/hanging; wait" ;;
    esac
}
endpoints() {
    echo "[{\"serial_number\": \"7\", \"address\": \"$(underlay4 "$1")\", \"port\": 12025, \"updown\": $(script "$1" | jq -R .)}]"
}

told() { [ "$(grep -c "^argument $1 .*CN=$2" "$work/tell.out")" = "$3" ] || { cat "$work/tell.out"; return 1; }; }
said() { grep -qx "  $1" "$work/tell.out" || { cat "$work/tell.out"; return 1; }; }
in_order() {  # PEER VERB...
    local peer=$1
    shift
    [ "$(sed -n "s/^argument \([^ ]*\) .*CN=$peer,.*/\1/p" "$work/tell.out" | xargs)" = "$*" ] || { cat "$work/tell.out"; return 1; }
}
logged() { grep -q -- "$2" "$work/$1.log" || { tail -n 5 "$work/$1.log"; return 1; }; }
interface() { ask athens tunnels --json | jq -r ".tunnels[] | select(.peer == \"$1\") | .interface"; }
stops_within() {  # SECONDS NODE
    local begun=$SECONDS
    stop "$2" && [ $((SECONDS - begun)) -le "$1" ]
}
none_alive() { ! xargs ps -o stat= -p <"$work/hanging" | grep -v Z; }  # a zombie is no more

build_mesh netns user
write_registry "$work/two.json" athens cairo
for node in "${nodes[@]}"; do start $node; done
check 'nodes whose scripts hang or fail reach each other all the same' wait_for 20 all_reach 4 6 || { show_logs; exit 1; }

check 'the script is told of a tunnel that is up, for IPv4' wait_for 5 told up-client cairo 1
check 'and for IPv6, whatever the tunnel runs over' wait_for 5 told up-client-v6 cairo 1
device=$(interface maple/cairo)
for line in "PLUTO_INTERFACE=$device" "PLUTO_IF_ID_OUT=$((0x${device#aronet-}))" "PLUTO_IF_ID_IN=$((0x${device#aronet-}))" \
    PLUTO_ME=192.0.2.1 PLUTO_PEER=192.0.2.3 'PLUTO_MY_ID=O=olive,CN=athens,serialNumber=7' \
    'PLUTO_PEER_ID=O=maple,CN=cairo,serialNumber=7' PLUTO_MY_CLIENT=0.0.0.0/0 PLUTO_PEER_CLIENT=::/0; do
    check "it sees $line" said "$line"
done
check 'what a script says is in the log' logged berlin 'berlin says no'
check 'that it fails, too' logged berlin 'the updown script (up-client) ended with exit status 3'

jq --arg script "$work/tell second" '.endpoints[0].updown = $script' "${config_of[berlin]}" >"$work/other.json"
cp "$work/other.json" "${config_of[berlin]}"
told_second() { grep -q '^second up-client .*CN=athens' "$work/tell.out"; }
check 'berlin is given another script' ask berlin reload
check 'the old one is told that the tunnel is down' wait_for 5 logged berlin 'the updown script (down-client) ended with exit status 3'
check 'before the new one is told that it is up' wait_for 10 told_second

check 'athens loads a registry without berlin' ask athens load -r "$work/two.json"
check 'the script is told that the tunnel is down' wait_for 5 told down-client berlin 1
check 'for IPv6, too' wait_for 5 told down-client-v6 berlin 1
check 'athens loads the first registry' ask athens load -r "$work/registry.json"
check 'in the order of events' wait_for 20 in_order berlin up-client up-client-v6 down-client down-client-v6 up-client up-client-v6

check 'athens stops with exit status 0' stop athens
check 'the scripts of a stop are waited for' in_order cairo up-client up-client-v6 down-client down-client-v6
check 'a script that hangs delays a stop by some seconds at most' stops_within 6 cairo
check 'and does not outlive it' none_alive
check 'berlin stops with exit status 0' stop berlin
[ "$failures" = 0 ] || { show_logs 10; exit 1; }
