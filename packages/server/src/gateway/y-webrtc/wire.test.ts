import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RoomText } from '@peerage/core'
import { parseRoomId } from '@peerage/protocol'
import { malformedFrames } from '../../testing/malformed-frames.js'
import { decodePeerFrame, yWebrtc } from './wire.js'

const uuid = '8f1c6a3e-7a53-4b8e-9d0d-6a2a2c9f3b11'
const other = '0b9d5d7e-1111-4222-8333-444455556666'

/** Every frame that y-webrtc 10.3.0 sends. */
const valid = [
  { type: 'subscribe', topics: ['room', 'räume/2'] },
  { type: 'unsubscribe', topics: ['room'] },
  { type: 'publish', topic: 'room', data: { type: 'announce', from: uuid } },
  {
    type: 'publish',
    topic: 'room',
    data: {
      type: 'signal',
      from: uuid,
      to: other,
      token: 1_700_000_000_000.25,
      signal: { type: 'offer', sdp: 'v=0\r\n' },
    },
  },
  { type: 'publish', topic: 'room', data: 'QUVTLUdDTQ==' },
  { type: 'ping' },
]

/** The frame that a member gets of a publication. */
function relayed(frame: string, members = 3): string {
  const decoded = decodePeerFrame(frame)
  if (decoded.type !== 'publish') throw new Error(`not a publication: ${frame}`)
  const room = parseRoomId('default:y-webrtc/room')
  if (!room.ok) throw new Error(room.problem)
  const message: RoomText = {
    type: 'published',
    room: room.value,
    text: decoded.text,
    to: decoded.to,
    members,
    sender: undefined,
  }
  return yWebrtc.frameOf(message)
}

test('[YW3] a list of topics is read, and items that are no strings are left out', () => {
  const read = (frame: unknown) => decodePeerFrame(JSON.stringify(frame))
  expect(read({ type: 'subscribe', topics: ['a', 1, null, 'b', ['c'], ''] })).toEqual({
    type: 'subscribe',
    topics: ['a', 'b', ''],
  })
  expect(read({ type: 'unsubscribe', topics: ['a'] })).toEqual({ type: 'unsubscribe', topics: ['a'] })
  for (const frame of [
    { type: 'subscribe' },
    { type: 'subscribe', topics: [] },
    { type: 'subscribe', topics: null },
  ])
    expect(read(frame)).toEqual({ type: 'subscribe', topics: [] })
})

test('[YW4] a publication arrives with all its fields as they were sent, and with `clients`', () => {
  const frame = '{"type":"publish", "topic":"r\\u00e4ume","data":{"n":1e20,"x":[1.0]},"more":null }\n'
  expect(relayed(frame)).toBe(
    '{"type":"publish", "topic":"r\\u00e4ume","data":{"n":1e20,"x":[1.0]},"more":null ,"clients":3}',
  )
  expect(JSON.parse(relayed('{"type":"publish","clients":99,"topic":"a"}'))).toEqual({
    type: 'publish',
    topic: 'a',
    clients: 3,
  })
})

test('[YW4] whatever JSON the data is, it arrives unchanged', () => {
  fc.assert(
    fc.property(fc.json(), fc.string({ unit: 'binary' }), fc.nat(), (data, topic, members) => {
      const got: unknown = JSON.parse(
        relayed(`{"type":"publish","topic":${JSON.stringify(topic)},"data":${data}}`, members),
      )
      expect(got).toEqual({ type: 'publish', topic, data: JSON.parse(data), clients: members })
    }),
  )
})

test('[YW7] the ids of a publication are read if they are in the clear', () => {
  const ids = (data: unknown) => {
    const frame = decodePeerFrame(JSON.stringify({ type: 'publish', topic: 'a', data }))
    return frame.type === 'publish' ? [frame.from, frame.to] : frame.type
  }
  expect(ids({ type: 'announce', from: uuid })).toEqual([uuid, undefined])
  expect(ids({ type: 'signal', from: uuid, to: other })).toEqual([uuid, other])
  for (const data of [
    'QUVTLUdDTQ==',
    null,
    5,
    [{ from: uuid }],
    {},
    { from: 1, to: ['a'] },
    { from: '', to: 'a b' },
  ])
    expect([data, ids(data)]).toEqual([data, [undefined, undefined]])
  expect(ids({ from: 'a'.repeat(128), to: 'a'.repeat(129) })).toEqual(['a'.repeat(128), undefined])
})

test('[YW8] a ping has an answer', () => {
  expect(decodePeerFrame('{"type":"ping"}')).toEqual({ type: 'answered', frame: '{"type":"pong"}' })
})

test('[YW9] unknown types are ignored, and what is no frame is malformed', () => {
  for (const frame of [
    '{}',
    '[]',
    '{"type":1}',
    '{"type":"pong"}',
    '{"type":["ping"]}',
    '{"type":"toString"}',
  ])
    expect([frame, decodePeerFrame(frame).type]).toEqual([frame, 'ignored'])
  for (const frame of [
    '',
    'null',
    '"ping"',
    'ping',
    '{"type":"ping"',
    '{"type":"subscribe","topics":"a"}',
    '{"type":"subscribe","topics":{"0":"a"}}',
    '{"type":"publish","data":1}',
    '{"type":"publish","topic":["a"]}',
    `{"type":"publish","topic":"a","data":${'['.repeat(1_001)}${']'.repeat(1_001)}}`,
  ])
    expect([frame, decodePeerFrame(frame).type]).toEqual([frame, 'malformed'])
})

test('[YW9] every frame that is malformed in any place is read, and what it makes of a publication is JSON', () => {
  let count = 0
  for (const frame of malformedFrames(valid)) {
    count++
    const decoded = decodePeerFrame(frame)
    if (decoded.type !== 'publish') continue
    const got: unknown = JSON.parse(relayed(frame))
    expect(got).toMatchObject({ type: 'publish', topic: decoded.topic, clients: 3 })
  }
  expect(count).toBeGreaterThan(2_000)
  expect(Object.keys(Object.prototype)).toEqual([])
})
