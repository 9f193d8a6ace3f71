#!/bin/bash
# Addresses that move, with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/moving.sh"
load_modules
check_moving kernel
