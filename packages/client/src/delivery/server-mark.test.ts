import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { NodeMessageOf } from '@peerage/protocol'
import { parseName, parseRoom } from '@peerage/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import { connectOn } from '../connect.js'
import { staticModules } from '../platform/static-modules.js'
import type { Peer } from '../peer.js'
import { FakeTier } from '../testing/fake-tier.js'
import { platform } from '../testing/platform.js'
import { Delivery } from './delivery.js'

let clock: FakeClock
let tier: FakeTier

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
})

async function join(name: string): Promise<Peer> {
  const joining = connectOn(platform, staticModules, 'http://tier', {
    clock,
    transport: tier.open,
    p2p: false,
    name,
  })
  await clock.advance(5)
  return joining
}

const nameOf = (text: string): NodeMessageOf<'message'>['from'] => {
  const parsed = parseName(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const message = (server?: boolean): NodeMessageOf<'message'> => ({
  type: 'message',
  from: nameOf('shop'),
  since: 7,
  stream: 'A'.repeat(11),
  seq: 1,
  base: 1,
  kind: 'message',
  body: 'shello',
  ...(server !== undefined && { server }),
})

test.each([
  [true, { since: 7, server: true }],
  [false, { since: 7 }],
  [undefined, { since: 7 }],
])('[WD20] with `server: %s` of a node the application hears %j', async (server, about) => {
  const peer = await join('ann')
  const heard: unknown[] = []
  peer.on('message', (...args) => heard.push(args))
  tier.hand('ann', message(server))
  expect(heard).toEqual([['shop', 'hello', about]])
})

test.each([
  [true, { since: 7, server: true }],
  [false, { since: 7 }],
  [undefined, { since: 7 }],
])('[WD20] in a room with `server: %s` the application hears %j', async (server, about) => {
  const peer = await join('ann')
  const parsed = parseRoom('hall')
  if (!parsed.ok) throw new Error(parsed.problem)
  const joining = peer.join('hall')
  await clock.advance(1)
  const asked = await vi.waitFor(() => {
    const frame = tier.sent.find(({ type }) => type === 'join')
    if (frame?.type !== 'join') throw new Error('not asked yet')
    return frame
  })
  tier.hand('ann', { type: 'roomed', id: asked.id, room: asked.room, members: [], more: false })
  const room = await joining
  const heard: unknown[] = []
  room.on('message', (...args) => heard.push(args))
  tier.hand('ann', {
    type: 'said',
    room: parsed.value,
    from: nameOf('shop'),
    since: 7,
    body: 'shello',
    ...(server !== undefined && { server }),
  })
  expect(heard).toEqual([['shop', 'hello', about]])
})

test('[WD20] a peer cannot set the mark in a frame over a channel', () => {
  const handed: NodeMessageOf<'message'>[] = []
  const carrier = { send: () => true as const }
  const delivery = new Delivery({
    clock,
    random: () => 0.5,
    server: carrier,
    seen: [],
    streamMs: 1_000,
    streamId: () => 'B'.repeat(11),
    self: () => ({ name: nameOf('ann'), since: 3 }),
    listens: () => true,
    hand: (one) => handed.push(one) > 0,
    lookup: async () => undefined,
    watch: () => {},
    unwatch: () => {},
  })
  const { from: _, ...rest } = message()
  for (const [i, server] of [true, 'true', 1, {}].entries()) {
    const frame = { ...rest, type: 'send', to: 'ann', since: 3, seq: i + 1, server }
    expect(delivery.receive({ name: nameOf('mallory'), since: 7 }, frame, carrier)).toBe(true)
  }
  expect(handed).toHaveLength(4)
  for (const one of handed) expect(Object.hasOwn(one, 'server')).toBe(false)
  delivery.close()
})

test('[WR13] a send that the access rules forbid ends as `forbidden`, and later ones go on', async () => {
  const ann = await join('ann')
  const bob = await join('bob')
  const heard: unknown[] = []
  bob.on('message', (_, data) => heard.push(data))
  const first = outcomeOf(ann.send('bob', 1))
  tier.forbidden.add(nameOf('bob'))
  await clock.advance(50)
  expect(await first).toMatchObject({
    code: 'forbidden',
    message:
      'not delivered to bob: the access rules do not allow this name, or it is that of an application server',
  })
  tier.forbidden.clear()
  const second = ann.send('bob', 2)
  await clock.advance(50)
  await second
  expect(heard).toEqual([2])
})

test('[WR13] a room that the access rules forbid makes `join` reject', async () => {
  const peer = await join('ann')
  const joining = outcomeOf(peer.join('vip'))
  await clock.advance(1)
  const frame = tier.sent.find(({ type }) => type === 'join')
  if (frame?.type !== 'join') throw new Error('the SDK did not join')
  tier.hand('ann', {
    type: 'error',
    id: frame.id,
    code: 'forbidden',
    detail: 'the token does not allow this room',
  })
  expect(await joining).toMatchObject({ code: 'forbidden', message: 'the token does not allow this room' })
})

function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => error,
  )
}
