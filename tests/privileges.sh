# shellcheck shell=bash
# Daemons that are not root: a user of their own and CAP_NET_ADMIN, and those who call them. To be sourced after peers.sh
# and four_nodes.sh.

user=4201 member=4202 stranger=4203  # the daemon's, one of its group, nobody it knows

# What they may execute, wherever this is checked out.
install -m 755 "$aronet" "$work/aronet"
aronet=$work/aronet
install -m 755 "$root/tests/clients.py" "$work/clients.py"
chmod 711 "$work"

# as USER GROUP NODE COMMAND...
as() {
    local who=(--reuid="$1" --regid="$2" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all) node=$3
    shift 3
    in_host "$node" setpriv "${who[@]}" "$@"
}
with_net_admin() {
    echo setpriv --reuid=$user --regid=$user --clear-groups --no-new-privs --inh-caps=-all,+net_admin \
        --ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin
}

# What an administrator or a package does once.
settle_in() {
    local node
    chown $user:$user "$work"/*.key
    for node in "${nodes[@]}"; do
        in_host "$node" sh -c "mkdir -p /run/aronet && chown $user:$user /run/aronet &&
            mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200"
    done
}

# start_as_user NODE [PROGRAM...]: by what hands the descriptors over, or with nothing handed over.
start_as_user() {
    local node=$1
    shift
    # shellcheck disable=SC2046
    nsenter -t "${holder[$node]}" -n -m -- "$@" $(with_net_admin) "$aronet" daemon run -c "${config_of[$node]}" \
        -r "${registry_of[$node]}" >>"$work/$node.log" 2>&1 &
    daemon_pid[$node]=$!
}
start_prepared() { start_as_user "$1" "$aronet" netns prepare -c "${config_of[$1]}" --; }
start_from_store() {
    start_as_user "$1" python3 "$root/tests/manager.py" "$work/$1.notify" "$aronet" netns prepare -c "${config_of[$1]}" --
}

status_of() { sed -n "s/^$2:[ \t]*\([^ \t]*\).*/\1/p" "/proc/${daemon_pid[$1]}/status"; }
# has_only NODE: the user, one capability, no way to more, and a filter.
has_only() {
    local seen wanted="$user 0000000000001000 0000000000001000 0000000000001000 1 2"
    seen="$(status_of "$1" Uid) $(status_of "$1" CapEff) $(status_of "$1" CapPrm) $(status_of "$1" CapBnd)"
    seen+=" $(status_of "$1" NoNewPrivs) $(status_of "$1" Seccomp)"
    [ "$seen" = "$wanted" ] || { echo "$seen"; return 1; }
}
threads_too() {
    local task
    for task in "/proc/${daemon_pid[$1]}"/task/*; do
        grep -q '^CapEff:.*0000000000001000' "$task/status" && grep -q '^Seccomp:.*2' "$task/status" || return 1
    done
}
warns_of_nothing() {
    ask "$1" status --json | tee "$work/answer.json" | jq -e '.warnings == []' >/dev/null || { cat "$work/answer.json"; return 1; }
}

# ends_with STATUS WORDS COMMAND...
ends_with() {
    local wanted=$1 words=$2 status=0
    shift 2
    "$@" >"$work/ended" 2>&1 || status=$?
    [ "$status" = "$wanted" ] && grep -q -- "$words" "$work/ended" || { echo "exit status $status: $(head -c 300 "$work/ended")"; return 1; }
}

# Row 62: reading is for the group, changing for root and the daemon's user.
has_modes() {
    local seen
    seen=$(in_host "$1" stat -c '%a %u %g' /run/aronet/aronet.sock /run/aronet/aronet.pid | xargs)
    [ "$seen" = "660 $user $user 600 $user $user" ] || { echo "$seen"; return 1; }
}
check_control_permissions() {
    local node=$1 peer=$2 change
    local changes=("load -r ${registry_of[$1]}" "rekey $2" 'daemon stop')
    check 'row 62: the control socket is 0660, the pid file 0600, both the daemon'"'"'s' has_modes "$node"
    for change in status "${changes[@]}"; do
        check "row 62: a stranger is refused '${change% -r *}', exit status 4" \
            ends_with 4 'aronet.sock: permission denied' as $stranger $stranger "$node" "$aronet" $change
    done
    check 'row 62: one of the group may read' ends_with 0 "$peer" as $member $user "$node" "$aronet" tunnels
    for change in "${changes[@]}"; do
        check "row 62: one of the group is refused '${change% -r *}', exit status 4" \
            ends_with 4 "only root and the daemon's user may change anything" as $member $user "$node" "$aronet" $change
    done
    check "row 62: the daemon's user may change" ends_with 0 'altered: none' as $user $user "$node" "$aronet" ${changes[0]}
    check 'row 62: root may change' ends_with 0 'altered: none' in_host "$node" "$aronet" ${changes[0]}
    check 'row 62: the daemon runs on' ends_with 0 ready in_host "$node" "$aronet" status
}

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/${daemon_pid[$1]}/stat"; }
# busy_less_than PERCENT SECONDS NODE
busy_less_than() {
    local before after
    before=$(cpu_ticks "$3")
    sleep "$2"
    after=$(cpu_ticks "$3")
    [ $(((after - before) * 100 / $(getconf CLK_TCK) / $2)) -lt "$1" ] || { echo "$((after - before)) ticks in $2 s"; return 1; }
}
