# shellcheck shell=bash
# NetworkManager on the host of berlin, of two nodes: told of us, as a package tells it, and not told. To be sourced after
# peers.sh, four_nodes.sh, rekeyings.sh and healing.sh.
nodes=(athens berlin)
rate=100

# It looks after the host's cable alone, not after names, and what it keeps is nobody else's. Without udev it waits for links unless
# /sys can only be read; it is asked by way of the bus.
prepare_manager() {
    mkdir -p "$work/manager/conf.d" "$work/manager/profiles"
    printf '[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nhostname-mode=none\n[keyfile]\npath=%s\n' "$work/manager/profiles" >"$work/manager/main.conf"
    cat >"$work/manager/profiles/cable.nmconnection" <<'PROFILE'
[connection]
id=cable
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1=192.0.2.2/24,192.0.2.1
[ipv6]
method=manual
address1=2001:db8::2/64,2001:db8::1
PROFILE
    chmod 600 "$work/manager/profiles/cable.nmconnection"
    in_host berlin mkdir -p /run/dbus
    # No service is started by the bus: scripts of this machine are not to be told of links that come and go here.
    as_host berlin unshare -m sh -c 'mount -t tmpfs none /usr/share/dbus-1/system-services &&
        exec dbus-daemon --system --nofork --nopidfile' >"$work/dbus.log" 2>&1 &
    daemon_pid[dbus]=$!
    wait_for 10 in_host berlin test -S /run/dbus/system_bus_socket
}
is_told() { cp "$root/packaging/NetworkManager/conf.d/aronet.conf" "$work/manager/conf.d"; }
begin_manager() {
    as_host berlin unshare -m sh -c 'mount -t sysfs -o ro sysfs /sys && mount -t tmpfs kept /var/lib/NetworkManager &&
        exec NetworkManager --no-daemon --config "$0/main.conf" --config-dir "$0/conf.d" --pid-file "$0/pid" --state-file "$0/state"' \
        "$work/manager" >>"$work/manager.log" 2>&1 &
    daemon_pid[manager]=$!
}
manager() { in_host berlin nmcli "$@"; }
has_link() { manager -g GENERAL.STATE device show "$1" | tee "$work/state" | grep -q "$2" || { cat "$work/state"; return 1; }; }
begins() { begin_manager; wait_for 30 has_link eth0 ' (connected'; }
begins_again() { stop manager && begins && manager connection reload && manager device reapply eth0; }
# Which takes the cable's own addresses away for a moment.
configures() { manager connection up cable && wait_for 20 has_link eth0 '^100 (connected)'; }
# The links of ours that it could see: `aronet`, and tunnels where they are not in a namespace.
our_links() { in_host berlin ip -br link | sed -n 's/^\(aronet[^@ ]*\).*/\1/p'; }
leaves_alone() { local link; for link in $(our_links); do has_link "$link" '^10 (unmanaged)' || return 1; done; }
# What went of ours since that line, by the kernel's notices.
went() { tail -n "+$(($1 + 1))" "$work/berlin.told" | grep 'Deleted .*\(aronet\|proto 140\|lookup 12025\)'; }
nothing_went() { ! went "$1"; }
# By the profile that it has made for it; that there is nobody to give the link an address need not be waited for.
takes_over() { manager -w 0 connection up "$(manager -g GENERAL.CONNECTION device show aronet)"; }
# But for a link-local address that it gives the main interface.
is_as_before() { diff <(grep -v '^aronet inet6 fe80' "$work/berlin.picture") <(picture berlin | grep -v '^aronet inet6 fe80'); }
# stays_whole NAME: as it was before, and as the node tells.
stays_whole() {
    check "$1: what is ours is as before" wait_for 20 is_as_before
    check "$1: the kernel has what the node tells of" agree berlin
}
told_so_far() { wc -l <"$work/berlin.told"; }

check_network_manager() {  # MODE DATAPATH
    local before
    write_keys
    for node in "${nodes[@]}"; do write_config $node "$1" "$2"; done
    write_registry "$work/registry.json" "${nodes[@]}"
    build_hosts
    start athens
    prepare_manager
    is_told
    check 'NetworkManager is there before us, and told of us' begins
    check 'it configures the host' configures
    start berlin
    check 'both reach each other' wait_for 60 all_reach 4 6 || { show_logs 30; exit 1; }
    check 'it leaves our links alone' wait_for 10 leaves_alone
    sleep 3
    watch_kernel berlin
    picture berlin >"$work/berlin.picture"
    before=$(told_so_far)
    begin_stream told athens berlin
    check 'row 1: NetworkManager, told of us, starts again' begins_again
    sleep 2
    check 'row 1: not one packet is lost' end_stream told
    told told
    check 'row 1: it configures the host once more' configures
    check 'row 1: both reach each other' wait_for 20 all_reach 4 6
    stays_whole 'row 1: NetworkManager, told of us'
    check 'row 1: it has taken nothing of ours away' nothing_went "$before"

    rm "$work/manager/conf.d/aronet.conf"
    check 'not told of us it starts again' begins_again
    # It takes links that come for its own.
    check 'berlin stops' stop berlin
    start berlin
    check 'both reach each other, beside NetworkManager that was not told' wait_for 60 all_reach 4 6
    check 'it takes what it sees of ours for its own' wait_for 10 has_link aronet '(connect'
    sleep 3
    picture berlin >"$work/berlin.picture"
    begin_stream untold athens berlin
    sleep 2
    before=$(told_so_far)
    check 'row 1: NetworkManager, not told of us, begins with our link anew' takes_over
    wait_for 5 went "$before" >/dev/null
    check 'row 1: no packet is kept for more than a second' gap_at_most 1 untold
    told untold
    stays_whole 'row 1: NetworkManager, not told of us'
    for node in "${nodes[@]}"; do check "$node stops with exit status 0" stop $node; done
    [ "$failures" = 0 ] || { show_logs 30; exit 1; }
}
