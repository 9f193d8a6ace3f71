#!/bin/bash
# Keys that are changed for the amount that went under them, with our own ESP on this kernel.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/limits.sh"

needs_namespaces
check_limits user
