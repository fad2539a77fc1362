// A peer of the test matrix in its own process, with the built SDK of packages/client. Its argument names the stack.
// Commands come as JSON lines on standard input, and answers go as JSON lines to standard output.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { connect } from '@peerage/client'
import { SdkPeer } from './sdk-peer.mjs'

const STACKS = {
  'node-datachannel': async () => ({ found: await import('node-datachannel/polyfill') }),
  werift: async () => ({ given: await import('werift') }),
  '@roamhq/wrtc': async () => ({ given: (await import('@roamhq/wrtc')).default }),
}

const stack = process.argv[2]
// A stack that the SDK finds by itself is watched, but not passed to it.
const { found, given } = await STACKS[stack]()
const { RTCPeerConnection } = found ?? given
const peer = new SdkPeer(connect, RTCPeerConnection, given ? { RTCPeerConnection } : {})
const answer = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

answer({ ready: true, version: versionOf(stack) })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...command } = JSON.parse(line)
  peer
    .handle(command)
    .then((result) => answer({ id, result }))
    .catch((error) => answer({ id, error: String(error) }))
}
process.exit(0)

/** Reads the version from the package.json, which not every package exports. */
function versionOf(name) {
  const entry = createRequire(import.meta.url).resolve(name)
  const folder = entry.slice(0, entry.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}/`.length)
  return JSON.parse(readFileSync(`${folder}package.json`, 'utf8')).version
}
