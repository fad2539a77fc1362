import type { Clock } from '@peerage/core'
import { systemClock } from '@peerage/core'
import { afterEach, expect, test } from 'vitest'
import type { ConfigInput } from '../../config/schema.js'
import { RawPeer, closeNative, startNative } from '../../testing/native-fixture.js'

afterEach(closeNative)

const stream = 'A'.repeat(11)
const settings: ConfigInput = {
  defaultApp: 'chat',
  apps: {
    chat: { relay: { enabled: false }, limits: { connection: { lookupsPerSecond: 1 } } },
    games: {
      taken: 'replace',
      relay: { messageBytes: 100 },
      limits: { connection: { lookupsPerSecond: 5 }, app: { messagesPerSecond: 3 } },
    },
  },
}

async function joined(url: string, app: string, name: string) {
  const peer = new RawPeer(url)
  const welcome = await peer.claim({ app, name })
  return { peer, welcome }
}

test('[WH3] [WR5] each app has its own relay policy, in the welcome and for messages', async () => {
  const { url } = await startNative({ settings })
  const { peer: inChat, welcome } = await joined(url, 'chat', 'alice')
  const { peer: inGames, welcome: other } = await joined(url, 'games', 'alice')
  expect([welcome['relay'], other['relay']]).toEqual([null, expect.objectContaining({ messageBytes: 100 })])
  for (const [peer, body, code] of [
    [inChat, 'x', 'relay-refused'],
    [inGames, 'x'.repeat(101), 'relay-refused'],
    [inGames, 'x', 'unavailable'],
  ] as const) {
    peer.frames.length = 0
    peer.send('send', { to: 'nobody', since: 1, stream, seq: 1, base: 1, kind: 'message', body })
    expect(await peer.event('notice')).toMatchObject({ code })
  }
})

test('[WR4] each app has its own rates for a connection, and one for all its connections', async () => {
  const clock: Clock = { ...systemClock, monotonic: () => 0 }
  const { url } = await startNative({ settings, clock })
  const found = async (peer: RawPeer, id: number): Promise<boolean> => {
    peer.send('lookup', { id, names: ['x'] })
    return (await peer.until((frame) => frame.includes(`"id":${id}`))).startsWith('42["found"')
  }
  const { peer: alice } = await joined(url, 'chat', 'alice')
  expect([await found(alice, 1), await found(alice, 2), await found(alice, 3)]).toEqual([true, true, false])
  const [{ peer: bob }, { peer: carol }] = [
    await joined(url, 'games', 'bob'),
    await joined(url, 'games', 'carol'),
  ]
  const both: boolean[] = []
  for (let id = 1; id <= 4; id++) both.push(await found(bob, id), await found(carol, id))
  expect(both).toEqual([true, true, true, true, true, true, false, false])
})
