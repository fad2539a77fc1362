import { describe, expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { RegistryUnavailable } from '../names/registry.js'
import { cutOf, two } from '../testing/nodes.js'
import { arrive, messageFrom, peerNamed } from '../testing/peers.js'

// Regression: each of these messages was refused, so a PeerJS peer that only changed its node was reported as
// unknown.
describe.each(['on its own node', 'through another node'])('a message with hold, %s', (way) => {
  async function scene() {
    const made = await two()
    const { a, b } = made
    const alice = await arrive(way === 'on its own node' ? b : a, 'alice', { wire: 'peerjs' })
    const bob = await arrive(b, 'bob', { wire: 'peerjs' })
    const home = way === 'on its own node' ? b : a
    const send = async (ref: string) => {
      await home.router.route(messageFrom(home, alice, 'bob', { ref, hold: true }))
      await settled()
    }
    return { ...made, alice, bob, send }
  }

  test('[PJ8] waits when the recipient’s socket has ended and its node does not know yet', async () => {
    const { a, b, alice, bob, send, errors } = await scene()
    await send('1')
    bob.connection.closed = 'refused'
    await send('2')
    await b.end(bob.connection.id, 'left')
    await send('3')
    const again = await arrive(a, 'bob', { wire: 'peerjs' })
    const waited = await a.mail.take(peerNamed('bob'))
    expect(waited.map(({ frame }) => frame)).toEqual(['alice says 2', 'alice says 3'])
    expect({ notices: alice.connection.notices, frames: again.connection.frames, errors }).toEqual({
      notices: [],
      frames: [],
      errors: [],
    })
  })

  test('[PJ8] waits when the node knows and the registry does not know yet', async () => {
    const { b, alice, bob, send, cuts, errors } = await scene()
    await send('1')
    const { registry } = cutOf(cuts, b).backend
    const release = registry.release.bind(registry)
    let resolve = (): void => undefined
    const released = new Promise<void>((done) => (resolve = done))
    registry.release = async (...args) => {
      await released
      return release(...args)
    }
    let looks = 0
    const lookup = registry.lookup.bind(registry)
    registry.lookup = (peer) => {
      looks++
      return lookup(peer)
    }
    const ended = b.end(bob.connection.id, 'left')
    await send('2')
    // The node looks the peer up, but not an unlimited number of times.
    expect(looks).toBeLessThan(10)
    resolve()
    await ended
    await arrive(b, 'bob', { wire: 'peerjs' })
    const waited = await b.mail.take(peerNamed('bob'))
    expect(waited.map(({ frame }) => frame)).toEqual(['alice says 2'])
    expect({ notices: alice.connection.notices, errors }).toEqual({ notices: [], errors: [] })
  })

  test('[PJ8] goes to the next holder if that one came before the put', async () => {
    const { a, b, alice, bob, send, cuts, errors } = await scene()
    await send('1')
    // The holder goes, and the next one empties the mailbox, while the put is pending.
    for (const node of [a, b]) {
      const { mailbox } = cutOf(cuts, node).backend
      const put = mailbox.put.bind(mailbox)
      mailbox.put = async (...args) => {
        mailbox.put = put
        await b.end(bob.connection.id, 'left')
        again = await arrive(a, 'bob', { wire: 'peerjs' })
        await a.mail.take(peerNamed('bob'))
        return put(...args)
      }
    }
    let again: Awaited<ReturnType<typeof arrive>> | undefined
    bob.connection.closed = 'refused'
    await send('2')
    expect(again?.connection.frames).toEqual(['alice says 2'])
    expect({ notices: alice.connection.notices, errors }).toEqual({ notices: [], errors: [] })
  })
})

// Regression: it was reported as a slow consumer, and the sender did not try again.
test('[I14] a native peer whose socket has just ended is away', async () => {
  const { a } = await two()
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(a, 'bob')]
  bob.connection.closed = 'refused'
  expect(a.router.route(messageFrom(a, alice, 'bob'))).toEqual({ refused: 'away' })
  expect(alice.connection.notices).toEqual([{ ref: '1', code: 'away' }])
})

// Regression: when one peer looked bob up while the store hung, all messages to bob were refused.
test('[I12] a message that waited for another’s failed look-up still uses the known route', async () => {
  const { a, b, cuts } = await two()
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
  await a.router.route(messageFrom(a, alice, 'bob', { ref: '1' }))
  const { registry } = cutOf(cuts, a).backend
  let fail = (): void => undefined
  registry.lookup = () =>
    new Promise((_, reject) => (fail = () => reject(new RegistryUnavailable('no answer in time'))))
  const looked = a.lookup([peerNamed('bob')])
  const waited = a.router.route(messageFrom(a, alice, 'bob', { ref: '2' }))
  const doubted = a.router.route(messageFrom(a, alice, 'bob', { ref: '3', fresh: true }))
  fail()
  await expect(looked).rejects.toThrow(RegistryUnavailable)
  expect([await waited, await doubted]).toEqual(['forwarded', { refused: 'registry-unavailable' }])
  await settled()
  expect(bob.connection.frames).toEqual(['alice says 1', 'alice says 2'])
})

test('[LINK3] the sender is told of a message that the bus finds undelivered later, and its route is forgotten', async () => {
  const { a, b } = await two()
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
  const message = messageFrom(a, alice, 'bob', { ref: '7' })
  await a.router.route(message)
  expect(a.router.knows(peerNamed('bob'))).toBe(true)
  a.router.undelivered({ type: 'deliver', epoch: bob.session.lease.epoch, hops: 0, message })
  expect(alice.connection.notices).toEqual([{ ref: '7', code: 'registry-unavailable' }])
  expect(a.router.knows(peerNamed('bob'))).toBe(false)
})
