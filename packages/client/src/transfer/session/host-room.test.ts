import { expect, test } from 'vitest'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { PeerageError } from '../../lib/error.js'
import { nameFrom } from '../../testing/fake-page.js'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { HandshakeContext, Line } from '../keys/handshake.js'
import { refusalCodes } from '../keys/messages.js'
import { Entrance } from './entrance.js'
import { HostRoom } from './host-room.js'
import type { OpenRoom } from './host-room.js'

// What a host does with guests that come before the code for sessions is loaded.

const context = (guest: string): HandshakeContext => ({
  handshake: 'h',
  local: { name: 'host', fingerprint: '' },
  remote: { name: guest, fingerprint: '' },
})

/** A line that keeps what the host says. */
function line(): Line & { said: Uint8Array[] } {
  const said: Uint8Array[] = []
  return {
    said,
    send: (message) => void said.push(message),
    receive: () => Promise.reject(new Error('nobody says anything')),
  }
}

const reasonOf = ({ said: [message] }: { said: Uint8Array[] }): number | undefined => message?.[2]

function roomWith(open: () => Promise<OpenRoom>) {
  const clock = new FakeClock()
  const errors: unknown[] = []
  const room = new HostRoom({
    clock,
    entrance: new Entrance(clock),
    onError: (error) => errors.push(error),
    open,
  })
  return { room, errors }
}

/** A room whose door only notes who comes. */
function notingRoom(): { opened: OpenRoom; came: string[] } {
  const came: string[] = []
  const door = {
    answer: async (_line: Line, _context: HandshakeContext, guest: string) => void came.push(guest),
    know: (guest: string) => came.push(`known: ${guest}`),
  }
  return { opened: { door, guests: {} } as unknown as OpenRoom, came }
}

test('[FT90] guests that come while the code loads wait in order, and it is loaded once', async () => {
  const { opened, came } = notingRoom()
  let arrive = (): void => {}
  let loads = 0
  const { room } = roomWith(async () => {
    loads++
    await new Promise<void>((resolve) => (arrive = resolve))
    return opened
  })
  const guests = ['ann', 'bob', 'cas', 'dan']
  room.know(nameFrom('ann'), { id: 'k' } as never)
  const answers = guests.map((guest) => room.answer(line(), context(guest), nameFrom(guest)))
  await new Promise((resolve) => setImmediate(resolve))
  expect(came).toEqual([])
  arrive()
  await Promise.all(answers)
  expect(came).toEqual(['known: ann', ...guests])
  expect(loads).toBe(1)
})

test('[FT55] [FT90] guests that wait for the code are counted', async () => {
  const { room } = roomWith(() => new Promise(() => {}))
  const lines = Array.from({ length: 30 }, line)
  lines.forEach((one, index) => void room.answer(one, context(`guest-${index}`), nameFrom(`guest-${index}`)))
  await new Promise((resolve) => setImmediate(resolve))
  // 24 are under way at once.
  const refused = lines.filter(({ said }) => said.length > 0)
  expect(refused.map(reasonOf)).toEqual(Array(6).fill(refusalCodes.busy))
})

test('[FT90] without the code, a guest is told to come later, the application hears of it, and it is tried again', async () => {
  const { opened, came } = notingRoom()
  const missing = new PeerageError('not-loaded')
  const results = [() => Promise.reject(missing), () => Promise.resolve(opened)]
  const { room, errors } = roomWith(() => results.shift()?.() ?? Promise.resolve(opened))
  const first = line()
  expect(await room.answer(first, context('ann'), nameFrom('ann'))).toBeUndefined()
  expect([reasonOf(first), errors]).toEqual([refusalCodes.busy, [missing]])
  await room.answer(line(), context('ann'), nameFrom('ann'))
  expect(came).toEqual(['ann'])
})

test('[FT90] load loads all, and join without it works too', async () => {
  const world = new FakeSharing()
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const share = host.sharing.host()
  await host.sharing.load()
  const session = await guest.sharing.join(linkOf(share))
  await world.until(() => session.state.name === 'open')
  await world.close()
  await expect(guest.sharing.join(linkOf(share))).rejects.toThrow('call `start`')
  expect(world.errors).toEqual([])
})
