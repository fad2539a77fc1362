import fc from 'fast-check'
import { expect, test } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import { decodePeerFrame } from './wire.js'

const topic = '1r2g3b'.repeat(5)

/** Every frame that trystero's ws-relay client sends. */
const valid = [
  { type: 'subscribe', topic },
  { type: 'unsubscribe', topic },
  { type: 'publish', topic, payload: '{"peerId":"Hx2aB","offer":"15,24$AbC="}' },
  { type: 'publish', topic, payload: { peerId: 'Hx2aB', answer: '15,24$AbC=' } },
]

test('[TR3] a subscription has one topic', () => {
  expect(decodePeerFrame('{"type":"subscribe","topic":"a"}')).toEqual({ type: 'subscribe', topics: ['a'] })
  expect(decodePeerFrame('{"type":"unsubscribe","topic":"a"}')).toEqual({
    type: 'unsubscribe',
    topics: ['a'],
  })
})

test('[TR4] the members get the topic and the payload as they were sent, and nothing else', () => {
  const frame = '{"type":"publish","more":1,"payload":{"n" :1e20},"topic":"r\\u00e4ume"}'
  expect(decodePeerFrame(frame)).toEqual({
    type: 'publish',
    topic: 'räume',
    text: '{"topic":"r\\u00e4ume","payload":{"n" :1e20}}',
    from: undefined,
    to: undefined,
  })
  fc.assert(
    fc.property(fc.json(), fc.string({ unit: 'binary' }), (payload, name) => {
      const read = decodePeerFrame(`{"type":"publish","topic":${JSON.stringify(name)},"payload":${payload}}`)
      const got: unknown = read.type === 'publish' ? JSON.parse(read.text) : read.type
      expect(got).toEqual({ topic: name, payload: JSON.parse(payload) })
    }),
  )
})

test('[TR5] unknown types are ignored, and what is no frame is malformed', () => {
  for (const frame of ['{}', '[]', '{"type":1,"topic":"a"}', '{"type":"ping"}', '{"topic":"a","payload":1}'])
    expect([frame, decodePeerFrame(frame).type]).toEqual([frame, 'ignored'])
  for (const frame of [
    '',
    'null',
    '{"type":"subscribe"}',
    '{"type":"subscribe","topics":["a"]}',
    '{"type":"unsubscribe","topic":1}',
    '{"type":"publish","topic":"a"}',
    '{"type":"publish","payload":"a"}',
    `{"type":"publish","topic":"a","payload":${'['.repeat(1_001)}${']'.repeat(1_001)}}`,
  ])
    expect([frame, decodePeerFrame(frame).type]).toEqual([frame, 'malformed'])
})

test('[TR5] every frame that is malformed in any place is read, and what it makes of a publication is JSON', () => {
  let count = 0
  for (const frame of malformedFrames(valid)) {
    count++
    const decoded = decodePeerFrame(frame)
    if (decoded.type !== 'publish') continue
    const got: unknown = JSON.parse(decoded.text)
    expect(Object.keys(got ?? {})).toEqual(['topic', 'payload'])
  }
  expect(count).toBeGreaterThan(500)
})
