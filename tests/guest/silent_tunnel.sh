#!/bin/bash
# A tunnel of the kernel's ESP whose underlay silently loses everything.
# Alone: it counts what is lost in two seconds; another for the emulated processors.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/silent_tunnel.sh"

load_modules
check_silence kernel vrf 60
