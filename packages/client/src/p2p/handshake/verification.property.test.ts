import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { FakeStream, rtcStreamOf } from '../../testing/fake-connection.js'
import { nameFrom } from '../../testing/rendezvous.js'
import { Stream } from '../channel/streams.js'
import type { VerifyLine } from '../options.js'
import { Verification } from './verification.js'

/** What a `verify` does: it sends and receives in any order, and then answers. */
interface Script {
  acts: ('send' | 'receive')[]
  answer: boolean
}

const script: fc.Arbitrary<Script> = fc.record({
  acts: fc.array(fc.constantFrom('send' as const, 'receive' as const), { maxLength: 6 }),
  answer: fc.boolean(),
})

/** One of two connected sides. Its frames wait in `rtc.sent` until the test delivers them. */
class Side {
  readonly rtc = new FakeStream()
  readonly stream = new Stream(rtcStreamOf(this.rtc), new FakeClock())
  readonly received: number[] = []
  readonly errors: unknown[] = []
  readonly done: (string | undefined)[] = []
  readonly verification: Verification
  saidYes = false

  constructor({ acts, answer }: Script, isCaller: boolean) {
    const verify = async (_local: unknown, _remote: unknown, line: VerifyLine): Promise<boolean> => {
      let sent = 0
      for (const act of acts) {
        if (act === 'send') line.send(new Uint8Array([sent++]))
        else this.received.push((await line.receive())[0] ?? -1)
      }
      this.saidYes = answer
      return answer
    }
    this.verification = new Verification(
      {
        verify,
        local: nameFrom('alice'),
        remote: nameFrom('bob'),
        onError: (error) => this.errors.push(error),
      },
      {
        handshake: 'h1',
        label: '',
        isCaller,
        fingerprints: { local: 'ab', remote: 'cd' },
        frames: this.stream,
        onDone: (problem) => {
          this.done.push(problem)
          // An open channel sends at once.
          if (problem === undefined) this.rtc.send('first of the channel')
        },
      },
    )
  }
}

it('[PP43] [PP44] opens only if both have said yes, and passes each message once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      script,
      script,
      fc.array(fc.boolean(), { maxLength: 40 }),
      async (ours, theirs, turns) => {
        const [here, there] = [new Side(ours, true), new Side(theirs, false)]
        await settled()
        const deliver = async (from: Side, to: Side): Promise<void> => {
          const frame = from.rtc.sent.shift()
          if (frame !== undefined) to.rtc.hear(frame)
          await settled()
        }
        for (const isHere of turns) await (isHere ? deliver(here, there) : deliver(there, here))
        while (here.rtc.sent.length + there.rtc.sent.length > 0) {
          await deliver(here, there)
          await deliver(there, here)
        }
        const isAgreed = here.saidYes && there.saidYes
        for (const side of [here, there]) {
          expect(side.done.length).toBeLessThanOrEqual(1)
          expect(side.done.includes(undefined)).toBe(isAgreed)
          expect(side.received).toEqual(side.received.map((_, index) => index))
          expect(side.errors).toEqual([])
          const heard: unknown[] = []
          side.verification.end('the test is over')
          side.stream.listen(
            (data) => heard.push(data),
            () => undefined,
          )
          await settled()
          if (isAgreed) expect(heard).toEqual(['first of the channel'])
        }
      },
    ),
    { numRuns: 300 },
  )
})
