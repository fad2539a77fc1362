#!/usr/bin/env bash
# @trystero-p2p/core 0.25.4: after five failed attempts in a row a peer gives its relay up, and never comes back to it.
#
# makeSocket doubles the wait after each failure: 3.3, 6.7, 13.3, 26.7, 53.3 s, and then at most 60 s. Each wait is a random
# share of that. If the wait has reached 60 s when the next attempt fails, the client is closed for good (`isClosed`). So a
# relay that is away for two minutes (52 s on average) loses all its peers until their pages are loaded again. A room that
# is left and joined again gets the same closed client, and nothing is logged or thrown.
#
# Seen on 2026-11-30 with node 20.20.2. The program counts the attempts at a port where nothing listens, without the waits.
#
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @trystero-p2p/core@0.25.4 ws@8.23.0
cat >count.mjs <<'END'
import { makeSocket } from '@trystero-p2p/core'
import { WebSocket } from 'ws'

let attempts = 0
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url)
    attempts++
    this.on('error', () => {})
  }
}
Math.random = () => 0
const client = makeSocket('ws://127.0.0.1:1/', () => {}, () => {})
setTimeout(() => {
  console.log(`${attempts} attempts, closed for good: ${client.isClosed}`)
  process.exit(0)
}, 3_000)
END

node count.mjs | tee output
if grep -q '^6 attempts, closed for good: true$' output; then
  echo 'still so: trystero gives the relay up'
else
  echo 'changed'
  exit 1
fi
