#!/usr/bin/env bash
# Installs the programs of other people that the interop tests run against, at pinned versions, outside the repository:
# $HEDDLE_PEERS, default ~/.cache/heddle-peers. Needs Go 1.26 or newer and curl (installed with apt-get when missing).
# The first run takes minutes, the next a second.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${HEDDLE_PEERS:-$HOME/.cache/heddle-peers}
mkdir -p "$peers/bin" "$peers/stamps"

for tool in curl openssl; do
  command -v "$tool" >/dev/null || { apt-get update -qq && apt-get install -y -qq "$tool" >/dev/null; }
done
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
install derper tailscale.com/cmd/derper v1.102.5
install tailscaled-old tailscale.com/cmd/tailscaled v1.90.6
install tailscale-old tailscale.com/cmd/tailscale v1.90.6

stamp=$(cat "$here"/testcontrol/main.go "$here"/testcontrol/go.mod | cksum)
if [ "$(cat "$peers/stamps/testcontrol" 2>/dev/null)" != "$stamp" ]; then
  echo "building testcontrol"
  (cd "$here/testcontrol" && CGO_ENABLED=0 go build -ldflags='-s -w' -o "$peers/bin/testcontrol" .)
  echo "$stamp" >"$peers/stamps/testcontrol"
fi
command -v "${HEADSCALE:-headscale}" >/dev/null || echo "headscale is not on PATH: its tests will be skipped"
