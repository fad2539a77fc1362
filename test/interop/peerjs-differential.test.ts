import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { PeerJsPeer, candidate, offer } from '@peerage/test-support/peerjs.js'
import { startPeerage, startReference, type Side } from './two-servers.js'

/**
 * How Peerage differs from `peer@1.0.2`. Each difference has a test below that shows both answers, so that we notice when
 * a difference is gone. Everything else must be equal, byte for byte.
 */
const differences = {
  'resume-opens':
    'when the same id and token connect again, Peerage sends OPEN and closes the old socket; `peer` does neither',
  'drop-keeps-id':
    'after a drop without a close frame the id is kept for its token; `peer` gives it to anybody at once',
  'leave-closes':
    'LEAVE without dst also closes the socket; with `peer` it stays open, cannot be reached and can still send',
  'id-grammar': 'an id that is over 128 bytes or not printable is refused with ERROR; `peer` accepts it',
  'dst-grammar': "a message to an impossible id expires at once; with `peer` after the queue's time",
  'frame-limit': 'a frame over 64 KiB closes the socket with 1009; `peer` accepts 100 MiB',
  'queue-bound': 'a full queue refuses messages with EXPIRE at once; the queue of `peer` is unbounded',
  'own-text':
    'a payload is passed on as its sender wrote it; `peer` parses it and writes it again, without spaces and with all digits of 1e20',
  'deep-payload':
    'a payload that is nested too deeply for JSON.stringify is dropped; `peer` closes the socket of its recipient',
  'other-paths': 'an upgrade on another path is left to other handlers or gets 404; `peer` answers 400',
  'reserved-keys': 'the keys v1 and peerage are not served',
  'foreign-keys':
    'HTTP requests below a key that is not served are left to other handlers; `peer` answers /id below any key',
  greeting: 'the greeting names Peerage',
} as const
type Difference = keyof typeof differences
const shown = new Set<Difference>()

/** Adds a test that shows one difference. */
function differs(difference: Difference, body: () => Promise<void>): void {
  test(`difference ${difference}: ${differences[difference]}`, async () => {
    await body()
    shown.add(difference)
  })
}

let reference: Side
let ours: Side
const sides = (): readonly [Side, Side] => [reference, ours]

/** Longer than all these tests, because the two servers would not send EXPIRE at the same moment. */
const LATER_MS = 3_600_000

beforeAll(async () => {
  reference = await startReference({ allowDiscovery: true, expireMs: LATER_MS })
  ours = await startPeerage({ allowDiscovery: true, expireMs: LATER_MS })
})
afterAll(async () => {
  await Promise.all([reference.stop(), ours.stop()])
})

/** A step. `actor` is a socket. Several sockets may ask for one id. */
type Step =
  | { do: 'connect'; actor: number; id: string; token: string; key: string }
  | { do: 'send'; actor: number; text: string; binary: boolean }
  | { do: 'close'; actor: number; code: number | undefined }
  | { do: 'cut'; actor: number }

/** What a socket received. */
interface Seen {
  frames: string[]
  end: { code: number; reason: string } | undefined
}

/** Everything that the sockets of two pages with peerjs@1.5.5 in Chromium sent to `peer@1.0.2`. */
interface Recorded {
  name: string
  steps: { do: 'connect' | 'send' | 'close'; actor: number; text?: string; code?: number }[]
}
const recorded: Recorded[] = JSON.parse(
  readFileSync(new URL('./peerjs-recorded.json', import.meta.url), 'utf8'),
)

let runs = 0

/** Runs the steps on one server. Each step is complete before the next begins, so the result does not depend on time. */
async function drive(side: Side, steps: readonly Step[], unique: string): Promise<Seen[]> {
  const actors = new Map<number, { peer: PeerJsPeer; id: string; online: boolean }>()
  let marks = 0
  /** Waits until the server has handled all frames from this actor, and all frames for it have arrived. */
  const mark = async (actor: { peer: PeerJsPeer; id: string }): Promise<void> => {
    marks++
    const payload = `mark ${marks}`
    actor.peer.send({ type: 'OFFER', dst: actor.id, payload })
    await actor.peer.until(payload, () => actor.peer.frames.some((frame) => frame.includes(payload)))
  }
  const holder = (id: string): number | undefined =>
    [...actors].find(([, actor]) => actor.online && actor.id === id)?.[0]
  const all: PeerJsPeer[] = []
  for (const step of steps) {
    const actor = actors.get(step.actor)
    switch (step.do) {
      case 'connect': {
        if (actor) break
        const id = `${unique}${step.id}`
        const before = holder(id)
        const peer = new PeerJsPeer({ url: side.url, id, token: step.token, key: step.key })
        all.push(peer)
        await once(peer.socket, 'open')
        const served = step.key === 'peerjs'
        const resumes = served && before !== undefined && actors.get(before)?.peer.token === step.token
        const entered = { peer, id, online: true }
        actors.set(step.actor, entered)
        if (served && (before === undefined || resumes)) await mark(entered)
        else {
          entered.online = false
          await peer.ended()
        }
        if (!resumes) break
        // [resume-opens] From here on the old socket does nothing, so we compare only its end.
        const old = actors.get(before ?? -1)
        if (old) old.online = false
        if (side.name === 'peer') {
          peer.frames.unshift('{"type":"OPEN"}')
          await old?.peer.close()
          if (old) old.peer.end = { code: 4500, reason: 'the holder connected again elsewhere' }
        } else await old?.peer.ended()
        break
      }
      case 'send':
        if (!actor?.online) break
        actor.peer.socket.send(step.text.replaceAll('§', unique), { binary: step.binary })
        await mark(actor)
        break
      case 'close':
      case 'cut':
        if (!actor?.online) break
        actor.online = false
        await (step.do === 'cut' ? actor.peer.cut() : actor.peer.close(step.code))
        await actor.peer.until('the end', () => true)
        await gone(side, actor.id)
    }
  }
  for (const actor of actors.values()) if (actor.online) await mark(actor)
  const seen = all.map((peer) => ({
    frames: peer.frames
      .filter((frame) => !frame.includes('"mark '))
      .map((frame) => frame.replaceAll(unique, '§')),
    end: peer.end,
  }))
  await Promise.all(all.map((peer) => peer.close()))
  return seen
}

async function gone(side: Side, id: string): Promise<void> {
  const deadline = Date.now() + 10_000
  while (side.holds(id)) {
    if (Date.now() > deadline) throw new Error(`${side.name} still holds ${id}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

async function compare(steps: readonly Step[]): Promise<void> {
  runs++
  const unique = `${runs.toString(36)}-`
  const [expected, seen] = await Promise.all(sides().map((side) => drive(side, steps, unique)))
  // The difference `own-text`: parsed and written again, our frames equal those of `peer`.
  expect(seen?.map(({ frames, end }) => ({ frames: frames.map(rewritten), end }))).toEqual(expected)
}

const rewritten = (frame: string): string => JSON.stringify(JSON.parse(frame))

const ids = ['a', 'b', 'c']
const id = fc.constantFrom(...ids)
const known = ids.map((one) => `§${one}`)
const dst = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...known) },
  { weight: 2, arbitrary: fc.constantFrom('§nobody', '§A', '§a ', '__proto__', 'constructor') },
  { weight: 1, arbitrary: fc.constantFrom<unknown>('', null, 0, false) },
)
const type = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'EXPIRE', 'HEARTBEAT') },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>('OPEN', 'ID-TAKEN', 'ERROR', 'offer', '', 7, null, ['OFFER'], {}),
  },
)
const fields = fc
  .record(
    {
      type,
      dst,
      payload: fc.jsonValue({ maxDepth: 4 }),
      src: fc.constantFrom<unknown>('§b', 1, null),
      extra: fc.jsonValue(),
    },
    { requiredKeys: ['type', 'dst'] },
  )
  // LEAVE without dst is the difference `leave-closes`.
  .filter((message) => !(message.type === 'LEAVE' && !message.dst))
const message = fc
  .tuple(fields, fc.constantFrom('', ' ', '  ', '\t'), fc.boolean())
  .map(([message, indent, reversed]) => {
    const entries = Object.entries(message)
    return JSON.stringify(Object.fromEntries(reversed ? entries.toReversed() : entries), null, indent)
  })
const garbage = fc.constantFrom(
  '',
  'x',
  '{',
  'null',
  '0',
  '"OFFER"',
  '[]',
  '{}',
  '[null]',
  '{"type":"OFFER","dst":"§b"}}',
  '\u{FEFF}{"type":"OFFER","dst":"§b"}',
  '{"type":"OFFER","dst":"§b","dst":"§c","payload":1,"payload":{"b":1,"a":2,"1":3}}',
  '{"type":"OFFER","dst":"§b","payload":{"n":1.0,"e":1E2,"big":12345678901234567890,"u":"\\u0041\\/\\ud800"}}',
  '{"type":"OFFER","dst":"§b","payload":{"__proto__":{"x":1},"toJSON":"x"}}',
  '{"__proto__":{"dst":"§b"},"type":"OFFER"}',
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('connect' as const),
      actor: fc.integer({ min: 0, max: 7 }),
      id,
      token: fc.constantFrom('t1', 't1', 't1', 't2'),
      key: fc.constantFrom('peerjs', 'peerjs', 'peerjs', 'peerjs', 'peerjs', 'other'),
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      actor: fc.integer({ min: 0, max: 7 }),
      text: fc.oneof({ weight: 6, arbitrary: message }, { weight: 1, arbitrary: garbage }),
      binary: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('close' as const),
      actor: fc.integer({ min: 0, max: 7 }),
      code: fc.constantFrom(undefined, 1000, 1001, 3000, 4999),
    }),
  },
)
const opening: Step[] = ids.map((one, actor) => ({
  do: 'connect',
  actor,
  id: one,
  token: 't1',
  key: 'peerjs',
}))

describe('the same frames to both servers', () => {
  test('[PJ6] with generated sequences every socket receives the same from both servers, byte for byte', async () => {
    const scenario = fc
      .array(step, { minLength: 5, maxLength: 40 })
      .map((steps) => [...opening.slice(0, 2), ...steps])
    // Several scenarios run at once, each with its own ids, because a refusal takes time.
    const several = fc.array(scenario, { minLength: 8, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(several, async (scenarios) => {
        await Promise.all(scenarios.map(compare))
      }),
      { numRuns: 20, endOnFailure: true },
    )
  }, 120_000)

  test('[PJ6] sequences recorded from two peerjs@1.5.5 in Chromium give the same with both servers', async () => {
    expect(recorded.length).toBe(4)
    for (const session of recorded) {
      const steps = session.steps.map((step): Step => {
        const { actor } = step
        if (step.do === 'connect')
          return { do: 'connect', actor, id: String(actor), token: 't', key: 'peerjs' }
        if (step.do === 'send') return { do: 'send', actor, text: step.text ?? '', binary: false }
        return { do: 'close', actor, code: step.code ?? undefined }
      })
      await compare(steps)
    }
  })

  test('[PJ3] any query that both refuse', async () => {
    const word = fc.oneof(
      fc.constantFrom('', 'peerjs', 'a', '%', '%zz', '+', 'ä', '😀', '?', '__proto__', '%00%20'.slice(3)),
      fc.string({ maxLength: 8 }).map(encodeURIComponent),
    )
    const pair = fc.tuple(fc.constantFrom('id', 'token', 'key', 'ID', 'x'), word)
    const refused = fc
      .array(pair, { maxLength: 6 })
      .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'))
      // Valid queries are compared elsewhere. Here they would only hold ids.
      .filter((query) => {
        // If a parameter occurs twice, both servers read the last.
        const { id, token, key } = Object.fromEntries(new URLSearchParams(query.split('#')[0]))
        return !(id && token && key)
      })
    await fc.assert(
      fc.asyncProperty(refused, async (query) => {
        const [expected, seen] = await Promise.all(
          sides().map(async (side) => {
            const peer = new PeerJsPeer({ url: side.url, id: 'q', query })
            return { end: await peer.ended(), frames: peer.frames }
          }),
        )
        expect(seen).toEqual(expected)
      }),
      { numRuns: 100 },
    )
  })

  test('[PJ9] if the recipient stays absent, both servers send the same EXPIREs after the same time', async () => {
    const [left, right] = await Promise.all([
      startReference({ expireMs: 1_500 }),
      startPeerage({ expireMs: 1_500 }),
    ])
    const play = async (side: Side): Promise<{ seen: string[][]; afterMs: boolean }> => {
      const [a, b] = await Promise.all(['a', 'b'].map((one) => PeerJsPeer.open({ url: side.url, id: one })))
      if (!a || !b) throw new Error('unreachable')
      const from = performance.now()
      for (let n = 0; n < 3; n++) {
        a.send(candidate('nobody', n))
        a.send(offer('not me', n))
        b.send(offer('nobody', n))
        b.send({ type: 'LEAVE', dst: 'nobody at all' })
        b.send({ type: 'EXPIRE', dst: 'nobody at all' })
      }
      await Promise.all([a.next('EXPIRE', 1), b.next('EXPIRE')])
      // `peer` uses a clock of whole milliseconds, so the bound has a tolerance.
      const afterMs = performance.now() - from >= 1_450
      for (const peer of [a, b]) {
        peer.send(offer(peer.id, 'last'))
        await peer.next('OFFER')
      }
      const seen = [a, b].map((peer) => peer.frames.toSorted())
      await Promise.all([a.close(), b.close()])
      return { seen, afterMs }
    }
    const [expected, seen] = await Promise.all([play(left), play(right)])
    expect(seen).toEqual(expected)
    expect(seen.afterMs).toBe(true)
    await Promise.all([left.stop(), right.stop()])
  })

  test('[PJ3] at the limit of concurrent connections', async () => {
    const [left, right] = await Promise.all([
      startReference({ concurrentLimit: 2 }),
      startPeerage({ concurrentLimit: 2 }),
    ])
    const play = async (side: Side): Promise<unknown> => {
      const peers = [
        await PeerJsPeer.open({ url: side.url, id: 'a' }),
        await PeerJsPeer.open({ url: side.url, id: 'b' }),
      ]
      const over = new PeerJsPeer({ url: side.url, id: 'c' })
      const end = await over.ended()
      const taken = new PeerJsPeer({ url: side.url, id: 'a' })
      await taken.ended()
      await peers[0]?.close()
      await gone(side, 'a')
      await PeerJsPeer.open({ url: side.url, id: 'c' }).then((peer) => peer.close())
      await peers[1]?.close()
      return { end, frames: over.frames, taken: taken.frames }
    }
    const [expected, seen] = await Promise.all([play(left), play(right)])
    expect(seen).toEqual(expected)
    await Promise.all([left.stop(), right.stop()])
  })
})

describe('the same HTTP requests to both servers', () => {
  const ask = async (url: string, path: string, init: RequestInit): Promise<unknown> => {
    const answer = await fetch(`${url}${path}`, init)
    const text = await answer.text()
    return {
      status: answer.status,
      // The ids are random, but have the same form.
      body: text.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID'),
      type: answer.headers.get('content-type'),
      allowOrigin: answer.headers.get('access-control-allow-origin'),
      vary: answer.headers.get('vary'),
      methods: answer.headers.get('access-control-allow-methods'),
      headers: answer.headers.get('access-control-allow-headers'),
    }
  }
  const asked: [string, RequestInit][] = [
    ['/peerjs/id', {}],
    ['/peerjs/id?ts=17&version=1.5.5', { headers: { origin: 'https://a.example' } }],
    ['/peerjs/id/', {}],
    ['/peerjs/ID', {}],
    ['/peerjs/id', { method: 'HEAD' }],
    ['/peerjs/peers', { headers: { origin: 'https://a.example' } }],
    ['/peerjs/peers', {}],
    ['/peerjs/id', { method: 'OPTIONS' }],
    [
      '/peerjs/id',
      { method: 'OPTIONS', headers: { origin: 'null', 'access-control-request-headers': 'a, b' } },
    ],
    ['/peerjs/peers', { method: 'OPTIONS', headers: { origin: 'https://a.example' } }],
  ]

  test('[PJ12] ids, peers and preflights, with and without discovery, with and without origins', async () => {
    for (const options of [
      {},
      { allowDiscovery: true },
      { cors: ['https://a.example', 'https://b.example'] },
      { path: '/some/where', allowDiscovery: true },
      { key: 'own key' },
    ]) {
      const [left, right] = await Promise.all([startReference(options), startPeerage(options)])
      const base = options.path ?? ''
      for (const [path, init] of asked) {
        const keyed = `${base}${path.replace('/peerjs/', `/${encodeURIComponent(options.key ?? 'peerjs')}/`)}`
        const [expected, seen] = await Promise.all([ask(left.url, keyed, init), ask(right.url, keyed, init)])
        expect({ path, init, answer: seen }).toEqual({ path, init, answer: expected })
      }
      await Promise.all([left.stop(), right.stop()])
    }
  })

  test('[PJ12] /peers lists the connected peers', async () => {
    const [left, right] = await Promise.all([
      startReference({ allowDiscovery: true }),
      startPeerage({ allowDiscovery: true }),
    ])
    const play = async (side: Side): Promise<unknown> => {
      const peers = []
      for (const one of ['x', 'ä b', '"']) peers.push(await PeerJsPeer.open({ url: side.url, id: one }))
      const listed = await ask(side.url, '/peerjs/peers', {})
      const ids: unknown = await (await fetch(`${side.url}/peerjs/peers`)).json()
      await Promise.all(peers.map((peer) => peer.close()))
      // The ids have no order.
      return [Object.assign({}, listed, { body: '' }), new Set(ids as string[])]
    }
    const [expected, seen] = await Promise.all([play(left), play(right)])
    expect(seen).toEqual(expected)
    await Promise.all([left.stop(), right.stop()])
  })
})

describe('the differences', () => {
  const both = async <T>(act: (side: Side) => Promise<T>): Promise<{ peer: T; peerage: T }> => {
    const [peer, peerage] = await Promise.all(sides().map(act))
    if (peer === undefined || peerage === undefined) throw new Error('unreachable: there are two')
    return { peer, peerage }
  }
  /** Waits until the server has handled the peer's frames: the peer sends itself an offer and receives it. */
  const settled = async (peer: PeerJsPeer): Promise<void> => {
    peer.send(offer(peer.id, 'settled'))
    await peer.until(
      'itself',
      () => peer.end !== undefined || peer.frames.some((frame) => frame.includes('"settled"')),
    )
  }

  differs('resume-opens', async () => {
    const seen = await both(async (side) => {
      const old = await PeerJsPeer.open({ url: side.url, id: 'resume', token: 't' })
      const fresh = new PeerJsPeer({ url: side.url, id: 'resume', token: 't' })
      await once(fresh.socket, 'open')
      await settled(fresh)
      if (side.name === 'peerage') await old.ended()
      const result = { first: fresh.frames[0], old: old.end?.code }
      await Promise.all([old.close(), fresh.close()])
      return result
    })
    expect(seen.peer).toEqual({
      first: '{"type":"OFFER","src":"resume","dst":"resume","payload":"settled"}',
      old: undefined,
    })
    expect(seen.peerage).toEqual({ first: '{"type":"OPEN"}', old: 4500 })
  })

  differs('drop-keeps-id', async () => {
    const seen = await both(async (side) => {
      await PeerJsPeer.open({ url: side.url, id: 'dropped', token: 't' }).then((peer) => peer.cut())
      await gone(side, 'dropped')
      const stranger = new PeerJsPeer({ url: side.url, id: 'dropped', token: 'other' })
      await stranger.until('an answer', () => stranger.frames.length > 0)
      await stranger.close()
      await gone(side, 'dropped')
      const back = await PeerJsPeer.open({ url: side.url, id: 'dropped', token: 't' })
      await back.close()
      return stranger.frames[0]
    })
    expect(seen).toEqual({
      peer: '{"type":"OPEN"}',
      peerage: '{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}',
    })
  })

  differs('leave-closes', async () => {
    const seen = await both(async (side) => {
      const peer = await PeerJsPeer.open({ url: side.url, id: 'leaver' })
      const other = await PeerJsPeer.open({ url: side.url, id: 'other' })
      peer.send({ type: 'LEAVE' })
      if (side.name === 'peerage') await peer.ended()
      else {
        peer.send(offer('other', 'from nowhere'))
        await other.next('OFFER')
      }
      const again = await PeerJsPeer.open({ url: side.url, id: 'leaver', token: 'other' })
      const end = peer.end?.code
      await Promise.all([peer, other, again].map((one) => one.close()))
      return { end, heard: other.received.length }
    })
    expect(seen).toEqual({ peer: { end: undefined, heard: 1 }, peerage: { end: 4501, heard: 0 } })
  })

  differs('id-grammar', async () => {
    const seen = await both(async (side) => {
      const answers: string[] = []
      for (const id of ['x'.repeat(129), 'a\nb']) {
        const peer = new PeerJsPeer({ url: side.url, id })
        await peer.until('an answer', () => peer.frames.length > 0)
        answers.push(peer.frames[0]?.slice(0, 57) ?? '')
        await peer.close()
      }
      return answers
    })
    expect(seen.peer).toEqual(['{"type":"OPEN"}', '{"type":"OPEN"}'])
    expect(seen.peerage).toEqual(
      Array.from({ length: 2 }, () => '{"type":"ERROR","payload":{"msg":"Invalid id provided: na'),
    )
  })

  differs('dst-grammar', async () => {
    const seen = await both(async (side) => {
      const peer = await PeerJsPeer.open({ url: side.url, id: 'grammar' })
      peer.send(offer('x'.repeat(129)))
      peer.send({ type: 'OFFER', dst: 5 })
      await settled(peer)
      const expired = peer.received.filter(({ type }) => type === 'EXPIRE').map(({ src }) => src)
      await peer.close()
      return expired
    })
    expect(seen).toEqual({ peer: [], peerage: ['x'.repeat(129), 5] })
  })

  differs('frame-limit', async () => {
    const seen = await both(async (side) => {
      const peer = await PeerJsPeer.open({ url: side.url, id: 'big' })
      peer.send(offer('big', 'x'.repeat(1024 * 1024)))
      await peer.until('an answer', () => peer.end !== undefined || peer.frames.length > 1)
      const result = { end: peer.end?.code, length: peer.frames[1]?.length }
      await peer.close()
      return result
    })
    expect(seen.peer.length).toBeGreaterThan(1024 * 1024)
    expect(seen.peerage).toEqual({ end: 1009, length: undefined })
  })

  differs('queue-bound', async () => {
    const seen = await both(async (side) => {
      const peer = await PeerJsPeer.open({ url: side.url, id: 'many' })
      for (let n = 0; n < 1_000; n++) peer.send(candidate('much awaited', n))
      await settled(peer)
      const awaited = await PeerJsPeer.open({ url: side.url, id: 'much awaited' })
      await settled(awaited)
      const result = {
        waited: awaited.received.filter(({ type }) => type === 'CANDIDATE').length,
        // EXPIRE is sent at most once a second [PJ9], so a slow machine may get several.
        expired: new Set(peer.received.filter(({ type }) => type === 'EXPIRE').map(({ src }) => src)).size,
      }
      await Promise.all([peer.close(), awaited.close()])
      return result
    })
    expect(seen).toEqual({ peer: { waited: 1_000, expired: 0 }, peerage: { waited: 256, expired: 1 } })
  })

  differs('own-text', async () => {
    const seen = await both(async (side) => {
      const [sender, recipient] = [
        await PeerJsPeer.open({ url: side.url, id: 'text sender' }),
        await PeerJsPeer.open({ url: side.url, id: 'text recipient' }),
      ]
      sender.send('{"type":"OFFER","dst":"text recipient","payload":[1e20, 1]}')
      await recipient.until('its offer', () => recipient.frames.some((text) => text.includes('OFFER')))
      const frame = recipient.frames.find((text) => text.includes('OFFER'))
      await Promise.all([sender.close(), recipient.close()])
      return frame
    })
    const frame = '{"type":"OFFER","src":"text sender","dst":"text recipient","payload":'
    expect(seen).toEqual({
      peer: `${frame}[100000000000000000000,1]}`,
      peerage: `${frame}[1e20, 1]}`,
    })
  })

  differs('deep-payload', async () => {
    const seen = await both(async (side) => {
      const [sender, recipient] = [
        await PeerJsPeer.open({ url: side.url, id: 'deep sender' }),
        await PeerJsPeer.open({ url: side.url, id: 'deep recipient' }),
      ]
      const depth = 15_000
      sender.send(
        `{"type":"OFFER","dst":"deep recipient","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`,
      )
      await settled(sender)
      if (side.name === 'peer') await recipient.ended()
      else await settled(recipient)
      const ended = recipient.end !== undefined
      await Promise.all([sender.close(), recipient.close()])
      return { ended, told: sender.received.filter(({ type }) => type === 'LEAVE').length }
    })
    expect(seen).toEqual({ peer: { ended: true, told: 1 }, peerage: { ended: false, told: 0 } })
  })

  differs('other-paths', async () => {
    const seen = await both(async (side) => {
      const socket = new WebSocket(`${side.url.replace('http', 'ws')}/elsewhere?key=peerjs&id=a&token=t`)
      const [error] = (await once(socket, 'error')) as [Error]
      return error.message
    })
    expect(seen).toEqual({
      peer: 'Unexpected server response: 400',
      peerage: 'Unexpected server response: 404',
    })
  })

  differs('reserved-keys', async () => {
    const [left, right] = await Promise.all([startReference({ key: 'v1' }), startPeerage({ key: '*' })])
    await PeerJsPeer.open({ url: left.url, id: 'a', key: 'v1' }).then((peer) => peer.close())
    const refused = new PeerJsPeer({ url: right.url, id: 'a', key: 'v1' })
    await refused.ended()
    expect(refused.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid key provided"}}'])
    await Promise.all([left.stop(), right.stop()])
  })

  differs('foreign-keys', async () => {
    const seen = await both(async (side) => (await fetch(`${side.url}/other/id`)).status)
    expect(seen).toEqual({ peer: 200, peerage: 404 })
  })

  differs('greeting', async () => {
    const seen = await both(async (side) => {
      const answer: unknown = await (await fetch(`${side.url}/`)).json()
      return typeof answer === 'object' && answer !== null ? Object.entries(answer) : []
    })
    expect(seen.peer.map(([key]) => key)).toEqual(seen.peerage.map(([key]) => key))
    expect(seen.peerage[0]).toEqual(['name', 'Peerage'])
    expect(seen.peer[0]).not.toEqual(seen.peerage[0])
  })

  test('every difference of the table has been shown', () => {
    expect([...shown].sort()).toEqual(Object.keys(differences).sort())
  })
})
