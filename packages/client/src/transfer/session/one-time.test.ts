import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeSource, someBytes } from '../../testing/fake-files.js'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { ShareHost, ShareSession } from '../sharing.js'

let world: FakeSharing

beforeEach(() => {
  world = new FakeSharing()
})

afterEach(async () => {
  await world.close()
  expect(world.errors).toEqual([])
})

const opened = (session: ShareSession): Promise<void> => world.until(() => session.state.name === 'open')

async function acceptAll({ transfer }: ShareSession): Promise<void> {
  await world.until(() => transfer.state.items.length > 0)
  transfer.accept(transfer.state.items.map(({ key }) => key))
}

/** Whether the guest of this session wants all files, as far as the host knows. */
const isWanted = (session: ShareSession | undefined): boolean =>
  session?.transfer.state.items.every((one) => one.kind === 'file' && one.state.name !== 'offered') === true

test('[FT62] a host can share a taken share again: one more guest takes it, and the first one goes on', async () => {
  const names = ['host', 'first', 'second', 'third'] as const
  const [host, first, second, third] = await Promise.all(names.map((name) => world.side(name)))
  if (!host || !first || !second || !third) throw new Error('a side is missing')
  const share: ShareHost = host.sharing.host({ isOneTime: true })
  share.add([new FakeSource('a.txt', someBytes(10, 1))])
  const one = await first.sharing.join(linkOf(share))
  await opened(one)
  await acceptAll(one)
  await world.until(() => share.state.name === 'taken')

  share.setOneTime(false)
  share.setOneTime(true)
  expect(share.state.name).toBe('open')
  // What the first guest accepts from now on does not take the share from the next one.
  share.add([new FakeSource('b.txt', someBytes(10, 2))])
  await world.until(() => one.transfer.state.items.length === 2)
  await acceptAll(one)
  await world.until(() => isWanted(share.sessions[0]))
  expect(share.state.name).toBe('open')
  const two = await second.sharing.join(linkOf(share))
  await opened(two)
  await acceptAll(two)
  await world.until(() => share.state.name === 'taken')
  expect([one.state.name, two.state.name]).toEqual(['open', 'open'])

  const late = await third.sharing.join(linkOf(share))
  await world.until(() => late.state.name === 'ended')
  expect(late.state).toMatchObject({ name: 'ended', why: 'taken-elsewhere' })
})

test('[FT62] whoever has taken the share and was killed comes back under another name, and nobody waits for the old one', async () => {
  const host = await world.side('host')
  const share = host.sharing.host({ isOneTime: true })
  share.add([new FakeSource('a.txt', someBytes(10, 1))])
  const one = await (await world.side('first')).sharing.join(linkOf(share))
  await opened(one)
  await acceptAll(one)
  await world.until(() => share.state.name === 'taken' && one.guestTicket !== undefined)
  world.tier.cut('first', 'drain', 3_600_000)
  const again = await world.side('again')
  const two = await again.sharing.join(linkOf(share), { ticket: one.guestTicket })
  await opened(two)
  expect(share.sessions).toHaveLength(2)
  const before = world.clock.now()
  await world.soon(host.sharing.close())
  expect(world.clock.now() - before).toBeLessThan(1_000)
})
