#!/usr/bin/env bash
# Records which functions of the release binary run at start and while nothing happens, into link/x86_64.order, by which
# build.rs has the linker lay them out side by side. The kernel maps 64 KB around each page that is touched: in the
# compiler's order that is three quarters of the code, in this order an eighth. Run it when dependencies or the compiler have changed.
#
#   link/record.sh        # needs qemu-user; builds twice; leaves target/release/steadyline
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
emulator=qemu-x86_64
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the linker of this platform takes no order" >&2; exit 1; }
command -v "$emulator" > /dev/null || { echo "$emulator is missing: apt-get install qemu-user" >&2; exit 1; }
binary="${CARGO_TARGET_DIR:-target}/release/steadyline"
seconds="${RECORD_SECONDS:-20}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Runs for a while, with nobody at the other end, under an emulator that tells each function that it translates.
record() {
  local status=0
  timeout --signal=TERM "$seconds" "$emulator" -d in_asm -D "$scratch/$1" "$binary" run "${@:2}" > "$scratch/$1.out" 2>&1 || status=$?
  # 124: it ran until it was told to stop.
  if [ "$status" != 124 ]; then
    cat "$scratch/$1.out" >&2
    echo "it stopped by itself ($status): run ${*:2}" >&2
    exit 1
  fi
}

# This once with names, which the emulator tells. (Another profile would be other names.)
cargo rustc --release --locked --package steadyline --bin steadyline -- -C strip=none
export AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_REGION=us-east-1
DYNAMODB_ENDPOINT=http://127.0.0.1:1 record table --config pipeline.yaml
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 record sidecar --config deploy/config.yaml

sed -n 's/^IN: \(.\+\)/\1/p' "$scratch/table" "$scratch/sidecar" | awk '!seen[$0]++' > link/x86_64.order
echo "$(wc -l < link/x86_64.order) functions run" >&2
cargo build --release --locked --package steadyline --bin steadyline
"$binary" --version
