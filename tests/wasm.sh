#!/usr/bin/env bash
# WASM plugins: what `tests/run.sh` leaves out because it takes minutes more to build. Installs what it needs (the Rust target
# by rustup, componentize-py by pip into .tools/), builds the templates, then runs the tests of the crates and of the binary
# with the feature `wasm`. Needs nothing else running; quick when everything is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
export CARGO_INCREMENTAL=0
say() { printf 'wasm: %s\n' "$*"; }

type -P rustup >/dev/null || { say "rustup is needed, for the target wasm32-wasip2" >&2; exit 1; }
rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2

venv="$root/.tools/componentize-py"
version='componentize-py==0.23.0'
if [ "$(cat "$venv/version" 2>/dev/null)" != "$version" ]; then
  say "installing $version by pip"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$version"
  echo "$version" >"$venv/version"
fi
export STEADYLINE_COMPONENTIZE_PY="$venv/bin/componentize-py"

# A plugin in Python takes a while: only if it, or what it is built against, changed.
export STEADYLINE_PYTHON_PLUGINS="$root/.tools/python-plugins"
mkdir -p "$STEADYLINE_PYTHON_PLUGINS"
python_plugin() { # folder, world, module
  local out="$STEADYLINE_PYTHON_PLUGINS/$3.wasm" source="$root/plugins/templates/$1"
  [ -n "$(find "$source" plugins/wit "$venv/version" -newer "$out" -print -quit 2>/dev/null || echo new)" ] || return 0
  say "building the Python plugin $3"
  (cd "$source" && "$STEADYLINE_COMPONENTIZE_PY" -d ../../wit -w "$2" componentize "$3" -o "$out" >/dev/null)
}
python_plugin python receiver queues
python_plugin python-processor processor classify

# The plugins' own workspace: its templates are built by the tests below, as components.
plugins=(--manifest-path plugins/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-$root/target}/plugins")
cargo fmt --manifest-path plugins/Cargo.toml --all --check
cargo test --quiet "${plugins[@]}" -p queues -p classify

crates=(-p steadyline-wasm -p steadyline-receiver-wasm -p steadyline-processor-wasm)
features=(--features steadyline-wasm/testkit,steadyline-receiver-wasm/plugins,steadyline-processor-wasm/plugins)
cargo clippy "${crates[@]}" "${features[@]}" --all-targets --quiet -- -D warnings
cargo test --no-fail-fast "${crates[@]}" "${features[@]}" -- --include-ignored
cargo test --no-fail-fast -p steadyline --features wasm --test wasm
