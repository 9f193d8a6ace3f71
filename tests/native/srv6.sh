#!/bin/bash
# IPv4 inside IPv6, and segments, in a namespace, with our own data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/srv6.sh"
needs_namespaces
check_srv6 netns user End.DX4
