#!/bin/bash
# Addresses that move, with our own data plane.
# Alone: it counts what is lost in half a second.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/moving.sh"
needs_namespaces
check_moving user
