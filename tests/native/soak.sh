#!/bin/bash
# Some rounds of bench/soak: a mesh under traffic whose keys change every five seconds, and faults between.
# Alone: it counts packets.
exec "$(dirname "$0")/../../bench/soak" --seconds "${SOAK_SECONDS:-40}" --seed "${SOAK_SEED:-7}"
