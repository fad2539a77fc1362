import { describe, expect, test } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import type { Swarm, TrackerFrame } from './wire.js'
import {
  decodeTrackerFrame,
  encodeFailure,
  encodeOffer,
  encodeReply,
  encodeScrape,
  encodeWarning,
} from './wire.js'

const HASH = '\0\u00ff"\\\n34567890123456ü'
const ID = '-WW0285-AbCdEfGhIjK\u0080'
const OTHER = '-WW0285-zzzzzzzzzzzz'
const hex = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('hex')

const offer = (n: number) => ({
  offer: { type: 'offer', sdp: `v=0\r\no=- ${n} "\\" ü\r\n` },
  offer_id: `offer-${n}-------------`.slice(0, 20),
})
const announce = {
  numwant: 5,
  uploaded: 0,
  downloaded: 0,
  left: 7,
  event: 'started',
  action: 'announce',
  info_hash: HASH,
  peer_id: ID,
  offers: [offer(1), offer(2)],
}
const answer = {
  action: 'announce',
  info_hash: HASH,
  peer_id: ID,
  to_peer_id: OTHER,
  answer: { type: 'answer', sdp: 'v=0\r\n' },
  offer_id: offer(1).offer_id,
}

function decode(frame: object): TrackerFrame {
  return decodeTrackerFrame(JSON.stringify(frame))
}

function swarmOf(infoHash: string): Swarm {
  const decoded = decode({ action: 'scrape', info_hash: infoHash })
  const [swarm] = decoded.type === 'scrape' ? decoded.swarms : []
  if (swarm === undefined) throw new Error(decoded.type)
  return swarm
}

function offersOf(frame: TrackerFrame): unknown[] {
  if (frame.type !== 'announce') throw new Error(frame.type)
  return frame.offers.map((one): unknown => JSON.parse(encodeOffer(one, frame.place)))
}

/** What a frame that a client gets must have, or bittorrent-tracker's client closes its socket or throws. */
function expectReadable(text: string): void {
  const { action, info_hash: infoHash } = JSON.parse(text) as Record<string, unknown>
  expect(['announce', 'scrape']).toContain(action)
  if (action === 'announce') expect(infoHash).toBeTypeOf('string')
}

describe('announces', () => {
  test('[WT2] the swarm and the member are the hex digits of the bytes, and the texts stay as sent', () => {
    expect(decode(announce)).toMatchObject({
      type: 'announce',
      place: { infoHash: HASH, room: hex(HASH), peerId: ID, member: hex(ID) },
      hasAll: false,
      dropped: 0,
    })
  })

  test('[WT2] an info_hash or peer_id that is not 20 characters up to U+00FF is refused, with the action', () => {
    for (const wrong of [
      'a'.repeat(19),
      'a'.repeat(21),
      '\u0100'.repeat(20),
      `${'a'.repeat(19)}\u{1f600}`,
      20,
      null,
    ]) {
      for (const key of ['info_hash', 'peer_id']) {
        const decoded = decode({ ...announce, [key]: wrong })
        if (decoded.type !== 'malformed') throw new Error(decoded.type)
        expect(JSON.parse(decoded.reply)).toEqual({
          action: 'announce',
          'failure reason': expect.stringContaining(`invalid ${key}`),
          info_hash: key === 'peer_id' ? HASH : '',
        })
      }
    }
  })

  test('[WT3] events: absent ones count as update, stopped leaves, and an unknown one is refused', () => {
    const typeOf = (event: unknown): string => decode({ ...announce, event }).type
    for (const event of [undefined, null, '', 'empty', 'started', 'completed', 'update', 'paused'])
      expect(typeOf(event)).toBe('announce')
    expect(typeOf('stopped')).toBe('stopped')
    for (const event of ['start', 1, true, {}, ['started']]) {
      expect(typeOf(event)).toBe('malformed')
    }
    expect(decode({ ...announce, event: 'x' })).toMatchObject({
      type: 'malformed',
      reply: encodeFailure('invalid event', HASH),
    })
  })

  test('[WT4] a member has the whole file if it says left 0 or completed', () => {
    const hasAll = (more: object): unknown => decode({ ...announce, ...more })
    expect(hasAll({ left: 0 })).toMatchObject({ hasAll: true })
    expect(hasAll({ event: 'completed' })).toMatchObject({ hasAll: true })
    for (const left of [undefined, null, 1, -1, '', false, []])
      expect(hasAll({ left })).toMatchObject({ hasAll: false })
  })

  test('[WT6] an offer is relayed with its type, sdp and offer_id as sent, and with the ids of its sender', () => {
    expect(offersOf(decode(announce))).toEqual(
      [1, 2].map((n) => ({ action: 'announce', ...offer(n), peer_id: ID, info_hash: HASH })),
    )
  })

  test('[WT6] of members with one key the last counts, escaped keys count, and no text can add a member', () => {
    const first = JSON.stringify(offer(1)).slice(1, -1)
    const text = ` {"offers":[1], "action":"announce","peer_id":"x","info_hash":${JSON.stringify(HASH)},
      "\\u006fffers" : [ {${first}, "offer":{"sdp":"a","type":"offer","s\\u0064p":"\\",\\"x\\":\\"" , "y":1}} , {${first}} ],
      "peer_id":${JSON.stringify(ID)}}`
    expect(offersOf(decodeTrackerFrame(text))).toEqual([
      {
        action: 'announce',
        offer: { type: 'offer', sdp: '","x":"' },
        offer_id: offer(1).offer_id,
        peer_id: ID,
        info_hash: HASH,
      },
      { action: 'announce', ...offer(1), peer_id: ID, info_hash: HASH },
    ])
  })

  test('[WT6] offers that are not valid are dropped one by one', () => {
    const bad = [
      null,
      1,
      'offer',
      [],
      {},
      { offer: null, offer_id: 'a' },
      { offer: 'v=0', offer_id: 'a' },
      { offer: { type: 'answer', sdp: 'v=0' }, offer_id: 'a' },
      { offer: { type: 'offer' }, offer_id: 'a' },
      { offer: { type: 'offer', sdp: 1 }, offer_id: 'a' },
      { offer: { type: 'offer', sdp: 'v=0' } },
      { offer: { type: 'offer', sdp: 'v=0' }, offer_id: 'a'.repeat(129) },
    ]
    const decoded = decode({ ...announce, offers: [offer(1), ...bad, offer(2)] })
    expect(decoded).toMatchObject({ dropped: bad.length })
    expect(offersOf(decoded)).toMatchObject([offer(1), offer(2)])
  })

  test('[WT6] at most 82 offers are read', () => {
    const offers = Array.from({ length: 100 }, (_, n) => offer(n))
    expect(offersOf(decode({ ...announce, offers }))).toHaveLength(82)
  })

  test('[WT6] without a list of offers there are none, and numwant changes nothing', () => {
    for (const offers of [undefined, null, [], 'abc', { length: 3 }, 5])
      expect(decode({ ...announce, numwant: 50, offers })).toMatchObject({ offers: [], dropped: 0 })
  })
})

describe('answers', () => {
  test('[WT8] an answer goes to its member, with the ids of its sender', () => {
    const decoded = decode(answer)
    if (decoded.type !== 'answer') throw new Error(decoded.type)
    expect(decoded.to).toBe(hex(OTHER))
    const { to_peer_id: _, ...rest } = answer
    expect(JSON.parse(decoded.frame)).toEqual(rest)
  })

  test('[WT8] an answer without a valid recipient, description or offer_id is refused', () => {
    for (const wrong of [
      { to_peer_id: undefined },
      { to_peer_id: 'a'.repeat(21) },
      { answer: 'v=0' },
      { answer: { type: 'offer', sdp: 'v=0' } },
      { answer: { type: 'answer' } },
      { offer_id: undefined },
      { offer_id: 1 },
    ]) {
      const decoded = decode({ ...answer, ...wrong })
      if (decoded.type !== 'malformed') throw new Error(decoded.type)
      expect(JSON.parse(decoded.reply)).toMatchObject({ action: 'announce', info_hash: HASH })
    }
  })
})

describe('scrapes', () => {
  const scrape = (infoHash: unknown): TrackerFrame => decode({ action: 'scrape', info_hash: infoHash })

  test('[WT9] one info_hash or a list of them is asked for, each once', () => {
    expect(scrape(HASH)).toEqual({ type: 'scrape', swarms: [{ infoHash: HASH, room: hex(HASH) }] })
    expect(scrape([HASH, OTHER, HASH])).toMatchObject({ swarms: [{ infoHash: HASH }, { infoHash: OTHER }] })
  })

  test('[WT9] a scrape of everything, of too many or of invalid ones is refused as a scrape', () => {
    const many = Array.from({ length: 65 }, (_, n) => String(n).padStart(20, '0'))
    expect(scrape(many.slice(1)).type).toBe('scrape')
    for (const asked of [undefined, null, [], many, 1, {}, [HASH, 'short'], [[HASH]]]) {
      const decoded = scrape(asked)
      if (decoded.type !== 'malformed') throw new Error(decoded.type)
      expect(JSON.parse(decoded.reply)).toEqual({ action: 'scrape', 'failure reason': expect.any(String) })
    }
  })

  test('[WT9] the answer has the sizes by info_hash', () => {
    const text = encodeScrape([swarmOf(HASH), swarmOf(OTHER)], [{ members: 5, marked: 2 }], 600_000)
    expect(JSON.parse(text)).toEqual({
      action: 'scrape',
      files: {
        [HASH]: { complete: 2, incomplete: 3, downloaded: 2 },
        [OTHER]: { complete: 0, incomplete: 0, downloaded: 0 },
      },
      flags: { min_request_interval: 600 },
    })
  })
})

test('[WT5] replies name the swarm as the client sent it', () => {
  const place = swarmOf(HASH)
  expect(JSON.parse(encodeReply(place, { members: 3, marked: 1 }, 119_700))).toEqual({
    action: 'announce',
    interval: 120,
    complete: 1,
    incomplete: 2,
    info_hash: HASH,
  })
  expect(JSON.parse(encodeWarning(place, 'later', 15_000))).toEqual({
    action: 'announce',
    'warning message': 'later',
    interval: 15,
    info_hash: HASH,
  })
})

test('[WT13] a frame full of empty offers, and one that is nested deeply, are read in a moment', () => {
  const empty = decode({ ...announce, offers: Array.from({ length: 20_000 }, () => ({})) })
  expect(empty).toMatchObject({ offers: [], dropped: 20_000 })
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
  const text = JSON.stringify({ ...announce, offers: ['DEEP', offer(1)] }).replace('"DEEP"', deep)
  expect(offersOf(decodeTrackerFrame(text))).toMatchObject([offer(1)])
})

test('[WT13] no malformed frame throws, and what comes of it is always readable for clients', () => {
  let frames = 0
  const valid = [{ ...announce, offers: [offer(1)] }, answer, { action: 'scrape', info_hash: [HASH, OTHER] }]
  const lengths = ['a'.repeat(19), 'a'.repeat(21), '\u0100'.repeat(20), '\u00ff'.repeat(20), '\0'.repeat(20)]
  const wrongIds = lengths.flatMap((text) =>
    ['info_hash', 'peer_id', 'to_peer_id', 'offer_id'].map((key) =>
      JSON.stringify({ ...answer, [key]: text }),
    ),
  )
  for (const text of [...wrongIds, ...malformedFrames(valid)]) {
    frames++
    const decoded = decodeTrackerFrame(text)
    if (decoded.type === 'malformed') expectReadable(decoded.reply)
    else if (decoded.type === 'answer') expectReadable(decoded.frame)
    else if (decoded.type === 'announce')
      for (const one of offersOf(decoded))
        expect(one).toMatchObject({ offer: { type: 'offer', sdp: expect.any(String) }, peer_id: ID })
  }
  expect(frames).toBeGreaterThan(1_000)
})
