#!/usr/bin/env bash
# Installs what the end-to-end tests run against into .tools/ of this checkout, by the machine's ordinary clients:
# apt (Prometheus with promtool, PostgreSQL), pip (moto, botocore, an OTLP backend), Maven (DynamoDB Local), Go and npm
# (applications with OpenTelemetry's SDKs).
# Quick when everything is there; nothing outside .tools/ changes except packages that are missing altogether.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
tools="$root/.tools"
mkdir -p "$tools/bin"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
# Programs only: functions below bear the names of what they install.
has() { type -P "$1" >/dev/null; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif has sudo; then sudo "$@"; else return 1; fi
}

# Once a run, and only if something is missing.
apt_updated=
apt_update() {
  [ -n "$apt_updated" ] && return
  has apt-get || fail "this machine has no apt-get: put $1 on the PATH and run again"
  as_root apt-get update -qq || fail "apt-get update needs root or sudo: put $1 on the PATH and run again"
  apt_updated=1
}

apt_install() {
  apt_update "$1"
  say "installing $* by apt-get"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

prometheus() {
  [ -x "$tools/bin/prometheus" ] && [ -x "$tools/bin/promtool" ] && return
  rm -f "$tools/bin/prometheus" "$tools/bin/promtool"
  if has prometheus && has promtool; then
    ln -sf "$(type -P prometheus)" "$(type -P promtool)" "$tools/bin/"
  else
    # Unpacked here and not installed: the package would start a service of its own.
    apt_update prometheus
    say "downloading prometheus by apt-get"
    local work
    work="$(mktemp -d)"
    # The sandbox user that apt takes as root could not write here.
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" prometheus && dpkg-deb -x prometheus_*.deb unpacked)
    install -m 755 "$work"/unpacked/usr/bin/prometheus "$work"/unpacked/usr/bin/promtool "$tools/bin/"
    rm -rf "$work"
  fi
  say "prometheus $("$tools/bin/prometheus" --version 2>&1 | sed -n '1s/.*version \([^ ]*\).*/\1/p')"
}

python_tools() {
  local venv="$tools/python" list="$root/tests/python/requirements.txt"
  cmp -s "$list" "$venv/requirements.txt" && return
  has python3 || apt_install python3 python3-venv
  python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  say "installing $(grep -c '^[a-z]' "$list") Python packages by pip"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list"
  cp "$list" "$venv/requirements.txt"
}

dynamodb_local() {
  local folder="$tools/dynamodb-local" pom="$root/tests/dynamodb-local/pom.xml"
  cmp -s "$pom" "$folder/pom.xml" && return
  has java || apt_install default-jre-headless
  has mvn || apt_install maven
  say "installing DynamoDB Local by Maven"
  rm -rf "$folder"
  mvn --quiet --batch-mode --file "$pom" dependency:copy-dependencies -DoutputDirectory="$folder/lib"
  cp "$pom" "$folder/pom.xml"
}

# Applications with OpenTelemetry's SDKs, for sending.
go_sender() {
  local folder="$tools/sdk-go" source="$root/tests/sdk/go"
  diff -rq "$source" "$folder/source" >/dev/null 2>&1 && return
  has go || apt_install golang-go ca-certificates
  say "building the Go sender"
  rm -rf "$folder"
  mkdir -p "$folder"
  (cd "$source" && CGO_ENABLED=0 go build -o "$folder/sender" .)
  cp -r "$source" "$folder/source"
}

javascript_sender() {
  local folder="$tools/sdk-javascript" source="$root/tests/sdk/javascript"
  cmp -s "$source/package-lock.json" "$folder/installed" && return
  has npm || apt_install nodejs npm
  say "installing the packages of the JavaScript sender by npm"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$source/package.json" "$source/package-lock.json" "$folder/"
  npm ci --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts
  cp "$source/package-lock.json" "$folder/installed"
}

# The test starts a server of its own; the package's cluster is neither needed nor made.
postgresql() {
  compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null && return
  apt_update postgresql
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    as_root mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  apt_install postgresql
}

# Two runs in one checkout wait for each other instead of writing over each other.
exec 9>"$tools/.lock"
if has flock; then flock 9; fi

prometheus
python_tools
dynamodb_local
go_sender
javascript_sender
postgresql
say "ready in .tools"
