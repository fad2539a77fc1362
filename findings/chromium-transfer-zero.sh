#!/usr/bin/env bash
# Chromium 156: `ArrayBuffer.prototype.transfer(0)` on a buffer that came by `postMessage` does not free its memory, and
# stops counting it. So V8 sees no reason to collect garbage, and a page that gives each buffer back grows by all of them.
#
# `transfer(0)` is the short way to empty a buffer, and Firefox then frees the memory at once. In Chromium a page that does
# nothing with its old buffers stays smaller, because they count, and are collected.
#
# Seen on 2026-11-30, Linux, Chromium 156.0.8078.108: after 800 buffers of 1 MiB from a worker, the processes of the browser
# had grown by 312 to 325 MB (nothing done) and by 857 to 861 MB (`transfer(0)`). A page that received a file of 1 GiB grew
# by 1,112 MB with `transfer(0)` in its listeners, and by 105 MB without.
# Peerage gives memory back through a closed MessagePort (packages/client/src/transfer/release.ts).
#
# Exits with 0 while this is so, and with 1 when it has changed. It needs Chromium: a path in CHROMIUM, or `chromium`.
set -euo pipefail

chromium=${CHROMIUM:-$(command -v chromium)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund playwright-core@1.56.0
"$chromium" --version

cat >grow.mjs <<'END'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

const BUFFERS = 800
const worker = `onmessage = () => {
  const bytes = new Uint8Array(1 << 20)
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536))
  postMessage(bytes, [bytes.buffer])
}`
const server = createServer((request, response) => {
  const isWorker = request.url === '/worker.js'
  response.setHeader('content-type', isWorker ? 'text/javascript' : 'text/html')
  response.end(isWorker ? worker : '<!doctype html>')
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))

/** The memory of this process' descendants, in MB. */
function memory() {
  const parents = new Map()
  const read = (path) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return '' // the process has ended
    }
  }
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    parents.set(id, /^PPid:\s+(\d+)/m.exec(read(`/proc/${id}/status`))?.[1])
  const isBelow = (id) => id !== undefined && id !== '0' && (id === String(process.pid) || isBelow(parents.get(id)))
  const sizes = [...parents.keys()]
    .filter((id) => id !== String(process.pid) && isBelow(id))
    .map((id) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${id}/smaps_rollup`))?.[1] ?? 0))
  return sizes.reduce((sum, size) => sum + size, 0) / 1000
}

async function grown(way) {
  const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync']
  const browser = await chromium.launch({ executablePath: process.argv[2], args: flags })
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  const before = memory()
  await page.evaluate(
    ([way, count]) =>
      new Promise((resolve) => {
        const worker = new Worker('/worker.js')
        worker.onmessage = ({ data }) => {
          if (way === 'transfer(0)') data.buffer.transfer(0)
          if (--count === 0) resolve()
          else worker.postMessage('next')
        }
        worker.postMessage('next')
      }),
    [way, BUFFERS],
  )
  const more = memory() - before
  await browser.close()
  console.log(`${way}: ${Math.round(more)} MB more`)
  return more
}

const [nothing, transferred] = [await grown('nothing'), await grown('transfer(0)')]
server.close()
process.exit(transferred > 700 && nothing < 500 ? 0 : 1)
END
if timeout 120 node grow.mjs "$chromium"; then
  echo 'still so: transfer(0) keeps the memory'
else
  echo 'changed'
  exit 1
fi
