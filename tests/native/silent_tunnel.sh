#!/bin/bash
# A tunnel of our own ESP whose underlay silently loses everything.
# Alone: it counts what is lost in two seconds.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/silent_tunnel.sh"

needs_namespaces
check_silence user netns 40
