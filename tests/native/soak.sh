#!/bin/bash
# Some rounds of bench/soak: a mesh under traffic whose keys change every five seconds, and faults between.
# The faults are other ones each time; SOAK_SEED, which is said, makes them happen again.
# Alone: it counts packets.
exec "$(dirname "$0")/../../bench/soak" --seconds "${SOAK_SECONDS:-100}" ${SOAK_SEED:+--seed "$SOAK_SEED"}
