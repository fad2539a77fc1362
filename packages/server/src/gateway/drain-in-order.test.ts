import { expect, test } from 'vitest'
import { drainInOrder } from './drain-in-order.js'

function gateways() {
  const seen: string[] = []
  const gateway = (name: string, drainsLast: boolean | undefined, connections = 1) => ({
    ...(drainsLast === undefined ? {} : { drainsLast }),
    connections,
    drain: async (ms: number) => {
      seen.push(`${name} ${ms}`)
      await Promise.resolve()
      seen.push(`${name} ended`)
    },
  })
  return { seen, gateway }
}

test('[UW8] gateways whose clients do not come back are drained when the others have ended', async () => {
  const { seen, gateway } = gateways()
  const all = [gateway('matchbox', true), gateway('native', undefined), gateway('trystero', false)]
  await drainInOrder(all, 9_000, () => {})
  expect(seen).toEqual([
    'native 6000',
    'trystero 6000',
    'native ended',
    'trystero ended',
    'matchbox 3000',
    'matchbox ended',
  ])
})

test('[UW8] without connections that drain last, the others have the whole time', async () => {
  const { seen, gateway } = gateways()
  await drainInOrder([gateway('matchbox', true, 0), gateway('native', undefined)], 9_000, () => {})
  expect(seen).toContain('native 9000')
})

test('a drain that fails is reported, and the others go on', async () => {
  const { seen, gateway } = gateways()
  const errors: string[] = []
  const broken = { connections: 1, drain: () => Promise.reject(new Error('a bug')) }
  await drainInOrder(
    [broken, gateway('native', undefined), gateway('matchbox', true)],
    9_000,
    (error, { stage }) => errors.push(`${stage} ${String(error)}`),
  )
  expect(errors).toEqual(['drain Error: a bug'])
  expect(seen).toContain('matchbox ended')
})
