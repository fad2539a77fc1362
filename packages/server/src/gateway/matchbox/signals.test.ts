import { afterEach, describe, expect, test } from 'vitest'
import {
  two,
  enter,
  told,
  settle,
  newPeer,
  peerLeft,
  signal,
  signalFrom,
} from '../../testing/matchbox-fixture.js'
import { closeWires } from '../../testing/wire-fixture.js'

afterEach(closeWires)

describe('signals', () => {
  test('[MB8] go to the other peer of the room on any node, with the sender’s id and the data’s own text', async () => {
    const { clock, a, b } = await two()
    const [first, second, third] = [await enter(a), await enter(b), await enter(a)]
    await settle(clock)
    const counted = told(second).length
    first.peer.send(`{"Signal":{"data":[1e20, "\\u0041"],"sender":"${second.id}","receiver":"${second.id}"}}`)
    await settle(clock)
    expect(told(second).slice(counted)).toEqual([
      `{"Signal":{"sender":"${first.id}","data":[1e20, "\\u0041"]}}`,
    ])
    third.peer.send(signal(first, null))
    await settle(clock)
    expect(told(first).at(-1)).toBe(signalFrom(third, null))
    expect(a.seen).toContain('signal forwarded')
    expect(a.seen).toContain('signal delivered')
  })

  test('[MB8] to a peer of another room, to nobody and to oneself are dropped in silence and counted', async () => {
    const { clock, a, b } = await two()
    const [first, other] = [await enter(a), await enter(b, '/matchbox/other')]
    await settle(clock)
    for (const to of [other, first, { ...first, id: '67e55044-10b1-426f-9247-bb680e5fe0c8' }])
      first.peer.send(signal(to, 'x'))
    await settle(clock)
    expect([told(first), told(other)]).toEqual([[], []])
    expect(a.seen.filter((what) => what === 'signal unavailable')).toHaveLength(3)
    expect(first.peer.end).toBeUndefined()
  })

  test('[MB8] the answer to an offer is passed on, even if the room has not named the offerer yet', async () => {
    const { clock, a, b, lossy } = await two()
    const second = await enter(a)
    await settle(clock)
    lossy.isDeaf = true
    const newcomer = await enter(b)
    await settle(clock)
    newcomer.peer.send(signal(second, { Offer: 'o' }))
    await settle(clock)
    expect(told(second)).toEqual([signalFrom(newcomer, { Offer: 'o' })])
    second.peer.send(signal(newcomer, { Answer: 'a' }))
    await settle(clock)
    expect(told(newcomer)).toEqual([signalFrom(second, { Answer: 'a' })])
  })

  test('[MB7] a signal that was on its way when its sender left is dropped', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const [session] = a.node.sessions.allOnline()
    if (session === undefined) throw new Error('nobody is online')
    await second.peer.close()
    await settle(clock)
    const message = {
      from: `default/${second.id}`,
      to: session.peer,
      wire: 'matchbox',
      kind: 'signal',
    } as const
    expect(session.connection.send({ type: 'relay', message: { ...message, frame: 'x' } as never })).toBe(
      true,
    )
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second)])
  })

  test('[MB8] signals of one pair arrive in order, also before the route is known', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const numbers = Array.from({ length: 50 }, (_, i) => i)
    for (const i of numbers) first.peer.send(signal(second, i))
    await second.peer.frame(1 + numbers.length)
    await settle(clock)
    expect(told(second)).toEqual(numbers.map((i) => signalFrom(first, i)))
  })

  test('[MB9] KeepAlive has no answer, and counts as a frame', async () => {
    const { a, clock } = await two({
      limitValues: {
        connection: { messagesPerSecond: 2, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
        name: { messagesPerSecond: 0, failuresPerMinute: 0 },
        address: { connections: 0, connectsPerSecond: 0, lookupsPerSecond: 0, failuresPerMinute: 0 },
        node: { connections: 0, connectsPerSecond: 0, bufferedBytes: 0 },
      },
    })
    const game = await enter(a)
    for (let i = 0; i < 6; i++) game.peer.send('"KeepAlive"')
    game.peer.send('no frame of this wire')
    const isRead = (): boolean => a.seen.includes('rejected malformed')
    for (let passedMs = 0; passedMs < 1_000; passedMs += 250) {
      expect(isRead()).toBe(false)
      await settle(clock)
      await clock.advance(250)
    }
    await expect.poll(async () => clock.advance(250).then(isRead)).toBe(true)
    expect(told(game)).toEqual([])
  })
})
