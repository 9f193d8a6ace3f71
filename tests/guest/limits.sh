#!/bin/bash
# Keys that are changed for the amount that went under them, by soft limits of the kernel's SAs (XFRM_MSG_EXPIRE).
# Alone: a stream that may lose nothing, on emulated processors.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
rate=${ARONET_RATE:-400} times=3 processor=1  # what the emulated machine has power for
more_ike_keys='"replay_window": 4096,'         # where it lacks it, packets overtake each other by far
. "$root/tests/limits.sh"

load_modules
check_limits kernel
