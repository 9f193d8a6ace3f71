#!/bin/bash
# Addresses that move, with the kernel's data plane.
# Alone: it counts what is lost in half a second.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/moving.sh"
load_modules
check_moving kernel
