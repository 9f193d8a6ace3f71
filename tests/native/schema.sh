#!/bin/bash
# The JSON Schemas of both files against the parser.
root=$(cd "$(dirname "$0")/../.." && pwd)
exec python3 "$root/tests/schema.py" "$root" "${ARONET:-$root/build/release/aronet}"
