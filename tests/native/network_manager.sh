#!/bin/bash
# NetworkManager on the host of a node in a namespace, with our own ESP.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/healing.sh"
. "$root/tests/network_manager.sh"
needs_namespaces
check_network_manager netns user
