#!/usr/bin/env bash
# Builds the Go Collector and Prometheus 3 into .tools/peers (about ten and five minutes of CPU, once) and compares them
# with ours: what both write when they are fed or scrape the same, and what Prometheus holds of what it is sent. Needs Go;
# not part of tests/run.sh. Arguments go to the test: `tests/peers/run.sh prometheus3`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/setup.sh
peers="$PWD/.tools/peers"
mkdir -p "$peers"
if ! cmp -s tests/peers/builder.yaml "$peers/builder.yaml"; then
  GOBIN="$peers/bin" go install go.opentelemetry.io/collector/cmd/builder@v0.156.0
  (cd "$peers" && CGO_ENABLED=0 bin/builder --config ../../tests/peers/builder.yaml)
  cp tests/peers/builder.yaml "$peers/"
fi
if ! cmp -s tests/peers/prometheus/go.sum "$peers/prometheus3/go.sum"; then
  (cd tests/peers/prometheus && CGO_ENABLED=0 go build -o "$peers/prometheus3/" github.com/prometheus/prometheus/cmd/prometheus)
  cp tests/peers/prometheus/go.sum "$peers/prometheus3/"
fi
exec cargo test --test peers -- --ignored "$@"
