#!/bin/bash
# Restarts that nobody's traffic notices, out of VRFs.
# Alone: it sends as many packets as the machine can.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/rekeyings.sh"
. "$root/tests/hitless.sh"
prepare_hitless vrf
goes_on kill berlin 2 'row 14: kill -9'
goes_on kill cairo 2 'row 14: kill -9, in transit'
goes_on keep cairo 3 'row 15: stop --keep'
goes_on keep berlin 3 'row 15: stop --keep, at its end'
end_hitless
