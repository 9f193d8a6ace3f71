#!/bin/bash
# A narrow path that does not say so, with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/mtu.sh"
load_modules
check_mtu vrf kernel
