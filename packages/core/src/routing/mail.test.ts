import { expect, test } from 'vitest'
import { HeldBytes } from './held-bytes.js'
import { Mail } from './mail.js'
import type { Mailbox } from './mailbox.js'
import type { Message } from './message.js'
import { memoryCluster } from '../memory/index.js'
import { RegistryUnavailable } from '../names/registry.js'
import { defaultTimes } from '../times.js'
import { newPeer } from '../testing/cluster.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'

const MiB = 1024 * 1024
const EXPIRE_MS = 5_000

/** A mailbox whose answers the test sets. */
function scene() {
  const clock = new FakeClock()
  let answer: 'ok' | 'full' | 'away' = 'ok'
  const mailbox: Mailbox = {
    put: async () => {
      if (answer === 'away') throw new RegistryUnavailable('away')
      return answer === 'ok' ? { ok: true, since: 1 } : { ok: false, reason: 'full' }
    },
    take: async () => [],
    expire: async () => [],
  }
  const { registry, nodes } = memoryCluster({ clock }).backend()
  const mail = new Mail({
    mailbox,
    registry,
    nodes,
    graceMs: defaultTimes.graceMs,
    clock,
    expireMs: EXPIRE_MS,
    arrived: () => expect.unreachable(),
    expired: () => expect.unreachable(),
    onError: (error) => expect.unreachable(String(error)),
  })
  const from = newPeer()
  const letter = (bytes: number): Message => {
    return { from, to: newPeer(), wire: 'peerjs', kind: 'signal', hold: true, frame: 'x'.repeat(bytes) }
  }
  return { clock, mail, letter, answers: (next: typeof answer) => void (answer = next) }
}

// Regression: messages that a full mailbox refused still counted, and their sender was shut out of all mailboxes for
// ten seconds.
test.each(['full', 'away'] as const)(
  '[PJ8] messages that the store did not keep (%s) do not count',
  async (why) => {
    const { mail, letter, answers } = scene()
    answers(why)
    for (let i = 0; i < 10; i++) {
      const held = mail.hold(letter(MiB))
      if (why === 'full') expect(await held).toBe(false)
      else await expect(held).rejects.toThrow(RegistryUnavailable)
    }
    answers('ok')
    for (let i = 0; i < 4; i++) expect(await mail.hold(letter(MiB))).toBe(true)
    expect(await mail.hold(letter(1))).toBe(false)
    mail.stop()
  },
)

test('[PJ8] held messages count until their queue has surely ended', async () => {
  const { clock, mail, letter } = scene()
  expect(await mail.hold(letter(4 * MiB))).toBe(true)
  await clock.advance(EXPIRE_MS - 1)
  expect(await mail.hold(letter(1))).toBe(false)
  await clock.advance(EXPIRE_MS + 1)
  expect(await mail.hold(letter(4 * MiB))).toBe(true)
  mail.stop()
})

test('[PJ8] bytes that are given back after a new period has begun are taken off the period that counted them', async () => {
  const clock = new FakeClock()
  const held = new HeldBytes(clock, EXPIRE_MS)
  const [one, other] = [newPeer(), newPeer()]
  expect(held.take(one, 3 * MiB)).toBe(true)
  await clock.advance(EXPIRE_MS)
  expect(held.take(one, MiB)).toBe(true)
  expect(held.take(one, 1)).toBe(false)
  held.give(one, 3 * MiB)
  expect(held.take(one, 3 * MiB)).toBe(true)
  expect(held.take(one, 1)).toBe(false)
  // For a sender without any bytes, giving back bytes changes nothing.
  held.give(other, 100 * MiB)
  expect(held.take(other, 4 * MiB)).toBe(true)
  expect(held.take(other, 1)).toBe(false)
})

test('[PJ8] the bytes of all senders of a node together are bounded', () => {
  const held = new HeldBytes(new FakeClock(), EXPIRE_MS)
  for (let i = 0; i < 16; i++) expect(held.take(newPeer(), 4 * MiB)).toBe(true)
  const late = newPeer()
  expect(held.take(late, 1)).toBe(false)
  held.give(late, 1)
  expect(held.take(late, 1)).toBe(false)
})
