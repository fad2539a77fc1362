import { afterEach, describe, expect, it } from 'vitest'
import { Controllers, closed, nodePeerConnection, opened } from '../testing/controllers.js'
import { endFading, fadingStack } from '../testing/fading-stack.js'
import { Rendezvous } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())
afterEach(endFading)

describe('a channel whose path was lost', () => {
  const resumesOf = (tier: Rendezvous): string[] =>
    tier.sent.flatMap(({ body }) => (body.includes('"resumes"') ? [body] : []))

  /** Bob accepts the first call at once. Later calls wait until `goOn` is called. */
  async function lost(loser: 'alice' | 'bob') {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    let goOn = (): void => {}
    const later = new Promise<boolean>((resolve) => (goOn = () => resolve(true)))
    let isOpen = false
    const alice = controllers.make(tier, 'alice', loser === 'alice' ? stack : {})
    const bob = controllers.make(tier, 'bob', {
      ...(loser === 'bob' ? stack : {}),
      accept: () => (isOpen ? later : true),
    })
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    isOpen = true
    const openedAgain: unknown[] = []
    for (const p2p of [alice, bob]) p2p.on('channel-opened', (channel) => openedAgain.push(channel))
    const lose = (): void => {
      stack.mute()
      stack.lose()
    }
    return { tier, alice, bob, ours, there, lose, goOn, openedAgain }
  }
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300))

  it('[PP34] is not reopened when a listener of its close event closes it', async () => {
    const { tier, alice, bob, ours, lose, goOn, openedAgain } = await lost('alice')
    const end = closed(ours)
    ours.on('close', () => void ours.close())
    goOn()
    lose()
    expect(await end).toContain('the path was lost')
    await settled()
    expect(resumesOf(tier)).toEqual([])
    expect([...alice.channels, ...bob.channels, ...openedAgain]).toEqual([])
  })

  it('[PP34] is not reopened when its caller closes it during the attempt to reopen it', async () => {
    const { tier, alice, bob, ours, lose, goOn, openedAgain } = await lost('alice')
    lose()
    await expect.poll(() => resumesOf(tier)).toHaveLength(1)
    await ours.close()
    goOn()
    await settled()
    expect(resumesOf(tier)).toHaveLength(1)
    expect([...alice.channels, ...bob.channels, ...openedAgain]).toEqual([])
  })

  it('[PP34] is followed by a new one when the application has called meanwhile', async () => {
    const { tier, alice, ours, lose, goOn } = await lost('alice')
    lose()
    await expect.poll(() => resumesOf(tier)).toHaveLength(1)
    const anew = alice.connect('bob')
    await ours.close()
    goOn()
    expect((await anew).state).toBe('open')
  })

  it.each(['in a listener', 'during the attempt to reopen it'])(
    '[PP34] is not reopened when the callee closes it %s',
    async (when) => {
      const { tier, alice, bob, there, lose, goOn, openedAgain } = await lost('bob')
      if (when === 'in a listener') there.on('close', () => void there.close())
      lose()
      await expect.poll(() => resumesOf(tier)).toHaveLength(1)
      await there.close()
      goOn()
      await expect.poll(() => tier.sent.filter(({ body }) => body.includes('"closed"'))).toHaveLength(1)
      await settled()
      expect(resumesOf(tier)).toHaveLength(1)
      expect([...alice.channels, ...bob.channels, ...openedAgain]).toEqual([])
    },
  )

  it('[PP34] is not reopened when the callee notices the loss only by the new offer and closes it then', async () => {
    const { tier, bob, there, goOn, openedAgain } = await lost('alice')
    goOn()
    const offer = tier.sent.findLast(({ body }) => body.includes('"offer"'))
    there.on('close', () => void there.close())
    const body = JSON.stringify({ ...JSON.parse(offer?.body ?? ''), resumes: offer?.handshake })
    tier.inject('alice', 'bob', 'again', body)
    await expect
      .poll(() => tier.sent.find(({ handshake }) => handshake === 'again')?.body)
      .toBe('{"type":"end","reason":"closed"}')
    await settled()
    expect([...bob.channels, ...openedAgain]).toEqual([])
  })

  it.each(['alice', 'bob'] as const)(
    '[PP13] is reopened when %s sees its connection end without a goodbye',
    async (name) => {
      const tier = new Rendezvous()
      const PeerConnection = await nodePeerConnection()
      const made: RTCPeerConnection[] = []
      class Kept extends PeerConnection {
        constructor(configuration?: RTCConfiguration) {
          super(configuration)
          made.push(this)
        }
      }
      const stackOf = (peer: string) => (peer === name ? { RTCPeerConnection: Kept } : {})
      const alice = controllers.make(tier, 'alice', stackOf('alice'))
      const bob = controllers.make(tier, 'bob', stackOf('bob'))
      const theirs = opened(bob)
      const ours = await alice.connect('bob')
      const there = await theirs
      const ends = Promise.all([closed(ours), closed(there)])
      const again = Promise.all([opened(alice), opened(bob)])
      // node-datachannel does the same by itself after 30 s without a packet.
      for (const connection of made) connection.close()
      expect(await ends).toEqual(expect.not.arrayContaining([expect.stringContaining('closed by')]))
      const [channel] = await again
      expect(alice.channels).toEqual([channel])
    },
  )
})
