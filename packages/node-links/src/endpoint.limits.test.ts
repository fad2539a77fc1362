import { mintNodeId } from '@peerage/core'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { soon, TestLine } from './testing/test-endpoint.js'
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
/** The limits of one address. */
const UNPROVEN_SHARE = 32
const ACCEPTED_SHARE = 100
/** The limit of all addresses. */
const ACCEPTED_PER_SECOND = 50
/** After this time an address has its whole share again. */
const SHARE_MS = 4_000

let scene: Scene
afterEach(() => closeScene(scene))

/** Waits until this many connections are without a proof. */
const proving = async (count: number): Promise<void> =>
  vi.waitFor(() => expect(scene.target.clock.pending).toBe(count), soon)
const refused = async (count: number): Promise<void> =>
  vi.waitFor(() => expect(scene.target.endpoint.refused).toBe(count), soon)

function rightHello(): Buffer {
  const { neighbour, target } = scene
  return helloOf(scene, target.identity.plain ? { token: tokenOf(target) } : { from: neighbour.node })
}

/** Connects as the neighbour does: with its certificate over TLS, without any proof over plain. */
function arrive(act: (socket: Socket) => void): Promise<Buffer> {
  const { neighbour, target } = scene
  return target.identity.plain ? strike(scene, act) : strikeTls(scene, certificateOf(neighbour), act)
}

const GARBAGE = Buffer.alloc(600, 0xff)

async function connectOften(address: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await strike(scene, GARBAGE, address)
}

/** Whether a connection from this address gets time for its proof. */
async function isAdmitted(address: string): Promise<boolean> {
  const timers = vi.spyOn(scene.target.clock, 'after')
  await strike(scene, GARBAGE, address)
  const isTimed = timers.mock.calls.length > 0
  timers.mockRestore()
  return isTimed
}

/** A promise, and a function that resolves it. */
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

  test('a connection that sends nothing is closed after two seconds', async () => {
    const { target } = scene
    const struck = strike(scene, () => undefined)
    await proving(1)
    await target.clock.advance(PROOF_MS - 1)
    expect(target.endpoint.refused).toBe(0)
    await target.clock.advance(1)
    await struck
    await refused(1)
  })

  test('a connection that sends a byte now and then is closed after two seconds', async () => {
    const { target } = scene
    const bytes = plain ? rightHello() : await record(scene)
    const before = target.endpoint.refused
    let say: (byte: Buffer) => void = () => undefined
    const struck = strike(scene, (socket) => {
      say = (byte) => void socket.write(byte)
    })
    await proving(1)
    for (let i = 0; i < 20; i++) {
      expect(target.endpoint.refused).toBe(before)
      say(bytes.subarray(i, i + 1))
      await target.clock.advance(PROOF_MS / 20)
    }
    await struck
    await refused(before + 1)
  })

  test('a connection that stops within its proof is closed after two seconds', async () => {
    const { target } = scene
    const all = plain ? rightHello() : await record(scene)
    // With TLS, one client sends an incomplete first message, and another sends a complete one.
    for (const bytes of [all.subarray(0, 60), all.subarray(0, plain ? -1 : 5 + all.readUInt16BE(3))]) {
      const before = target.endpoint.refused
      const struck = strike(scene, bytes)
      await proving(1)
      await target.clock.advance(PROOF_MS)
      await struck
      await refused(before + 1)
    }
  })

  test('a node that has connected and sends no hello is closed after two seconds', async () => {
    const { target } = scene
    const struck = arrive(() => undefined)
    await proving(1)
    await target.clock.advance(PROOF_MS)
    await struck
    await refused(1)
  })

  test('a node with a proof gets no link if the store answers too late', async () => {
    const { target, neighbour } = scene
    const store = wait()
    target.known = store.until
    const struck = arrive((socket) => void socket.write(rightHello()))
    await vi.waitFor(() => expect(target.lookups).toBe(1), soon)
    await target.clock.advance(PROOF_MS)
    await struck
    store.over()
    await refused(1)
    expect(target.accepted).toEqual([])
    target.known = undefined
    await (await TestLine.dial(neighbour, target)).speak()
  })

  test('a connection without a proof ends when this process gets a new NodeId', async () => {
    const { target, neighbour } = scene
    const struck = arrive(() => undefined)
    await proving(1)
    // The same limit applies to a dial, when the other node does not answer the hello.
    const unanswered = wait()
    neighbour.known = unanswered.until
    const dialled = target.endpoint.dial(neighbour.node)
    await vi.waitFor(() => expect(neighbour.clock.pending).toBe(1), soon)
    await target.become(mintNodeId())
    expect(await dialled).toBeUndefined()
    await struck
    unanswered.over()
    // A node that asks the store for an address, and gets a new NodeId meanwhile, does not connect.
    const asked = wait()
    neighbour.known = asked.until
    const late = neighbour.endpoint.dial(target.node)
    await neighbour.become(mintNodeId())
    const timers = vi.spyOn(target.clock, 'after')
    asked.over()
    expect(await late).toBeUndefined()
    expect(timers).not.toHaveBeenCalled()
    neighbour.known = undefined
    await (await TestLine.dial(neighbour, target)).speak()
  })

  test('of a thousand connections at once some may prove themselves, and existing links are not affected', async () => {
    const { target, neighbour, rogue } = scene
    const line = await TestLine.dial(neighbour, target)
    const handles = process.getActiveResourcesInfo().length
    const struck: Promise<Buffer>[] = []
    // The system queues 511 connections until they are accepted. Further ones would try again after a second.
    while (scene.strikes < 1_000) {
      for (let i = 0; i < 250; i++) struck.push(strike(scene, () => undefined))
      await refused(scene.strikes - UNPROVEN_SHARE)
      expect(target.clock.pending).toBe(UNPROVEN_SHARE)
      await line.speak()
    }
    await target.clock.advance(PROOF_MS)
    await Promise.all(struck)
    await refused(1_000)
    await vi.waitFor(() => expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(handles), soon)
    await (await TestLine.dial(rogue, target)).speak()
    await line.speak()
  })

  test('silent connections from one address leave room for other addresses', async () => {
    const { target, neighbour } = scene
    const struck = Array.from({ length: 200 }, () => strike(scene, () => undefined, '127.0.0.2'))
    await refused(200 - UNPROVEN_SHARE)
    await (await TestLine.dial(neighbour, target)).speak()
    await target.clock.advance(PROOF_MS)
    await Promise.all(struck)
  })

  test('silent connections from several addresses together fill the limit', async () => {
    const { target, neighbour } = scene
    const from = ['127.0.0.2', '127.0.0.3']
    const struck = from.flatMap((address) =>
      Array.from({ length: UNPROVEN_SHARE }, () => strike(scene, () => undefined, address)),
    )
    await proving(2 * UNPROVEN_SHARE)
    await strike(scene, () => undefined, '127.0.0.4')
    await refused(1)
    await target.clock.advance(PROOF_MS)
    await Promise.all(struck)
    await (await TestLine.dial(neighbour, target)).speak()
  })

  test('an address that connects too often is refused, and leaves half of the rate to other addresses', async () => {
    const { target, neighbour } = scene
    await connectOften('127.0.0.2', ACCEPTED_SHARE)
    expect(await isAdmitted('127.0.0.2')).toBe(false)
    await (await TestLine.dial(neighbour, target)).speak()
    await target.clock.advance(SHARE_MS)
    expect(await isAdmitted('127.0.0.2')).toBe(true)
  })

  test('when several addresses use up the rate, a connection is refused, and a moment later one is accepted', async () => {
    const { target } = scene
    await connectOften('127.0.0.2', ACCEPTED_SHARE)
    await connectOften('127.0.0.3', ACCEPTED_SHARE)
    expect(await isAdmitted('127.0.0.4')).toBe(false)
    await target.clock.advance(1_000 / ACCEPTED_PER_SECOND)
    expect(await isAdmitted('127.0.0.4')).toBe(true)
    expect(await isAdmitted('127.0.0.4')).toBe(false)
  })

  test('an endpoint can be closed while incoming and outgoing connections have no proof yet', async () => {
    const { target, neighbour } = scene
    const store = wait()
    neighbour.known = store.until
    const struck = [strike(scene, () => undefined), arrive(() => undefined)]
    await proving(2)
    // One dial waits for the other side's hello, and one still waits for the store.
    const dialled = target.endpoint.dial(neighbour.node)
    const late = neighbour.endpoint.dial(target.node)
    await vi.waitFor(() => expect(target.clock.pending + neighbour.clock.pending).toBe(4), soon)
    await Promise.all([target.endpoint.close(), neighbour.endpoint.close()])
    expect([target.clock.pending, neighbour.clock.pending]).toEqual([0, 0])
    store.over()
    expect(await Promise.all([dialled, late])).toEqual([undefined, undefined])
    await Promise.all(struck)
  })
})

test('[LINK10] without TLS, a connection that ends while the store is asked becomes no link', async () => {
  scene = await openScene(true)
  const { target } = scene
  const store = wait()
  target.known = store.until
  await arrive((socket) => {
    socket.write(rightHello())
    void vi.waitFor(() => expect(target.lookups).toBe(1), soon).then(() => socket.resetAndDestroy())
  })
  // When this later connection has ended, the endpoint has also read the reset.
  await strike(scene, GARBAGE)
  store.over()
  await refused(2)
  expect(target.accepted).toEqual([])
})
