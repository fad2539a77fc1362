#!/usr/bin/env bash
# webtorrent 2.8.5 in Node, installed since July 2026: adding or seeding any torrent ends the process.
#
# lib/torrent.js makes the name for its debug output with `arr2hex(parsedTorrent.infoHash)`, though infoHash is a text.
# webtorrent asks for uint8-util ^2.2.5. Up to 2.2.6 `arr2hex` of a text gave a useless text. Since 2.3.0 it is
# `Buffer.from(data.buffer, …)` in Node, and throws for a text, as an unhandled rejection. Pages are not affected: the
# script dist/webtorrent.min.js contains an older uint8-util. An override of uint8-util with 2.2.6 helps.
#
# Seen on 2026-11-30 with node 20.20.2: TypeError [ERR_INVALID_ARG_TYPE] in Torrent._onTorrentId, exit code 1.
# Peerage's tests use a hook: test/clients/programs/uint8-util-hook.mjs.
#
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >seed.mjs <<'END'
import WebTorrent from 'webtorrent'
const client = new WebTorrent({ dht: false, lsd: false, natUpnp: false, natPmp: false, tracker: false, utp: false })
client.seed(Buffer.alloc(100_000, 1), { name: 'file', announce: [], path: '.' }, ({ infoHash }) => {
  console.log(`seeds ${infoHash}`)
  process.exit(0)
})
END

# Runs the program with these overrides, and prints its last lines.
try() {
  rm -rf node_modules package-lock.json
  # The binary of newer versions of node-datachannel is fetched by a script, which --ignore-scripts does not run.
  echo "{ \"type\": \"module\", \"overrides\": { \"node-datachannel\": \"0.33.4\" $1 } }" >package.json
  npm install --silent --no-audit --no-fund --ignore-scripts webtorrent@2.8.5
  echo "uint8-util $(node -p 'JSON.parse(fs.readFileSync("node_modules/uint8-util/package.json")).version'):"
  timeout 30 node seed.mjs 2>&1 | grep -E '^(seeds|TypeError| +at )' | head -3 | tee output || true
}

try ''
grep -q 'ERR_INVALID_ARG_TYPE' output && broken=yes || broken=no
try ', "uint8-util": "2.2.6"'
grep -q '^seeds' output && mended=yes || mended=no
if [ "$broken" = yes ] && [ "$mended" = yes ]; then
  echo 'still so: with the newest uint8-util the process ends'
else
  echo 'changed'
  exit 1
fi
