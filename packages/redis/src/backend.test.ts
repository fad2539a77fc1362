import { defaultTimes, mintNodeId, systemClock } from '@peerage/core'
import { expect, test } from 'vitest'
import { createRedisBackend } from './backend.js'

test('an application may replace a part of the backend, as with memoryCluster', async () => {
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
