# shellcheck shell=bash
# athens asks a name server of its own for cairo.test. To be sourced after peers.sh.

name_is() { echo "cairo.test $*" >"$work/names"; }
asked() { cat "$work"/names*.asked | wc -l; }
start_name_server() {  # FILE ADDRESS
    nsenter -t "${holder[athens]}" -n -m /usr/bin/python3 "$root/tests/name_server.py" "$work/$1" "$2" </dev/null \
        >"$work/$1.log" 2>&1 &
    holder[$1]=$!  # ends with the rig
    disown $!
}
ask_own_name_server() {
    : >"$work/names.asked"
    start_name_server names 127.0.0.1
    echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
    in_host athens mount --bind "$work/resolv.conf" /etc/resolv.conf
}
