import { afterAll, beforeAll, expect, test } from 'vitest'
import { startCoturn, turnCredentials, turnutils, type Coturn } from './coturn.js'
import { run } from './process.js'

let coturn: Coturn

beforeAll(async () => {
  coturn = await startCoturn({ secret: ['new secret', 'old secret'] })
})
afterAll(() => coturn.stop())

/** Relays a small message from coturn's own client to itself; resolves with what it printed. */
async function relay({ username, password }: { username: string; password: string }): Promise<string> {
  const login = ['-u', username, '-w', password]
  const traffic = ['-y', '-c', '-m', '1', '-n', '1', '-l', '64']
  return run(await turnutils('uclient'), [...login, ...traffic, '-p', String(coturn.port), coturn.host])
}

test('coturn reports a STUN client its address', async () => {
  const text = await run(await turnutils('stunclient'), ['-p', String(coturn.port), coturn.host])
  expect(text).toContain('UDP reflexive addr: 127.0.0.1:')
})

test('coturn relays for credentials made with either secret', async () => {
  const credentials = [coturn.credentials('alice'), turnCredentials('old secret', 'alice', 600)]
  for (const text of await Promise.all(credentials.map(relay))) {
    expect(text).toMatch(/tot_send_msgs=([1-9]\d*), tot_recv_msgs=\1\b/)
  }
})

test('coturn refuses another secret, and expired credentials', async () => {
  await expect(relay(turnCredentials('wrong', 'alice', 600))).rejects.toThrow('Cannot complete Allocation')
  await expect(relay(coturn.credentials('alice', -10))).rejects.toThrow('Cannot complete Allocation')
})
