#!/bin/bash
# IPv4 inside IPv6, and segments, out of VRFs, with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/srv6.sh"
load_modules
check_srv6 vrf kernel End.DT46
