import { afterEach, expect, test, vi } from 'vitest'
import { nodePlatform } from './node.js'
import type { WebSocketClass } from './platform.js'

class FromPackage {
  readonly readyState = 0
  send(): void {}
  close(): void {}
  addEventListener(): void {}
}
const withPackage = nodePlatform(async () => ({ WebSocket: FromPackage }))
const without = nodePlatform(() => Promise.reject(new Error('no ws here')))

/** Its source contains the word that Node's own WebSocket is recognised by. */
class NodesOwn extends FromPackage {
  override send(): void {
    throw new TypeError('webidl')
  }
}

afterEach(() => vi.unstubAllGlobals())

const found = async (platform: typeof withPackage, global: unknown): Promise<WebSocketClass | Error> => {
  vi.stubGlobal('WebSocket', global)
  return platform.findWebSocket().catch((error: Error) => error)
}

test("[PP37] in Node the WebSocket of `ws` is preferred to Node's own, and an application's to both", async () => {
  class Trusting extends NodesOwn {}
  expect(await found(withPackage, undefined)).toBe(FromPackage)
  expect(await found(withPackage, NodesOwn)).toBe(FromPackage)
  expect(await found(withPackage, Trusting)).toBe(Trusting)
  expect(await found(without, NodesOwn)).toBe(NodesOwn)
  expect(await found(without, undefined)).toMatchObject({ message: 'no ws here' })
})
