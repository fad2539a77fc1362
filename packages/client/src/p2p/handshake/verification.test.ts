import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../lib/base64.js'
import { FakeStream, rtcStreamOf } from '../../testing/fake-connection.js'
import { failure } from '../../testing/controllers.js'
import { nameFrom } from '../../testing/rendezvous.js'
import { Stream } from '../channel/streams.js'
import type { Verify, VerifyLine } from '../options.js'
import { Verification } from './verification.js'

const LOCAL = 'ab'.repeat(32)
const REMOTE = 'cd'.repeat(32)
const FINGERPRINTS = { local: LOCAL, remote: REMOTE }
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => new Uint8Array(values)
const frameOf = (message: Uint8Array): string => JSON.stringify({ type: 'verify', data: toBase64(message) })
const VERIFIED = '{"type":"verified"}'

/** One side of a verification. `rtc` is the stream under it. */
class Side {
  readonly rtc = new FakeStream()
  readonly stream = new Stream(rtcStreamOf(this.rtc), new FakeClock())
  readonly errors: string[] = []
  /** What `onDone` got, once for each call. */
  readonly done: (string | undefined)[] = []
  readonly verification: Verification

  constructor(verify: Verify, fingerprints: typeof FINGERPRINTS | null = FINGERPRINTS) {
    this.rtc.readyState = 'open'
    const verifier = {
      verify,
      local: nameFrom('alice'),
      remote: nameFrom('bob'),
      onError: (error: unknown) => void this.errors.push(String(error)),
    }
    this.verification = new Verification(verifier, {
      handshake: 'h1',
      label: 'share',
      isCaller: true,
      fingerprints: fingerprints ?? undefined,
      frames: this.stream,
      onDone: (problem) => void this.done.push(problem),
    })
  }

  async hear(...frames: unknown[]): Promise<void> {
    await settled()
    for (const frame of frames) this.rtc.hear(frame)
    await settled()
  }
}

/** A `verify` that waits until the test settles it, and the line that it got. */
function held(): { verify: Verify; line: () => VerifyLine; answer: (value: boolean) => void } {
  let line: VerifyLine | undefined
  let answer: (value: boolean) => void = () => undefined
  const verify: Verify = (_local, _remote, given) => {
    line = given
    return new Promise((resolve) => (answer = resolve))
  }
  return {
    verify,
    line: () => {
      if (line === undefined) throw new Error('verify was not called')
      return line
    },
    answer: (value) => answer(value),
  }
}

describe('[PP43] a verification', () => {
  it('tells both ends, the handshake, the label and the caller', async () => {
    const told: unknown[] = []
    const side = new Side(async (local, remote, { handshake, label, isCaller }) => {
      told.push(local, remote, handshake, label, isCaller)
      return true
    })
    await side.hear()
    expect(told).toEqual([
      { name: 'alice', fingerprint: LOCAL },
      { name: 'bob', fingerprint: REMOTE },
      'h1',
      'share',
      true,
    ])
  })

  it('succeeds when both sides have said so, in either order', async () => {
    for (const isFirst of [true, false]) {
      const { verify, answer } = held()
      const side = new Side(verify)
      await side.hear()
      if (isFirst) answer(true)
      await settled()
      expect(side.rtc.sent).toEqual(isFirst ? [VERIFIED] : [])
      await side.hear(VERIFIED)
      expect(side.done).toEqual(isFirst ? [undefined] : [])
      answer(true)
      await settled()
      expect(side.rtc.sent).toEqual([VERIFIED])
      expect(side.done).toEqual([undefined])
    }
  })

  it('carries messages both ways and in order, also those that come before anyone waits for them', async () => {
    const { verify, line } = held()
    const side = new Side(verify)
    await side.hear(frameOf(bytes(1)), frameOf(bytes()))
    const first = line().receive()
    expect([await first, await line().receive()]).toEqual([bytes(1), bytes()])
    const [third, fourth] = [line().receive(), line().receive()]
    await side.hear(frameOf(bytes(3)), frameOf(bytes(4)))
    expect(await Promise.all([third, fourth])).toEqual([bytes(3), bytes(4)])
    line().send(bytes(5, 6))
    expect(side.rtc.sent).toEqual([frameOf(bytes(5, 6))])
  })

  it('leaves to the channel what follows `verified`, although this side is not done', async () => {
    const { verify, answer } = held()
    const side = new Side(verify)
    await side.hear(VERIFIED, '{"type":"bye","messages":0}')
    answer(true)
    await settled()
    expect(side.done).toEqual([undefined])
    const heard: unknown[] = []
    side.stream.listen(
      (data) => heard.push(data),
      () => undefined,
    )
    await side.hear('later')
    expect(heard).toEqual(['{"type":"bye","messages":0}', 'later'])
  })

  it('fails a wait when the other side sends no more messages, or when `verify` has returned', async () => {
    const { verify, line, answer } = held()
    const side = new Side(verify)
    await side.hear()
    const waiting = failure(line().receive())
    await side.hear(VERIFIED)
    expect((await waiting).message).toContain('no more messages')
    expect((await failure(line().receive())).message).toContain('no more messages')
    expect(side.done).toEqual([])
    answer(true)
    await settled()
    expect((await failure(line().receive())).message).toBe('the verification is over')
    expect(() => line().send(bytes(1))).toThrow('the verification is over')
    expect(line().signal.aborted).toBe(false)
  })

  it('refuses more than 16 messages, and more than 4 KiB in one, from its own application', async () => {
    const { verify, line } = held()
    const side = new Side(verify)
    await side.hear()
    expect(() => line().send(new Uint8Array(4_097))).toThrow(RangeError)
    expect(() => line().send('text' as never)).toThrow(TypeError)
    for (let i = 0; i < 16; i++) line().send(new Uint8Array(4_096))
    expect(() => line().send(bytes(1))).toThrow('this is message 17, of 1 bytes')
    expect(side.rtc.sent).toHaveLength(16)
    expect(side.done).toEqual([])
  })
})

describe('[PP44] a verification fails', () => {
  it.each([
    ['returns false', async () => false, 'returned false', []],
    [
      'throws',
      () => {
        throw new Error('no key')
      },
      'failed: no key',
      ['Error: no key'],
    ],
    ['rejects', () => Promise.reject(new Error('no key')), 'failed: no key', ['Error: no key']],
    [
      'returns no boolean',
      async () => undefined as never,
      'must be true or false',
      ['TypeError: what `verify` returns must be true or false; it is undefined'],
    ],
  ] satisfies [string, Verify, string, string[]][])(
    'when `verify` %s',
    async (_, verify, problem, errors) => {
      const side = new Side(verify)
      await side.hear(VERIFIED)
      expect(side.done).toEqual([expect.stringContaining(problem)])
      expect(side.errors).toEqual(errors)
      expect(side.rtc.sent).toEqual([])
    },
  )

  it('when the stack names no fingerprint', async () => {
    const side = new Side(async () => true, null)
    await side.hear(VERIFIED)
    expect(side.done).toEqual([expect.stringContaining('names no SHA-256 fingerprint')])
  })

  it.each([
    ['a frame of the channel', '{"type":"bye","messages":0}'],
    ['bytes', new Uint8Array(8)],
    ['text that is not JSON', '{'],
    ['JSON that is not an object', '7'],
    ['data that is not base64', '{"type":"verify","data":"*"}'],
    ['no data', '{"type":"verify"}'],
    ['a message of 4,097 bytes', frameOf(new Uint8Array(4_097))],
    ['a frame of a megabyte', JSON.stringify({ type: 'verify', data: '', more: 'x'.repeat(1_000_000) })],
  ])('[PP45] at once when the other side sends %s', async (_, frame) => {
    const { verify, line } = held()
    const side = new Side(verify)
    await side.hear()
    const waiting = failure(line().receive())
    await side.hear(frame, VERIFIED)
    expect(side.done).toEqual([expect.stringContaining('the other peer has no `verify`')])
    expect(line().signal.aborted).toBe(true)
    expect(await waiting).toBe(line().signal.reason)
  })

  it('[PP45] at the 17th message of the other side, received or not', async () => {
    const { verify } = held()
    const side = new Side(verify)
    await side.hear(...Array.from({ length: 16 }, () => frameOf(new Uint8Array(4_096))))
    expect(side.done).toEqual([])
    await side.hear(frameOf(bytes()))
    expect(side.done).toEqual([expect.stringContaining('too many messages')])
  })

  it('without an `error` event when the attempt has ended, and without a report', async () => {
    const side = new Side(async (_local, _remote, line) => (await line.receive()).length > 0)
    await side.hear()
    side.verification.end('the path was lost')
    await side.hear(VERIFIED)
    expect([side.done, side.errors, side.rtc.sent]).toEqual([[], [], []])
  })

  it('without an `error` event when the other side sends too few messages', async () => {
    const side = new Side(async (_local, _remote, line) => (await line.receive()).length > 0)
    await side.hear(VERIFIED)
    expect(side.done).toEqual([expect.stringContaining('no more messages')])
    expect(side.errors).toEqual([])
  })
})
