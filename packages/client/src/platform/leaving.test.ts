import { afterEach, expect, test, vi } from 'vitest'
import { onLeave } from './leaving.js'

afterEach(() => vi.unstubAllGlobals())

test('onLeave listens for the end of a Node process, once for all its peers', () => {
  const before = process.listenerCount('exit')
  const stops = [onLeave(() => {}), onLeave(() => {})]
  expect(process.listenerCount('exit')).toBe(before + 1)
  for (const stop of stops) stop()
  expect(process.listenerCount('exit')).toBe(before)
})

// The `process` of Next's edge runtime has neither `versions.node` nor functions that work.
test.each([undefined, {}, { env: {}, prependListener: unsupported, removeListener: unsupported }])(
  'onLeave does nothing to a `process` that is not of Node (%o)',
  (process) => {
    vi.stubGlobal('process', process)
    const stop = onLeave(() => {})
    stop()
  },
)

function unsupported(): never {
  throw new Error('not supported here')
}
