import type { Name, NodeMessageOf, PeerMessage } from '@peerage/protocol'
import { parseName, parseRoom } from '@peerage/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import { connect } from '../entries/node.js'
import type { Peer } from '../peer.js'
import { Requests } from '../tier/requests.js'
import type { Room } from './room.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from '../testing/fake-tier.js'
import { Watches } from '../tier/watches.js'

// A busy or paused process reads several frames at once. So a frame that follows an answer is handled before the promise
// of the answer resolves.

let tier: FakeTier
let ann: Peer
let clock: FakeClock

beforeEach(async () => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
  const joining = connect('http://tier', { clock, transport: tier.open, p2p: false, name: 'ann' })
  await clock.advance(5)
  ann = await joining
})

function named(text: string): NodeMessageOf<'roomed'>['members'][number]['name'] {
  const name = parseName(text)
  if (!name.ok) throw new Error(name.problem)
  return name.value
}

function roomNamed(text: string): NodeMessageOf<'said'>['room'] {
  const room = parseRoom(text)
  if (!room.ok) throw new Error(room.problem)
  return room.value
}

/** The id of the newest request of this type, as soon as the SDK has sent it. */
function asked(type: 'join' | 'members' | 'watch' | 'part'): Promise<number> {
  return vi.waitFor(
    () => {
      const frame = tier.sent.findLast((one) => one.type === type)
      if (frame === undefined || !('id' in frame)) throw new Error(`no ${type} yet`)
      return frame.id
    },
    { timeout: 10_000 },
  )
}

const room = (() => {
  const parsed = parseRoom('hall')
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
})()

function list(id: number, names: string[], more = false): void {
  const members = names.map((name) => ({ name: named(name), since: 1, state: 'online' as const }))
  tier.hand('ann', { type: 'roomed', id, room, members, more })
}

function change(name: string, state: 'joined' | 'left' | 'away'): void {
  tier.hand('ann', { type: 'changed', room, members: [{ name: named(name), since: 1, state }] })
}

const standing = (hall: Room): string[] => hall.members.map(({ name, state }) => `${name} ${state}`)

test('a peer that joins right after the list was read is a member', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann'])
  change('bob', 'joined')
  expect(standing(await joining)).toEqual(['ann online', 'bob online'])
})

test('changes that arrive while a long list is read are applied to it', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann', 'bob', 'carol'], true)
  change('bob', 'left')
  change('carol', 'away')
  list(await asked('members'), ['dora'])
  expect(standing(await joining)).toEqual(['ann online', 'carol away', 'dora online'])
})

test('a change that arrives together with the answer to a watch is reported, and is the latest state', async () => {
  const heard: string[] = []
  ann.on('presence', ({ state }) => heard.push(state))
  const watching = ann.watch('bob')
  tier.hand('ann', {
    type: 'found',
    id: await asked('watch'),
    peers: [{ name: named('bob'), state: 'offline' }],
  })
  tier.hand('ann', { type: 'presence', name: named('bob'), state: 'online', since: 1 })
  expect(await watching).toMatchObject({ state: 'offline' })
  expect(heard).toEqual(['online'])
})

test('[WD16] the error of a room listener goes to the console, or to an error listener', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann'])
  const hall = await joining
  for (const member of hall.members) expect(Object.isFrozen(member)).toBe(true)
  hall.on('member', () => Promise.reject(new Error('rejected')))
  hall.on('member', () => {
    throw new Error('thrown')
  })
  const console_ = vi.spyOn(console, 'error').mockImplementation(() => {})
  try {
    change('bob', 'joined')
    await vi.waitFor(() => expect(console_).toHaveBeenCalledTimes(2))
    const errors: unknown[] = []
    ann.on('error', (error, stage) => errors.push([String(error), stage]))
    change('bob', 'left')
    await vi.waitFor(() => expect(errors).toHaveLength(2))
    expect(errors).toContainEqual(['Error: thrown', 'listener'])
    expect(console_).toHaveBeenCalledTimes(2)
  } finally {
    console_.mockRestore()
  }
})

test('a node that sends the same page of members twice is not asked again', async () => {
  const joining = ann.join('hall')
  const id = await asked('join')
  const page = { type: 'roomed', room: roomNamed('hall'), more: true } as const
  const members = [{ name: named('bob'), since: 1, state: 'online' }] as const
  tier.hand('ann', { ...page, id, members: [...members] })
  tier.hand('ann', { ...page, id: await asked('members'), members: [...members] })
  expect((await joining).members.map(({ name }) => name)).toEqual(['bob'])
})

test('[WD19] a room message that cannot be read is an error of the stage `body`, and the others arrive', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann'])
  const hall = await joining
  const heard: unknown[] = []
  const errors: unknown[] = []
  hall.on('message', (_from, data) => heard.push(data))
  ann.on('error', (error, stage) => errors.push([error instanceof Error && error.message, stage]))
  for (const body of ['{broken', '"fine"'])
    tier.hand('ann', { type: 'said', room: roomNamed(hall.name), from: named('bob'), since: 1, body })
  expect(heard).toEqual(['fine'])
  expect(errors).toEqual([[expect.stringContaining('what bob sent cannot be read: '), 'body']])
})

test('[WR7] [I15] a list of members that cannot be read after a reconnect is read again until a node answers', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann'])
  const hall = await joining
  const errors: string[] = []
  ann.on('error', (error) => errors.push(String(error)))
  tier.cut('ann')
  await clock.advance(3_000)
  const joins = (): number => tier.sent.filter(({ type }) => type === 'join').length
  for (let tries = 2; tries <= 4; tries++) {
    expect(joins()).toBe(tries)
    tier.hand('ann', { type: 'error', id: await asked('join'), code: 'registry-unavailable', detail: 'away' })
    await clock.advance(4_500)
  }
  expect(errors).toHaveLength(3)
  list(await asked('join'), ['ann', 'bob'])
  await vi.waitFor(() => expect(standing(hall)).toEqual(['ann online', 'bob online']))
  await clock.advance(60_000)
  expect(joins()).toBe(5)
})

test('[WR2] [I15] after a reconnect, the SDK asks to watch the names again until a node answers', async () => {
  const asked: PeerMessage[] = []
  const heard: string[] = []
  const requests = new Requests(clock, (frame) => asked.push(frame) > 0)
  const watches = new Watches(
    clock,
    requests,
    () => true,
    ({ state }) => heard.push(state),
  )
  const answer = (message: { type: 'error' | 'found'; peers?: [{ name: Name; state: 'online' }] }): void => {
    const last = asked.at(-1)
    const id = last && 'id' in last ? last.id : 0
    if (message.peers) requests.answer({ type: 'found', id, peers: message.peers })
    else requests.answer({ type: 'error', id, code: 'registry-unavailable', detail: 'away' })
  }
  void watches.watch(named('bob'))
  answer({ type: 'error' })
  watches.online()
  for (let tries = 2; tries <= 4; tries++) {
    expect(asked).toHaveLength(tries)
    answer({ type: 'error' })
    await clock.advance(4_500)
  }
  answer({ type: 'found', peers: [{ name: named('bob'), state: 'online' }] })
  expect(heard).toEqual(['online'])
  watches.online()
  requests.close()
  watches.close()
  await clock.advance(60_000)
  expect(asked).toHaveLength(6)
})

test('[WR13] after a reconnect, a name that a new token does not allow keeps no other from being watched', async () => {
  const names = ['ada', 'bob', 'carol', 'dora', 'eve'].map(named)
  const heard: string[] = []
  const requests = new Requests(clock, (frame) => {
    if (frame.type !== 'watch') return true
    const { id, names: some } = frame
    const peers = some.map((name) => ({ name, state: 'online' as const }))
    const refused = frame.names.includes(named('carol'))
    queueMicrotask(() =>
      requests.answer(
        refused ? { type: 'error', id, code: 'forbidden', detail: 'carol' } : { type: 'found', id, peers },
      ),
    )
    return true
  })
  const watches = new Watches(
    clock,
    requests,
    () => true,
    ({ name }) => heard.push(name),
  )
  await Promise.all(names.map((name) => watches.watch(name)))
  heard.length = 0
  watches.online()
  await vi.waitFor(() => expect(heard.toSorted()).toEqual(['ada', 'bob', 'dora', 'eve']))
})

test('[WR7] an aborted join leaves no member behind', async () => {
  const abort = new AbortController()
  const joining = ann.join('hall', { signal: abort.signal })
  await asked('join')
  abort.abort(new Error('changed my mind'))
  await expect(joining).rejects.toThrow('changed my mind')
  expect(await asked('part')).toBeGreaterThan(0)
})

test('[WR7] a peer that has joined a room twice leaves it with the second leave', async () => {
  const firstJoining = ann.join('hall')
  list(await asked('join'), ['ann'])
  const first = await firstJoining
  const secondJoining = ann.join('hall')
  await vi.waitFor(() => expect(tier.sent.filter(({ type }) => type === 'join')).toHaveLength(2))
  list(await asked('join'), ['ann'])
  const second = await secondJoining
  await first.leave()
  expect(tier.sent.filter(({ type }) => type === 'part')).toEqual([])
  change('bob', 'joined')
  expect(standing(second)).toEqual(['ann online', 'bob online'])
  void second.leave()
  expect(await asked('part')).toBeGreaterThan(0)
})

test('[WR15] a room that a new token does not allow tells why, and is empty', async () => {
  const joining = ann.join('hall')
  list(await asked('join'), ['ann', 'bob'])
  const hall = await joining
  const errors: unknown[] = []
  ann.on('error', (error, stage) => errors.push([error, stage]))
  const changes: unknown[] = []
  hall.on('member', ({ name, state }) => changes.push(`${name} ${state}`))
  const before = tier.sent.length
  const since = 1
  tier.hand('ann', { type: 'changed', room, members: [{ name: named('ann'), since, state: 'left' }] })
  await vi.waitFor(() => expect(tier.sent.slice(before)).toMatchObject([{ type: 'join' }]))
  tier.hand('ann', { type: 'error', id: await asked('join'), code: 'forbidden', detail: 'no such grant' })
  await vi.waitFor(() => expect(hall.members).toEqual([]))
  expect(changes).toEqual(['ann left', 'bob left'])
  expect(errors).toEqual([[expect.objectContaining({ code: 'forbidden' }), 'node']])
})
