#!/usr/bin/env bash
# Builds the release binary with what runs at start and while nothing happens laid out side by side. The kernel maps 64 KB
# around each page that is touched; of a binary in the compiler's order it maps three quarters to start it, of one in this
# order a third. Nothing else differs.
#
#   deploy/link-order.sh        # needs qemu-user and nm; builds twice; leaves target/release/steadyline
#
# The first binary runs under an emulator that tells the functions that it translates; the linker gets their names for the second.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
emulator=qemu-x86_64
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the linker of this platform takes no order" >&2; exit 1; }
command -v "$emulator" > /dev/null || { echo "$emulator is missing: apt-get install qemu-user" >&2; exit 1; }
target="${CARGO_TARGET_DIR:-target}"
binary="$target/release/steadyline"
seconds="${RECORD_SECONDS:-20}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Names must be the same in both builds, so both keep them; the second is stripped at the end.
build() { cargo build --release --locked --package steadyline --bin steadyline --config 'profile.release.strip=false'; }

# Runs for a while, with nobody at the other end; what it says of that does not matter here.
record() {
  timeout --signal=TERM "$seconds" "$emulator" -d in_asm -D "$scratch/$1" "$binary" run "${@:2}" > /dev/null 2>&1 || true
  test -s "$scratch/$1" || { echo "nothing was recorded of: run ${*:2}" >&2; exit 1; }
}

build
export AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_REGION=us-east-1
DYNAMODB_ENDPOINT=http://127.0.0.1:1 record table --config pipeline.yaml
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 record sidecar --config deploy/config.yaml

order="$(realpath "$target")/release/link.order"
sed -n 's/^IN: \(.\+\)/\1/p' "$scratch/table" "$scratch/sidecar" | awk '!seen[$0]++' > "$order"
echo "$(wc -l < "$order") functions run" >&2

STEADYLINE_LINK_ORDER="$order" build
strip "$binary"
"$binary" --version
