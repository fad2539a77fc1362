import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { ShareHost, ShareSession } from '../sharing.js'

type Step =
  | { do: 'cut'; who: 'host' | 'guest' }
  /** The page of the host is loaded anew. */
  | { do: 'reload' }
  | { do: 'text'; from: 'host' | 'guest' }
  | { do: 'wait'; ms: number }

const who = fc.constantFrom('host' as const, 'guest' as const)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('cut' as const), who }),
  fc.record({ do: fc.constant('reload' as const) }),
  fc.record({ do: fc.constant('text' as const), from: who }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
)

const textsOf = (session: ShareSession | undefined, direction: 'in' | 'out'): string[] =>
  (session?.transfer.state.items ?? []).flatMap((item) =>
    item.kind === 'text' && item.direction === direction ? [item.text] : [],
  )

test('[FT50, FT54, FT59] whatever connections and pages are lost, a session comes back and loses no text', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const world = new FakeSharing()
      const guest = await world.side('guest')
      let share: ShareHost = (await world.side('host')).sharing.host()
      const session = await guest.sharing.join(linkOf(share))
      await world.until(() => session.state.name === 'open')
      const said: string[] = []
      const fromHost: string[] = []
      for (const one of steps)
        switch (one.do) {
          case 'cut':
            world.tier.cut(one.who)
            break
          case 'reload': {
            const saved = share.save()
            world.tier.cut('host', 'superseded')
            world.tier.release('host')
            share = (await world.side('host')).sharing.host({ saved })
            fromHost.length = 0
            break
          }
          case 'text': {
            const text = `text ${said.length + fromHost.length}`
            const speaker = one.from === 'guest' ? session : share.sessions.at(-1)
            // Before the guest is back, a host that was loaded anew has no session to say something in.
            if (speaker === undefined || speaker.state.name === 'ended') break
            speaker.transfer.sendText(text)
            if (one.from === 'guest') said.push(text)
            else fromHost.push(text)
            break
          }
          case 'wait':
            await world.clock.advance(one.ms)
        }
      await world.until(
        () => session.state.name === 'open' && share.sessions.at(-1)?.state.name === 'open',
        300_000,
      )
      session.transfer.sendText('last')
      await world.until(
        () =>
          textsOf(share.sessions.at(-1), 'in').includes('last') &&
          fromHost.every((text) => textsOf(session, 'in').includes(text)),
        300_000,
      )
      // The host has all texts since its page was loaded, in order, each once.
      const heard = textsOf(share.sessions.at(-1), 'in')
      expect(heard).toEqual([...said, 'last'].slice(-heard.length))
      await world.close()
      expect(world.errors).toEqual([])
    }),
    { numRuns: 25 },
  )
}, 120_000)
