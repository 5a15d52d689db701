#!/usr/bin/env bash
# Builds the Go Collector (about ten minutes of CPU, once) into .tools/peers and compares its remote write with ours, fed
# by one application: series by series, label by label, value by value. Needs Go; not part of tests/run.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/setup.sh
peers="$PWD/.tools/peers"
mkdir -p "$peers"
if [ ! -x "$peers/otelcol/otelcol" ]; then
  GOBIN="$peers/bin" go install go.opentelemetry.io/collector/cmd/builder@v0.156.0
  (cd "$peers" && CGO_ENABLED=0 bin/builder --config ../../tests/peers/builder.yaml)
fi
exec cargo test --test peers -- --ignored
