#!/usr/bin/env bash
# Builds saccade and runs all tests but the zoo's (.ci/run installs PyTorch for those). Ends with 'N passed, N failed'.
# Arguments go to `meson test`: ./test.sh --suite engine
set -euo pipefail
# Whatever fails before a test ran is a failure too, and is counted as one.
trap 'echo "0 passed, 1 failed"' ERR

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
"$root/deploy/install-packages" build
[[ -f $root/build/build.ninja ]] || meson setup "$root/build" "$root"
exec python3 "$root/tests/run_meson.py" "$root/build" "$@"
