import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

// Runs the programs of examples/express-peerserver as their README says.

const EXAMPLE = `${REPOSITORY}examples/express-peerserver/`
const DEADLINE_MS = 20_000

interface Program {
  child: Child
  url: string
}

let redis: RedisServer
const programs = new Map<string, Program>()

beforeAll(async () => {
  redis = await startRedis()
  // Starting a node brings the build up to date. The example imports the built packages, as an installed application does.
  await (await startNode()).stop()
  programs.set('before', await start('before.mjs', '0'))
  programs.set('after, alone', await start('after.mjs', '0'))
  programs.set('after, one of two', await start('after.mjs', '0', redis.url))
  programs.set('after, the other', await start('after.mjs', '0', redis.url))
})
afterAll(async () => {
  for (const { child } of programs.values()) await child.stop()
  await redis?.stop()
})

async function start(file: string, ...args: string[]): Promise<Program> {
  const child = await startChild({ command: process.execPath, args: [`${EXAMPLE}${file}`, ...args] })
  const port = await child.line((line) => {
    const record: Record<string, unknown> = line.startsWith('{') ? JSON.parse(line) : {}
    return record['msg'] === 'listening' && typeof record['port'] === 'number' ? record['port'] : undefined
  }, DEADLINE_MS)
  return { child, url: `http://127.0.0.1:${port}` }
}

function urlOf(name: string): string {
  const program = programs.get(name)
  if (program === undefined) throw new Error(`no program ${name}`)
  return program.url
}

/** Tries until the peer is connected, because a node that has just started may not be connected to Redis yet. */
async function open(url: string, id: string): Promise<PeerJsPeer> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const peer = new PeerJsPeer({ url, id, path: '/calls' })
    await peer.until('an answer', () => peer.frames.length > 0 || peer.end !== undefined)
    if (peer.frames[0] === '{"type":"OPEN"}') return peer
    if (Date.now() > deadline) throw new Error(`${id} could not connect: ${JSON.stringify(peer.frames)}`)
  }
}

test('the two programs differ only in two lines and in their first comment', () => {
  const [before, after] = ['before.mjs', 'after.mjs'].map((file) =>
    readFileSync(`${EXAMPLE}${file}`, 'utf8').split('\n').slice(1),
  )
  expect(after?.length).toBe(before?.length)
  expect(after?.filter((line, index) => line !== before?.[index])).toHaveLength(2)
})

describe('each program', () => {
  test.each(['before', 'after, alone', 'after, one of two'])(
    '[PJ1] serves PeerJS below /calls: %s',
    async (name) => {
      const url = urlOf(name)
      expect(await (await fetch(`${url}/calls/peerjs/id`)).text()).toMatch(/^[0-9a-f-]{36}$/)
      expect(await (await fetch(`${url}/hello`)).text()).toBe('hello')
      expect((await fetch(`${url}/peerjs/id`)).status).toBe(404)
      const [a, b] = [await open(url, 'a'), await open(url, 'b')]
      a.send(offer('b'))
      expect((await b.next('OFFER')).src).toBe('a')
      await Promise.all([a.close(), b.close()])
    },
  )
})

test('[PJ6] two of the new programs with one Redis are one cluster', async () => {
  const [a, b] = [
    await open(urlOf('after, one of two'), 'one'),
    await open(urlOf('after, the other'), 'other'),
  ]
  a.send(offer('other'))
  expect((await b.next('OFFER')).src).toBe('one')
  await Promise.all([a.close(), b.close()])
})
