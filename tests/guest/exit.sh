#!/bin/bash
# An exit node whose overlay is a VRF, with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/exit.sh"
load_modules
slack=1000  # of the emulated machine
check_exit vrf kernel
