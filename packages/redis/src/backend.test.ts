import { defaultTimes, mintNodeId, systemClock } from '@peerage/core'
import { expect, test } from 'vitest'
import { createRedisBackend } from './backend.js'

test('an application may put a part of its own into the store, as it may with the one in memory', async () => {
  const failures: unknown[] = []
  const backend = createRedisBackend({
    url: 'redis://127.0.0.1:1',
    times: defaultTimes,
    clock: systemClock,
    onError: (error) => failures.push(error),
  })
  const { registry } = backend
  const own = { ...backend, registry }
  own.identify(mintNodeId())
  await own.start(() => {})
  await own.stop()
  expect(failures).not.toEqual([])
})
