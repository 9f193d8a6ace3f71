#!/bin/bash
# NetworkManager on the host of a node in a VRF, with the kernel's ESP.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/healing.sh"
. "$root/tests/network_manager.sh"
load_modules
slack=1000  # of the emulated machine
check_network_manager vrf kernel
