#!/bin/bash
# IPv4 inside IPv6, and segments, out of VRFs, with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/srv6.sh"
load_modules
slack=1000  # of the emulated machine
check_srv6 vrf kernel End.DT46
