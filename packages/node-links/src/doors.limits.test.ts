import { mintNodeId } from '@peerage/core'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TestLine } from './testing/door.js'
import type { Scene } from './testing/impostors.js'
import {
  certificateOf,
  closeScene,
  helloOf,
  openScene,
  record,
  strike,
  strikeTls,
  tokenOf,
} from './testing/impostors.js'

const PROOF_MS = 2_000
/** Of one address, at once. */
const UNPROVEN_SHARE = 32
const ACCEPTED_SHARE = 100
/** All of an address's share is there again. */
const SHARE_MS = 4_000

let scene: Scene
afterEach(() => closeScene(scene))

/** So many connections are being proven. */
const proving = async (count: number): Promise<void> =>
  vi.waitFor(() => expect(scene.target.clock.pending).toBe(count))
const refused = async (count: number): Promise<void> =>
  vi.waitFor(() => expect(scene.target.doors.refused).toBe(count))

function rightHello(): Buffer {
  const { neighbour, target } = scene
  return helloOf(scene, target.identity.plain ? { token: tokenOf(target) } : { from: neighbour.node })
}

/** The neighbour as it connects, up to and with its hello; without more of a link. */
function arrive(act: (socket: Socket) => void): Promise<Buffer> {
  const { neighbour, target } = scene
  return target.identity.plain ? strike(scene, act) : strikeTls(scene, certificateOf(neighbour), act)
}

/** Something that is over when the test says so. */
function wait(): { until: Promise<void>; over: () => void } {
  let over = (): void => undefined
  const until = new Promise<void>((resolve) => {
    over = resolve
  })
  return { until, over }
}

describe.each([
  ['TLS', false],
  ['plain', true],
])('[LINK10] over %s', (_what, plain) => {
  beforeEach(async () => {
    scene = await openScene(plain)
  })

  test('who says nothing is there for two seconds', async () => {
    const { target } = scene
    const struck = strike(scene, () => undefined)
    await proving(1)
    await target.clock.advance(PROOF_MS - 1)
    expect(target.doors.refused).toBe(0)
    await target.clock.advance(1)
    await struck
    await refused(1)
  })

  test('who says a byte now and then is there for two seconds', async () => {
    const { target } = scene
    const bytes = plain ? rightHello() : await record(scene)
    const before = target.doors.refused
    let say: (byte: Buffer) => void = () => undefined
    const struck = strike(scene, (socket) => {
      say = (byte) => void socket.write(byte)
    })
    await proving(1)
    for (let i = 0; i < 20; i++) {
      expect(target.doors.refused).toBe(before)
      say(bytes.subarray(i, i + 1))
      await target.clock.advance(PROOF_MS / 20)
    }
    await struck
    await refused(before + 1)
  })

  test('who stops within its proof is there for two seconds', async () => {
    const { target } = scene
    const all = plain ? rightHello() : await record(scene)
    // Of TLS: the first message without its end, and the first message alone.
    for (const bytes of [all.subarray(0, 60), all.subarray(0, plain ? -1 : 5 + all.readUInt16BE(3))]) {
      const before = target.doors.refused
      const struck = strike(scene, bytes)
      await proving(1)
      await target.clock.advance(PROOF_MS)
      await struck
      await refused(before + 1)
    }
  })

  test('who has a proof is there for two seconds without a hello', async () => {
    const { target } = scene
    const struck = arrive(() => undefined)
    await proving(1)
    await target.clock.advance(PROOF_MS)
    await struck
    await refused(1)
  })

  test('who has a proof gets no link from a store that answers too late', async () => {
    const { target, neighbour } = scene
    const store = wait()
    target.known = store.until
    const struck = arrive((socket) => void socket.write(rightHello()))
    await vi.waitFor(() => expect(target.looks).toBe(1))
    await target.clock.advance(PROOF_MS)
    await struck
    store.over()
    await refused(1)
    expect(target.accepted).toEqual([])
    target.known = undefined
    await (await TestLine.dial(neighbour, target)).speak()
  })

  test('a connection that is being proven ends when this process becomes another node', async () => {
    const { target, neighbour } = scene
    const struck = arrive(() => undefined)
    await proving(1)
    // The other way round: the neighbour does not answer the hello.
    const unanswered = wait()
    neighbour.known = unanswered.until
    const dialled = target.doors.dial(neighbour.node)
    await vi.waitFor(() => expect(neighbour.clock.pending).toBe(1))
    await target.become(mintNodeId())
    expect(await dialled).toBeUndefined()
    await struck
    unanswered.over()
    neighbour.known = undefined
    await (await TestLine.dial(neighbour, target)).speak()
  })

  test('a thousand at once: some are looked at, and those that have a link do not notice', async () => {
    const { target, neighbour, rogue } = scene
    const line = await TestLine.dial(neighbour, target)
    const handles = process.getActiveResourcesInfo().length
    const struck: Promise<Buffer>[] = []
    // The system keeps 511 until they are accepted; those beyond would try again after a second.
    while (scene.strikes < 1_000) {
      for (let i = 0; i < 250; i++) struck.push(strike(scene, () => undefined))
      await refused(scene.strikes - UNPROVEN_SHARE)
      expect(target.clock.pending).toBe(UNPROVEN_SHARE)
      await line.speak()
    }
    await target.clock.advance(PROOF_MS)
    await Promise.all(struck)
    await refused(1_000)
    await vi.waitFor(() => expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(handles))
    await (await TestLine.dial(rogue, target)).speak()
    await line.speak()
  })

  test('who says nothing, however often, leaves room for who comes from elsewhere', async () => {
    const { target, neighbour } = scene
    const struck = Array.from({ length: 200 }, () => strike(scene, () => undefined, '127.0.0.2'))
    await refused(200 - UNPROVEN_SHARE)
    await (await TestLine.dial(neighbour, target)).speak()
    await target.clock.advance(PROOF_MS)
    await Promise.all(struck)
  })

  test('who comes too often is refused, and leaves some of the rate for who comes from elsewhere', async () => {
    const { target, neighbour } = scene
    const knock = (): Promise<Buffer> => strike(scene, Buffer.alloc(600, 0xff), '127.0.0.2')
    for (let i = 0; i < ACCEPTED_SHARE; i++) await knock()
    const looks = vi.spyOn(target.clock, 'after')
    await knock()
    expect(looks).not.toHaveBeenCalled()
    await (await TestLine.dial(neighbour, target)).speak()
    looks.mockClear()
    await target.clock.advance(SHARE_MS)
    await knock()
    expect(looks).toHaveBeenCalled()
  })

  test('the doors close while connections are being proven on both sides', async () => {
    const { target, neighbour } = scene
    const store = wait()
    neighbour.known = store.until
    const struck = [strike(scene, () => undefined), arrive(() => undefined)]
    await proving(2)
    // One dials, and waits for the other's hello; one still waits for the store.
    const dialled = target.doors.dial(neighbour.node)
    const late = neighbour.doors.dial(target.node)
    await vi.waitFor(() => expect(target.clock.pending + neighbour.clock.pending).toBe(4))
    await Promise.all([target.doors.close(), neighbour.doors.close()])
    expect([target.clock.pending, neighbour.clock.pending]).toEqual([0, 0])
    store.over()
    expect(await Promise.all([dialled, late])).toEqual([undefined, undefined])
    await Promise.all(struck)
  })
})

test('[LINK10] without TLS, who is gone while the store is asked gets no link', async () => {
  scene = await openScene(true)
  const { target } = scene
  const store = wait()
  target.known = store.until
  await arrive((socket) => {
    socket.write(rightHello())
    void vi.waitFor(() => expect(target.looks).toBe(1)).then(() => socket.resetAndDestroy())
  })
  // By the time that this is over, the reset has been read.
  await strike(scene, Buffer.alloc(600, 0xff))
  store.over()
  await refused(2)
  expect(target.accepted).toEqual([])
})
