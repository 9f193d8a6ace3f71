#!/bin/bash
# A narrow path that does not say so, with our own data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/mtu.sh"
needs_namespaces
check_mtu netns user
