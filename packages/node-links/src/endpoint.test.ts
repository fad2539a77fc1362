import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { soon, TestLine } from './testing/test-endpoint.js'
import type { Scene } from './testing/impostors.js'
import {
  certificateOf,
  closeScene,
  helloOf,
  openScene,
  plainImpostors,
  rudeImpostors,
  strike,
  strikeTls,
  tlsImpostors,
  tokenOf,
} from './testing/impostors.js'

let scene: Scene

afterEach(() => closeScene(scene))

const lines = async (): Promise<TestLine[]> => [
  await TestLine.dial(scene.neighbour, scene.target),
  await TestLine.dial(scene.target, scene.neighbour),
]

/** Expects that the attack gets no link and no answer, and that nodes with a proof can link during and after it. */
async function holds(attack: () => Promise<Buffer>): Promise<void> {
  const { target, neighbour } = scene
  const before = await lines()
  const [came] = await Promise.all([attack(), ...before.map((line) => line.speak())])
  expect(came.toString()).toBe('')
  await vi.waitFor(() => expect(target.endpoint.refused).toBe(scene.strikes), soon)
  for (const line of [...before, ...(await lines())]) await line.speak()
  expect(new Set(target.accepted.map(({ node }) => node))).toEqual(new Set([neighbour.node]))
  expect([target.clock.pending, neighbour.clock.pending]).toEqual([0, 0])
}

describe('[LINK8] over TLS an impostor gets no link', () => {
  beforeEach(async () => {
    scene = await openScene(false)
  })

  test.each(Object.entries({ ...tlsImpostors, ...rudeImpostors }))('%s', async (_, impostor) => {
    await holds(() => impostor(scene))
  })

  test('whereas the same way a node gets in', async () => {
    const { target, rogue } = scene
    const coming = target.nextAccepted()
    const struck = strikeTls(scene, certificateOf(rogue), helloOf(scene, { from: rogue.node }))
    const proven = await coming
    expect(proven).toMatchObject({ node: rogue.node, dialled: false })
    proven.socket.destroy()
    expect((await struck).toString()).toContain(`"from":"${target.node}"`)
  })
})

describe('[LINK9] without TLS an impostor gets no link', () => {
  beforeEach(async () => {
    scene = await openScene(true)
  })

  test.each(Object.entries({ ...plainImpostors, ...rudeImpostors }))('%s', async (_, impostor) => {
    await holds(() => impostor(scene))
  })

  test('whereas the same way a node gets in', async () => {
    const { target, neighbour } = scene
    const coming = target.nextAccepted()
    const struck = strike(scene, helloOf(scene, { token: tokenOf(target) }))
    const proven = await coming
    expect(proven).toMatchObject({ node: neighbour.node, dialled: false })
    proven.socket.destroy()
    expect((await struck).toString()).toContain(tokenOf(neighbour))
  })
})
