#!/usr/bin/env bash
# Installs what the tests need (see setup.sh), then runs all of them: units, properties, docs, and the built binary
# against real servers. Arguments go to `cargo test`: `tests/run.sh -p steadyline --test e2e faults`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tests/setup.sh
if [ $# -eq 0 ]; then
  set -- --workspace
fi
# Most tests of the binary wait for it: several on a core lose nothing.
cores="$(getconf _NPROCESSORS_ONLN)"
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((cores * 4))}"
exec cargo test --no-fail-fast "$@"
