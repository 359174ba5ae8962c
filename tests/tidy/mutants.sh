#!/usr/bin/env bash
# Every planted bug of tests/sim/mutants still applies to the code it is planted in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

status=0
for patch in tests/sim/mutants/*.patch; do
    patch --dry-run --force --silent --fuzz=0 -p1 <"$patch" || { echo "$patch does not apply" && status=1; }
done
exit "$status"
