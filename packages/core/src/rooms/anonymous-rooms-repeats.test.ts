import type { RoomId } from '@peerage/protocol'
import { parseRoomId } from '@peerage/protocol'
import { expect, test } from 'vitest'
import type { Node } from '../node.js'
import { must } from '../testing/cluster.js'
import type { TestCluster } from '../testing/nodes.js'
import { cutOff, cutOf, two } from '../testing/nodes.js'
import type { RecordedConnection } from '../testing/peers.js'
import { comeIn } from '../testing/peers.js'
import { KEEP_MS } from './sent-texts.js'

const room = (text: string): RoomId => must(parseRoomId(`default:y-webrtc/${text}`))
const hall = room('hall')

/** Two nodes with a member each: alice on a, carol on b. Both have spoken. */
async function pair() {
  const made = await two()
  const { a, b, clock } = made
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  await a.anonymousRooms.say(alice.session, hall, 'alice')
  await b.anonymousRooms.say(carol.session, hall, 'carol')
  await clock.advance(1)
  for (const { connection } of [alice, carol]) connection.sent.length = 0
  return { ...made, alice, carol }
}

const texts = ({ sent }: RecordedConnection): string[] =>
  sent.flatMap((message) => (message.type === 'published' ? [message.text] : []))

/** Nothing that is published on the channel reaches this node, until the returned function is called. */
function deafen({ cuts }: Pick<TestCluster, 'cuts'>, node: Node): () => void {
  const cut = cutOf(cuts, node)
  cut.cut = true
  // The node itself can still publish.
  const { rooms } = cut.backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = async (...args) => {
    cut.cut = false
    const published = publish(...args)
    cut.cut = true
    return published
  }
  return () => {
    cut.cut = false
    rooms.publish = publish
  }
}

test('[I17] texts that the store refuses arrive once and in order when it is back', async () => {
  const { a, b, clock, cluster, alice, carol } = await pair()
  cluster.setDown(true)
  const said = ['1', '2', '3'].map((text) => a.anonymousRooms.say(alice.session, hall, text))
  await clock.advance(3_000)
  said.push(b.anonymousRooms.say(carol.session, hall, '4'))
  await clock.advance(1_000)
  expect(texts(carol.connection)).toEqual([])
  cluster.setDown(false)
  await clock.advance(500)
  expect(await Promise.all(said)).toEqual(['sent', 'sent', 'sent', 'sent'])
  for (const { connection } of [alice, carol]) {
    expect(texts(connection).toSorted()).toEqual(['1', '2', '3', '4'])
    expect(texts(connection).filter((text) => text !== '4')).toEqual(['1', '2', '3'])
  }
})

test('[I17] a text that is said while an earlier one waits comes after it', async () => {
  const { a, clock, cuts, alice, carol } = await pair()
  const { rooms } = cutOf(cuts, a).backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = () => Promise.resolve('unavailable')
  const first = a.anonymousRooms.say(alice.session, hall, 'offer')
  await clock.advance(1)
  rooms.publish = publish
  const second = a.anonymousRooms.say(alice.session, hall, 'candidate')
  await clock.advance(500)
  expect(await Promise.all([first, second])).toEqual(['sent', 'sent'])
  expect(texts(carol.connection)).toEqual(['offer', 'candidate'])
})

test('[I17] after 15 s a text that the store refuses is given up, and never comes', async () => {
  const { a, clock, cluster, alice, carol } = await pair()
  cluster.setDown(true)
  let outcome: string | undefined
  void a.anonymousRooms.say(alice.session, hall, 'late').then((said) => (outcome = said))
  await clock.advance(KEEP_MS - 500)
  expect(outcome).toBeUndefined()
  await clock.advance(1_000)
  expect(outcome).toBe('unavailable')
  cluster.setDown(false)
  await clock.advance(5_000)
  expect([texts(alice.connection), texts(carol.connection)]).toEqual([[], []])
})

test('[I17] what a node has missed in a doubt comes from the other nodes, once and in order, to those that were there', async () => {
  const made = await pair()
  const { a, b, clock, alice, carol } = made
  const hear = deafen(made, b)
  for (const text of ['offer', 'candidate 1']) await a.anonymousRooms.say(alice.session, hall, text, 'carol')
  await clock.advance(100)
  hear()
  const newcomer = comeIn(b)
  await b.anonymousRooms.join(newcomer.session, hall)
  await a.anonymousRooms.say(alice.session, hall, 'candidate 2', 'carol')
  await clock.advance(10)
  expect(texts(carol.connection)).toEqual(['candidate 2'])
  b.anonymousRooms.doubt()
  await clock.advance(1_000)
  expect(texts(carol.connection)).toEqual(['candidate 2', 'offer', 'candidate 1'])
  expect(texts(newcomer.connection)).toEqual(['candidate 2'])
  expect(texts(alice.connection)).toEqual(['offer', 'candidate 1', 'candidate 2'])
  b.anonymousRooms.doubt()
  a.anonymousRooms.doubt()
  await clock.advance(5_000)
  expect([carol, alice, newcomer].map(({ connection }) => connection.sent.length)).toEqual([3, 3, 1])
})

test('[I17] texts of a node that had a doubt come without a question: its question may be lost, too', async () => {
  const made = await pair()
  const { a, b, clock, alice, carol } = made
  const hear = deafen(made, b)
  await a.anonymousRooms.say(alice.session, hall, 'offer')
  await clock.advance(100)
  hear()
  a.anonymousRooms.doubt()
  await clock.advance(1_000)
  expect(texts(carol.connection)).toEqual(['offer'])
})

test('a peer that has spoken after a text is not given it again: who sent the text hears the peer', async () => {
  const made = await two()
  const { a, b, clock } = made
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  const hear = deafen(made, b)
  await a.anonymousRooms.say(alice.session, hall, 'alice')
  await clock.advance(100)
  hear()
  await b.anonymousRooms.say(carol.session, hall, 'carol')
  b.anonymousRooms.doubt()
  await clock.advance(1_000)
  expect(texts(alice.connection)).toEqual(['alice', 'carol'])
  expect(texts(carol.connection)).toEqual(['carol'])
})

// Once, two documents never met: an offer was said while the announcement that it answered had not come back yet, so it
// counted as one that was in the room before.
test('[I17] a reply to a first text that has not come back yet reaches its peer', async () => {
  const made = await two()
  const { a, b, clock } = made
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await a.anonymousRooms.say(alice.session, hall, 'alice')
  await b.anonymousRooms.join(carol.session, hall)
  await a.anonymousRooms.say(alice.session, hall, 'before', 'carol')
  await clock.advance(100)
  const hear = deafen(made, b)
  await b.anonymousRooms.say(carol.session, hall, 'carol')
  await clock.advance(100)
  expect(texts(alice.connection)).toEqual(['alice', 'before', 'carol'])
  await a.anonymousRooms.say(alice.session, hall, 'offer', 'carol')
  await a.anonymousRooms.say(alice.session, hall, 'to all')
  await clock.advance(100)
  hear()
  b.anonymousRooms.doubt()
  await clock.advance(1_000)
  expect(texts(carol.connection)).toEqual(['before', 'carol', 'offer'])
})

test('[I17] a text that is sent and does not come back is sent again with the next beats', async () => {
  const { a, clock, cuts, times, alice, carol } = await pair()
  const { rooms } = cutOf(cuts, a).backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = () => Promise.resolve('sent')
  await a.anonymousRooms.say(alice.session, hall, 'lost')
  rooms.publish = publish
  await clock.advance(3 * times.beatMs)
  for (const { connection } of [alice, carol]) expect(texts(connection)).toEqual(['lost'])
})

test('a text whose answer was lost is not sent twice to anybody', async () => {
  const { a, clock, cuts, alice, carol } = await pair()
  const { rooms } = cutOf(cuts, a).backend
  const publish = rooms.publish.bind(rooms)
  let calls = 0
  rooms.publish = async (...args) => {
    calls++
    await publish(...args)
    return calls === 1 ? 'unavailable' : 'sent'
  }
  expect(await a.anonymousRooms.say(alice.session, hall, 'answer')).toBe('sent')
  await clock.advance(5_000)
  for (const { connection } of [alice, carol]) expect(texts(connection)).toEqual(['answer'])
})

test('a peer that comes back does not get a text that its former connection had, though the sender did not hear it', async () => {
  const made = await pair()
  const { a, b, clock, alice, carol, times } = made
  const hear = deafen(made, a)
  await a.anonymousRooms.say(alice.session, hall, 'answer', 'carol')
  await clock.advance(1)
  expect(texts(carol.connection)).toEqual(['answer'])
  await b.end(carol.connection.id, 'left')
  const back = comeIn(b)
  await b.anonymousRooms.join(back.session, hall)
  hear()
  a.anonymousRooms.doubt()
  await clock.advance(3 * times.beatMs)
  expect(texts(alice.connection)).toEqual(['answer'])
  expect(texts(back.connection)).toEqual([])
})

test('a lapse changes the NodeId, and texts are still known by their sender', async () => {
  const { a, clock, cuts, times, alice, carol } = await pair()
  await a.anonymousRooms.say(alice.session, hall, 'before')
  await clock.advance(1)
  const former = a.id
  cutOff(cuts, a, true)
  await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
  const said = a.anonymousRooms.say(alice.session, hall, 'after')
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  expect([a.id === former, await said]).toEqual([false, 'sent'])
  for (const { connection } of [alice, carol]) expect(texts(connection)).toEqual(['before', 'after'])
})

test('what is kept is bounded, what is dropped early is reported, and nothing is kept after its time', async () => {
  const { a, clock, errors, times, alice, cluster } = await pair()
  const long = 'x'.repeat(60_000)
  for (let i = 0; i < 100; i++) await a.anonymousRooms.say(alice.session, hall, long)
  await clock.advance(times.beatMs)
  expect(errors.map(String)).toEqual([expect.stringMatching(/^Error: 8\d texts in rooms/u)])
  cluster.setDown(true)
  const refused = Array.from({ length: 600 }, () => a.anonymousRooms.say(alice.session, hall, 'x'))
  const outcome = (said: Promise<string> | undefined): Promise<string | undefined> =>
    Promise.race([said, clock.advance(1_000).then(() => 'waits')])
  expect([await outcome(refused[0]), await outcome(refused.at(-1))]).toEqual(['waits', 'unavailable'])
  await clock.advance(KEEP_MS + 1_000)
  expect(new Set(await Promise.all(refused))).toEqual(new Set(['unavailable']))
})

test('a node that asks again and again makes the others repeat their texts once a second', async () => {
  const { a, b, clock, cuts, alice } = await pair()
  await a.anonymousRooms.say(alice.session, hall, 'offer')
  let published = 0
  const { rooms } = cutOf(cuts, a).backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = (...args) => {
    if (args[1].includes('offer')) published++
    return publish(...args)
  }
  for (let i = 0; i < 40; i++) {
    b.anonymousRooms.doubt()
    await clock.advance(100)
  }
  expect(published).toBeGreaterThan(2)
  expect(published).toBeLessThan(6)
})

test('[I16] a node that stops answers those whose texts wait', async () => {
  const { a, clock, cluster, alice } = await pair()
  cluster.setDown(true)
  const said = a.anonymousRooms.say(alice.session, hall, 'waits')
  await clock.advance(1)
  a.anonymousRooms.stop()
  expect(await said).toBe('unavailable')
  expect(await a.anonymousRooms.say(alice.session, hall, 'more')).toBe('unavailable')
})
