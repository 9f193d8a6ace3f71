# shellcheck shell=bash
# The place of one of our nodes taken by a stack of others: strongSwan for IKE and the SAs, BIRD or babeld for the routes.
# To be sourced after peers.sh and four_nodes.sh.

mkdir -p "$work/pids"
# Of a peer's connection: how both sides authenticate (pubkey); further lines of it and of its child. Of charon: one more,
# the plugins that carry its SAs, and how much it logs of datagrams.
declare -A auth_of=() connection_keys=() child_keys=()
charon_key=
charon_kernel=kernel-netlink
charon_net=2
charon_cookies=1  # half-open IKE SAs from which on it asks for them

# run_foreign HOST PROGRAM ARGUMENT...: in the background, noted for the end.
run_foreign() {
    local host=$1 name
    name=$(basename "$2")
    shift
    nsenter -t "${holder[$host]}" -n -m -- "$@" >"$work/$host-$name.log" 2>&1 </dev/null &
    echo $! >"$work/pids/$host-$name"
}

kill_foreign() {
    kill -KILL "$(cat "$work/pids/$1-$2")"
    wait "$(cat "$work/pids/$1-$2")" 2>/dev/null
    true
}

hex_of() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
der() { printf '%s%02x%s' "$1" $((${#2} / 2)) "$2"; }
rdn() { der 31 "$(der 30 "06035504$1$(der "$2" "$(hex_of "$3")")")"; }

# identity FORM NODE SERIAL: `text` as RMTT/aronet writes it, `asn1dn` as ranet does (UTF8String inside).
identity() {
    local organization
    organization=$(organization "$2")
    case $1 in
        text) echo "O=$organization,CN=$2,serialNumber=$3" ;;
        asn1dn) echo "asn1dn:#$(der 30 "$(rdn 0a 0c "$organization")$(rdn 03 0c "$2")$(rdn 05 13 "$3")")" ;;
    esac
}

write_strongswan() {
    local host=$1 directory=$work/$1-strongswan folder node organization
    for folder in private pubkey x509 x509ca x509ocsp x509aa x509ac x509crl rsa ecdsa bliss pkcs8 pkcs12; do
        mkdir -p "$directory/swanctl/$folder"
    done
    cp "$work/$(organization "$host").key" "$directory/swanctl/private/key.pem"
    for node in "${nodes[@]}"; do
        organization=$(organization "$node")
        openssl pkey -in "$work/$organization.key" -pubout -out "$directory/swanctl/pubkey/$organization.pem"
    done
    cat >"$directory/strongswan.conf" <<CONFIG
charon {
  load = random nonce openssl pem pkcs1 pkcs8 pubkey kdf $charon_kernel socket-default vici
  cookie_threshold = $charon_cookies
  $charon_key
  port = 0
  port_nat_t = 12025
  install_routes = no
  install_virtual_ip = no
  retransmit_timeout = 2.0
  retransmit_base = 1.5
  filelog {
    stderr {
      path = stderr
      flush_line = yes
      default = 1
      net = $charon_net
    }
  }
  plugins {
    vici {
      socket = unix:///run/charon.vici
    }
    socket-default {
      set_source = yes
      set_sourceif = yes
    }
  }
}
swanctl {
  socket = unix:///run/charon.vici
}
CONFIG
    echo 'connections {' >"$directory/swanctl/swanctl.conf"
}

# add_connection HOST PEER IF_ID FORM START [PROPOSAL]: START is none (it answers) or start (it initiates). With IF_ID 0
# there is no interface of this peer's own.
add_connection() {
    local host=$1 peer=$2 if_id=$3 form=$4 start=$5 proposal=${6:-default} auth=${auth_of[$2]:-pubkey} of_host='' of_peer=''
    if [ "$auth" = pubkey ]; then
        of_host="pubkeys = $(organization "$host").pem"
        of_peer="pubkeys = $(organization "$peer").pem"
    fi
    cat >>"$work/$host-strongswan/swanctl/swanctl.conf" <<CONFIG
  $peer {
    version = 2
    proposals = $proposal
    local_addrs = $(underlay4 "$host")
    remote_addrs = $(underlay4 "$peer")
    local_port = 12025
    remote_port = 12025
    encap = yes
    mobike = no
    dpd_delay = 5s
    keyingtries = 0
    unique = replace
    if_id_in = $if_id
    if_id_out = $if_id
    ${connection_keys[$peer]:-}
    local {
      auth = $auth
      id = "$(identity "$form" "$host" 0)"
      $of_host
    }
    remote {
      auth = $auth
      id = "$(identity "$form" "$peer" 0)"
      $of_peer
    }
    children {
      $peer {
        ${child_keys[$peer]:-}
        local_ts = 0.0.0.0/0,::/0
        remote_ts = 0.0.0.0/0,::/0
        mode = tunnel
        dpd_action = restart
        start_action = $start
        close_action = none
      }
    }
  }
CONFIG
    [ "$if_id" != 0 ] || return 0
    in_host "$host" ip link show "ar-$if_id" >/dev/null 2>&1 && return
    in_host "$host" ip link add "ar-$if_id" type xfrm if_id "$if_id"
    in_host "$host" ip link set "ar-$if_id" multicast on mtu 1400 up
    in_host "$host" sysctl -qw "net.ipv4.conf.ar-$if_id.rp_filter=0"
}

ask_strongswan() {
    local directory=$work/$1-strongswan
    in_host "$1" env STRONGSWAN_CONF="$directory/strongswan.conf" SWANCTL_DIR="$directory/swanctl" swanctl "${@:2}" 2>"$work/swanctl.log"
}

start_strongswan() {
    local directory=$work/$1-strongswan
    in_host "$1" rm -f /run/charon.vici  # of one that was killed
    run_foreign "$1" env STRONGSWAN_CONF="$directory/strongswan.conf" charon-systemd
    wait_for 30 in_host "$1" test -S /run/charon.vici
}

load_strongswan() {
    local file=$work/$1-strongswan/swanctl/swanctl.conf
    grep -q '^}' "$file" || echo '}' >>"$file"
    ask_strongswan "$1" --load-all
}

# rekeyed_by_strongswan HOST NODE: all keys between the two, and traffic goes on.
rekeyed_by_strongswan() {
    check "$2: strongSwan changes the keys of the CHILD_SA" ask_strongswan "$1" --rekey --child "$2"
    check "$2: strongSwan changes the keys of the IKE_SA" ask_strongswan "$1" --rekey --ike "$2"
    sleep 2
    check "$2 still reaches strongSwan" wait_for 10 reaches "$2" "${v6_of[$1]}"
}

established() { [ "$(ask_strongswan "$1" --list-sas | grep -c 'INSTALLED, TUNNEL')" -ge "$2" ]; }
# None that was keyed: one half open is left to its time limit.
no_sas() { ! ask_strongswan "$1" --list-sas | grep -E 'ESTABLISHED|REKEYED|REKEYING|DELETING|INSTALLED'; }

forwards() { in_host "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0; }

# leave_half_open HOST TO PORT DIGIT...: an IKE_SA_INIT of strongSwan's own, recorded, for each digit in its SPI, of which
# nothing more is heard.
leave_half_open() {
    local begin digit
    begin=$(jq -r '.messages[0].bytes' "$root/tests/vectors/ike/t1-cbc-default-proposals.json")
    for digit in "${@:4}"; do
        # A file: what comes through a pipe may leave in two pieces.
        printf '%b' "$(printf '%s' "00000000${begin:0:15}$digit${begin:16}" | sed 's/../\\x&/g')" >"$work/begin"
        in_host "$1" socat -u "OPEN:$work/begin" "UDP:$2:12025,sourceport=$3"
    done
}

# A VRF as the original makes it, with BIRD inside, IPv6 alone: Debian's BIRD knows no IPv4 via IPv6.
start_bird() {
    local host=$1 device peer
    in_host "$host" ip link add aronet type vrf table 128
    in_host "$host" ip link set aronet up
    in_host "$host" sysctl -qw net.ipv4.tcp_l3mdev_accept=1 net.ipv4.udp_l3mdev_accept=1
    in_host "$host" ip addr add "${v6_of[$host]}/128" dev aronet
    for peer in "${nodes[@]}"; do
        [ "$peer" = "$host" ] || in_host "$host" ip -6 route replace "fd10:$(number "$peer")::/64" dev aronet
    done
    for device; do
        [ "$device" = "$host" ] || in_host "$host" ip link set "$device" master aronet
    done
    cat >"$work/$host-bird.conf" <<CONFIG
router id ${v4_of[$host]};
log stderr all;
ipv6 sadr table sadr6;
protocol device { scan time 2; }
protocol kernel { kernel table 128; learn off; ipv6 sadr { export where source = RTS_BABEL; import none; }; }
protocol static { ipv6 sadr; route fd10:$(number "$host")::/64 from ::/0 unreachable; }
protocol babel {
  vrf "aronet";
  ipv6 sadr { export all; import all; };
  randomize router id;
  interface "ar-*" { type wired; rxcost 32; hello interval 2 s; update interval 8 s; rx buffer 2000; check link; };
}
CONFIG
    run_foreign "$host" bird -f -c "$work/$host-bird.conf" -s /run/bird.ctl -P /run/bird.pid
}

# babeld in the main table, with IPv4 via IPv6 and round-trip times.
start_babeld() {
    local host=$1 device
    in_host "$host" ip addr replace "${v6_of[$host]}/128" dev lo
    in_host "$host" ip addr replace "${v4_of[$host]}/32" dev lo
    {
        for device in "${@:2}"; do
            echo "interface $device type tunnel link-quality true split-horizon false rxcost 32 hello-interval 2" \
                "max-rtt-penalty 1024 rtt-max 1024 enable-timestamps true v4-via-v6 true"
        done
        echo "redistribute ip ${v4_of[$host]%.*}.0/24 eq 24 allow"
        echo "redistribute ip fd10:$(number "$host")::/64 eq 64 allow"
        echo 'redistribute local deny'
        echo 'redistribute deny'
    } >"$work/$host-babeld.conf"
    in_host "$host" rm -f /run/babeld.pid  # of one that was killed: babeld would not start
    run_foreign "$host" babeld -I /run/babeld.pid -S /run/babeld.state -c "$work/$host-babeld.conf"
}
