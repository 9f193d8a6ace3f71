#!/bin/bash
# fwmark with our own data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/marks.sh"
check_marks user
