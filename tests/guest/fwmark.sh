#!/bin/bash
# fwmark with the kernel's data plane.
. "$(dirname "$0")/../peers.sh"
. "$root/tests/four_nodes.sh"
. "$root/tests/marks.sh"
load_modules
check_marks kernel
