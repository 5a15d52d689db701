#!/usr/bin/env bash
# Installs what the tests need (see setup.sh), then runs all of them: units, properties, docs, and the built binary
# against real servers. Arguments go to `cargo test`: `tests/run.sh -p steadyline --test e2e faults`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tests/setup.sh
if [ $# -eq 0 ]; then
  set -- --workspace
fi
exec cargo test --no-fail-fast "$@"
