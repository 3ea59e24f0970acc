#!/usr/bin/env bash
# Installs the programs of other people that the interop tests run against, at pinned versions, outside the repository:
# $HEDDLE_PEERS, default ~/.cache/heddle-peers. Needs Go 1.26 or newer and curl (installed with apt-get when missing).
# The first run takes minutes, the next a second.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${HEDDLE_PEERS:-$HOME/.cache/heddle-peers}
mkdir -p "$peers/bin" "$peers/stamps"

# need TOOL PACKAGE
need() { command -v "$1" >/dev/null || { apt-get update -qq && apt-get install -y -qq "$2" >/dev/null; }; }
need curl curl
need openssl openssl
need socat socat
need ip iproute2
need ping iputils-ping
need python3 python3
need setpriv util-linux
# The release that Debian 12 has; whether it is that one is said by the tests.
need nebula nebula
command -v go >/dev/null || { echo "make interop needs Go 1.26 or newer on PATH: https://go.dev/dl" >&2; exit 1; }

# install NAME PACKAGE VERSION: one Go program, built once per version.
install() {
  [ -x "$peers/bin/$1" ] && [ "$(cat "$peers/stamps/$1" 2>/dev/null)" = "$3" ] && return
  echo "building $1 $3"
  rm -rf "$peers/build"
  GOBIN="$peers/build" CGO_ENABLED=0 go install -ldflags='-s -w' "$2@$3"
  mv "$peers/build/$(basename "$2")" "$peers/bin/$1"
  echo "$3" >"$peers/stamps/$1"
}

install tailscaled tailscale.com/cmd/tailscaled v1.102.5
install tailscale tailscale.com/cmd/tailscale v1.102.5
install nebula-new github.com/slackhq/nebula/cmd/nebula v1.11.1
install nebula-cert-new github.com/slackhq/nebula/cmd/nebula-cert v1.11.1
install derper tailscale.com/cmd/derper v1.102.5
install tailscaled-old tailscale.com/cmd/tailscaled v1.90.6
install tailscale-old tailscale.com/cmd/tailscale v1.90.6

stamp=$(cat "$here"/testcontrol/main.go "$here"/testcontrol/go.mod | cksum)
if [ "$(cat "$peers/stamps/testcontrol" 2>/dev/null)" != "$stamp" ]; then
  echo "building testcontrol"
  (cd "$here/testcontrol" && CGO_ENABLED=0 go build -ldflags='-s -w' -o "$peers/bin/testcontrol" .)
  echo "$stamp" >"$peers/stamps/testcontrol"
fi

# A machine where Wine cannot be set up lacks one test, which says so.
"$here/windows/install.sh" "$peers" || echo "Wine cannot be set up here, see above" >&2
[ -x "$peers/bin/wine64" ] || echo "there is no wine64 here: the test of Windows will be skipped"
command -v "${HEADSCALE:-headscale}" >/dev/null || echo "headscale is not on PATH: its tests will be skipped"
