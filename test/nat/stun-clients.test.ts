import type { Socket } from 'node:dgram'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type StunServer, bindUdp, createStunServer } from '@peerage/stun'
import { turnutils } from '@peerage/test-support/coturn.js'
import { eventually, run, startChild } from '@peerage/test-support/process.js'

// Runs coturn's own clients against our STUN server, to see whether another implementation can read our answers.

const ANSWER_DEADLINE_MS = 10_000
const REFLEXIVE = /UDP reflexive addr: (\S+):(\d+)/g

let server: StunServer
const sockets: Socket[] = []

beforeAll(async () => {
  sockets.push(await bindUdp('127.0.0.1', 0), await bindUdp('::1', 0))
})
afterAll(() => {
  for (const socket of sockets) socket.close()
})
beforeEach(() => {
  // A new server for each test, so that its counters belong to that test.
  server = createStunServer({ udp: sockets })
  server.start()
  return () => server.stop()
})

function portOf(address: string): string {
  const socket = sockets.find((each) => each.address().address === address)
  if (socket === undefined) throw new Error(`no socket on ${address}`)
  return String(socket.address().port)
}

/** The addresses that a client reports. */
function told(output: string): string[] {
  return [...output.matchAll(REFLEXIVE)].map(([, address]) => address ?? '')
}

test.each(['127.0.0.1', '::1'])('[STUN30] turnutils_stunclient learns its address at %s', async (address) => {
  const output = await run(await turnutils('stunclient'), ['-p', portOf(address), address])
  expect(new Set(told(output))).toEqual(new Set([address]))
  expect(server.counters).toMatchObject({ requests: 1, answered: 1, refused: 0 })
})

test('[STUN30] turnutils_natdiscovery -m -f: mapping and filtering discovery get their reflexive addresses', async () => {
  const output = await run(await turnutils('natdiscovery'), [
    '-m',
    '-f',
    '-p',
    portOf('127.0.0.1'),
    '127.0.0.1',
  ])
  const [mapping = '', filtering = ''] = output.split('Filtering Behavior Discovery')
  for (const part of [mapping, filtering]) {
    expect(new Set(told(part))).toEqual(new Set(['127.0.0.1']))
    // Without NAT, the port that we saw is the port that the client bound.
    const seen = /reflexive addr: \S+:(\d+)/.exec(part)?.[1]
    expect(seen).toBe(/Local addr: : \S+:(\d+)/.exec(part)?.[1])
  }
  expect(output).not.toContain('timeout')
  expect(server.counters).toMatchObject({ requests: 2, answered: 2, refused: 0 })
})

test('[STUN32] [STUN33] RESPONSE-PORT, by turnutils_natdiscovery -t: 420, and nothing is sent to the other port', async () => {
  const args = ['-t', '-T', '1', '-p', portOf('127.0.0.1'), '127.0.0.1']
  const output = await run(await turnutils('natdiscovery'), args)
  expect(output).toContain('STUN receive timeout')
  expect(server.counters).toMatchObject({ requests: 2, answered: 1, refused: 1 })
})

test('[STUN32] [STUN33] CHANGE-REQUEST, by turnutils_stunclient -f: 420', async () => {
  const args = ['-f', '-p', portOf('127.0.0.1'), '127.0.0.1']
  // The client waits forever for an answer from another address.
  const client = await startChild({ command: await turnutils('stunclient'), args })
  try {
    await eventually('a 420', () => Promise.resolve(server.counters.refused > 0 || undefined), {
      deadlineMs: ANSWER_DEADLINE_MS,
      running: client,
    })
    expect(server.counters).toMatchObject({ requests: 2, answered: 1, refused: 1 })
  } finally {
    await client.stop()
  }
})

test('[STUN31] 1500 bytes of PADDING, by turnutils_natdiscovery -P: no answer', async () => {
  const output = await run(await turnutils('natdiscovery'), [
    '-m',
    '-P',
    '-p',
    portOf('127.0.0.1'),
    '127.0.0.1',
  ])
  expect(output).toContain('STUN receive timeout')
  expect(server.counters).toMatchObject({ requests: 0, bytesOut: 0, dropped: { oversized: 1 } })
})
