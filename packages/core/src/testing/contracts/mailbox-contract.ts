import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Message } from '../../routing/message.js'
import type { ContractCluster, MakeCluster } from '../cluster.js'
import { patient, quick, newConnectionId, newNodeId, newPeer, until } from '../cluster.js'

/** The contract of `Mailbox`, for every implementation. */
export function mailboxContract(name: string, makeCluster: MakeCluster): void {
  describe(`mailbox contract: ${name}`, () => {
    let cluster: ContractCluster
    let hasty: ContractCluster
    beforeAll(async () => {
      cluster = await makeCluster(patient)
      hasty = await makeCluster(quick)
    })
    afterAll(async () => {
      await cluster.stop()
      await hasty.stop()
    })

    const letter = (frame: string, more: Partial<Message> = {}): Message => ({
      from: newPeer(),
      to: newPeer(),
      wire: 'peerjs',
      hold: true,
      kind: 'signal',
      frame,
      ...more,
    })

    test('messages are taken whole, in order, once, and from any node', async () => {
      const [a, b] = [await cluster.join(), await cluster.join()]
      const peer = newPeer()
      const reply = { node: newNodeId(), connection: newConnectionId(), ref: 'r\x1f1' }
      const letters = [letter('{"a":1}', { reply }), letter('🙂\0'), letter('', { since: 5, handshake: 'h' })]
      const sinces = new Set<number>()
      for (const one of letters) {
        const put = await a.backend.mailbox.put(peer, one)
        if (put.ok) sinces.add(put.since)
      }
      expect(sinces.size).toBe(1)
      expect(await b.backend.mailbox.take(peer)).toEqual(letters)
      expect(await b.backend.mailbox.take(peer)).toEqual([])
      expect(await a.backend.mailbox.take(peer)).toEqual([])
    })

    test('one peer’s mailbox is not another’s', async () => {
      const a = await cluster.join()
      const [peer, other] = [newPeer(), newPeer()]
      await a.backend.mailbox.put(peer, letter('mine'))
      expect(await a.backend.mailbox.take(other)).toEqual([])
      expect(await a.backend.mailbox.take(peer)).toHaveLength(1)
    })

    test('when several nodes take at once, one of them gets the messages', async () => {
      const nodes = [await cluster.join(), await cluster.join(), await cluster.join()]
      const peer = newPeer()
      await nodes[0]?.backend.mailbox.put(peer, letter('one'))
      await nodes[1]?.backend.mailbox.put(peer, letter('two'))
      const taken = await Promise.all(nodes.map((node) => node.backend.mailbox.take(peer)))
      expect(taken.flat()).toHaveLength(2)
      expect(taken.filter((messages) => messages.length > 0)).toHaveLength(1)
    })

    test('a full mailbox refuses, by count and by length, and keeps what it has', async () => {
      const a = await cluster.join()
      const { messages, length } = patient.mailboxLimits
      const byCount = newPeer()
      for (let i = 0; i < messages; i++)
        expect((await a.backend.mailbox.put(byCount, letter(`${i}`))).ok).toBe(true)
      expect(await a.backend.mailbox.put(byCount, letter('over'))).toEqual({ ok: false, reason: 'full' })
      expect((await a.backend.mailbox.take(byCount)).map((one) => one.frame)).toEqual(
        Array.from({ length: messages }, (_, i) => `${i}`),
      )
      const byLength = newPeer()
      expect((await a.backend.mailbox.put(byLength, letter('x'.repeat(length - 1_000)))).ok).toBe(true)
      expect(await a.backend.mailbox.put(byLength, letter('x'.repeat(1_001)))).toEqual({
        ok: false,
        reason: 'full',
      })
      expect(await a.backend.mailbox.take(byLength)).toHaveLength(1)
      expect((await a.backend.mailbox.put(byCount, letter('again'))).ok).toBe(true)
    })

    test('a queue expires after its time and not before, even if messages came later, and for one node only', async () => {
      const [a, b] = [await hasty.join(), await hasty.join()]
      const peer = newPeer()
      const from = hasty.now()
      await a.backend.mailbox.put(peer, letter('first'))
      expect(await b.backend.mailbox.expire(peer)).toEqual([])
      await b.backend.mailbox.put(peer, letter('second'))
      const expired: Message[] = []
      const isExpired = async (): Promise<boolean> => {
        const both = await Promise.all([a, b].map((node) => node.backend.mailbox.expire(peer)))
        expired.push(...both.flat())
        return expired.length > 0
      }
      const tookMs = await until(hasty, 'the queue expires', isExpired, { from })
      expect(tookMs).toBeGreaterThanOrEqual(quick.mailboxLimits.expireMs - hasty.slackMs)
      expect(expired.map((one) => one.frame)).toEqual(['first', 'second'])
      expect(await a.backend.mailbox.take(peer)).toEqual([])
    })

    test('each message is either taken or expired', async () => {
      const a = await hasty.join()
      const { expireMs } = quick.mailboxLimits
      for (let tries = 1; ; tries++) {
        const peer = newPeer()
        const from = hasty.now()
        await a.backend.mailbox.put(peer, letter('late'))
        await hasty.pass(expireMs + 20)
        expect(await a.backend.mailbox.take(peer)).toEqual([])
        const expired = await a.backend.mailbox.expire(peer)
        // If the machine paused, the queue may have ended before we asked [I16], so try again.
        if (hasty.now() - from > 2 * expireMs && tries < 3) continue
        expect(expired.map((one) => one.frame)).toEqual(['late'])
        return
      }
    })

    test('[I16] a queue that no node asks for ends by itself', async () => {
      const a = await hasty.join()
      const peer = newPeer()
      await a.backend.mailbox.put(peer, letter('forgotten'))
      await hasty.pass(3 * quick.mailboxLimits.expireMs + 100)
      await a.backend.mailbox.put(newPeer(), letter('another'))
      expect(await a.backend.mailbox.expire(peer)).toEqual([])
    })
  })
}
