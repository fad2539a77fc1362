import { memberLimits } from '@peerage/core'
import { describe, expect, test } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import {
  decodePeerFrame,
  decodeUrl,
  encodeIdAssigned,
  encodeNewPeer,
  encodePeerLeft,
  encodeSignal,
  isRoomPath,
  mintId,
  offersTo,
} from './wire.js'

const ID = '67e55044-10b1-426f-9247-bb680e5fe0c8'

function asked(path: string, query = '') {
  const read = decodeUrl('/matchbox', path, query)
  return read.ok ? read.value : read.problem
}

describe('the URL', () => {
  test('[MB1] the path has one segment or none', () => {
    for (const path of ['/matchbox', '/matchbox/', '/matchbox/chess', '/matchbox/a%2Fb'])
      expect([path, isRoomPath('/matchbox', path)]).toEqual([path, true])
    for (const path of ['/matchboxes', '/matchbox/a/b', '/matchbox/chess/', '/match', '/'])
      expect([path, isRoomPath('/matchbox', path)]).toEqual([path, false])
  })

  test('[MB1] the segment is decoded, and no segment is the room without a name', () => {
    expect(asked('/matchbox/a%20b%2Fc')).toMatchObject({ text: 'a b/c', room: 'a b/c' })
    const nameless = asked('/matchbox')
    expect(nameless).toMatchObject({ text: '', room: expect.stringMatching(/^#[\w-]{43}$/) })
    expect(asked('/matchbox/')).toEqual(nameless)
  })

  test('[MB5] a text that is no room of ours, or that looks like a hash, is hashed', () => {
    const rooms = ['x'.repeat(129), 'a%0Ab', '%23a', ''].map((text) => asked(`/matchbox/${text}`))
    for (const room of rooms) expect(room).toMatchObject({ room: expect.stringMatching(/^#[\w-]{43}$/) })
    expect(new Set(rooms.map((room) => JSON.stringify(room))).size).toBe(4)
  })

  test('[MB10] next is a number of seats, and anything else means nothing', () => {
    const seats = (query: string) => asked('/matchbox/r', query)
    expect(seats('?next=2')).toMatchObject({ seats: 2 })
    expect(seats('?next=2&next=3')).toMatchObject({ seats: 3 })
    for (const query of [
      '',
      '?next=',
      '?next=0',
      '?next=abc',
      '?next=-1',
      '?next=+2',
      '?next=1.5',
      '?next=0x2',
    ])
      expect([query, seats(query)]).toEqual([query, expect.objectContaining({ seats: undefined })])
  })

  test('[MB1] an escape that is no UTF-8, a bad app and too large a group are refused with what is wrong', () => {
    expect(asked('/matchbox/%ff')).toContain('percent-encoded')
    expect(asked('/matchbox/r', '?app=Bad')).toContain('app must be')
    expect(asked('/matchbox/r', `?next=${memberLimits.seats}`)).toMatchObject({ seats: memberLimits.seats })
    expect(asked('/matchbox/r', `?next=${memberLimits.seats + 1}`)).toBe(
      `next must be at most ${memberLimits.seats}`,
    )
    expect(asked('/matchbox/r', `?next=${'9'.repeat(400)}`)).toBe(
      `next must be at most ${memberLimits.seats}`,
    )
  })
})

describe('frames', () => {
  test('[MB8] a signal keeps the text of its data', () => {
    for (const data of ['{"Offer":"v=0\\r\\n"}', '1e20', 'null', ' [ 1.0 ,{"b":1,"a":2}] ', '"\\u0041"'])
      expect(decodePeerFrame(`{"Signal":{"receiver":"${ID}","data":${data}}}`)).toEqual({
        type: 'signal',
        to: ID,
        data: data.trim(),
      })
    expect(encodeSignal(mintId(), '1e20')).toMatch(/^\{"Signal":\{"sender":"[\da-f-]{36}","data":1e20\}\}$/)
  })

  test('[MB8] a receiver in capitals is the same peer', () => {
    const text = JSON.stringify({ Signal: { receiver: ID.toUpperCase(), data: 1 } })
    expect(decodePeerFrame(text)).toMatchObject({ type: 'signal', to: ID })
  })

  test('[MB9] KeepAlive is a bare text', () => {
    expect(decodePeerFrame('"KeepAlive"')).toEqual({ type: 'keep-alive' })
  })

  test('[MB2] every other text is malformed, and the answer says what is wrong', () => {
    for (const [text, problem] of [
      ['', 'a frame is'],
      ['x', 'a frame is'],
      ['"keepalive"', 'a frame is'],
      ['{"KeepAlive":null}', 'a frame is'],
      [`{"NewPeer":"${ID}"}`, 'a frame is'],
      [`[{"Signal":{"receiver":"${ID}","data":1}}]`, 'a frame is'],
      ['{"Signal":1}', 'Signal must be an object'],
      [`{"Signal":["${ID}",1]}`, 'Signal must be an object'],
      [`{"Signal":{"receiver":"${ID}"}}`, 'Signal must have data'],
      ['{"Signal":{"data":1}}', 'receiver must be a UUID'],
      ['{"Signal":{"receiver":7,"data":1}}', 'receiver must be a UUID'],
      ['{"Signal":{"receiver":"bob","data":1}}', 'receiver must be a UUID'],
      [`{"Signal":{"receiver":"{${ID}}","data":1}}`, 'receiver must be a UUID'],
    ] as const)
      expect([text, decodePeerFrame(text)]).toEqual([
        text,
        { type: 'malformed', problem: expect.stringContaining(problem) },
      ])
  })

  test('[MB2] no text throws, and whatever is a signal has data that is JSON', () => {
    let signals = 0
    for (const text of malformedFrames([{ Signal: { receiver: ID, data: { Offer: 'v=0' } } }])) {
      const frame = decodePeerFrame(text)
      if (frame.type !== 'signal') continue
      signals++
      const sent = JSON.parse(encodeSignal(frame.to, frame.data)) as { Signal: { sender: string } }
      expect(Object.keys(sent)).toEqual(['Signal'])
      expect(Object.keys(sent.Signal)).toEqual(['sender', 'data'])
      expect(sent.Signal.sender).toBe(ID)
    }
    expect(signals).toBeGreaterThan(20)
  })

  test('[MB4] [MB6] [MB7] the frames of the node are those of matchbox_server', () => {
    const id = mintId()
    expect([encodeIdAssigned(id), encodeNewPeer(id), encodePeerLeft(id)]).toEqual([
      `{"IdAssigned":"${id}"}`,
      `{"NewPeer":"${id}"}`,
      `{"PeerLeft":"${id}"}`,
    ])
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  })
})

test('[MB6] of two peers exactly one makes the offer', () => {
  const members = [mintId(), mintId(), mintId()].flatMap((name) => [1, 2].map((since) => ({ name, since })))
  for (const one of members)
    for (const other of members) expect(offersTo(one, other) !== offersTo(other, one)).toBe(one !== other)
})
