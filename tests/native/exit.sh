#!/bin/bash
# An exit node in a namespace, with our own data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/exit.sh"
needs_namespaces
check_exit netns user
