import { expect, test } from 'vitest'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import { theEngine } from './engine.js'

// The contract suites of Redis run in this project, too (vitest.config.ts). This shows in what their servers run.
test.each(topologies)('the servers of Redis, %s, run in containers and leave none', async (topology) => {
  const containers = (): Promise<string> => theEngine().docker(['ps', '--all', '--quiet'])
  const before = await containers()
  const redis = await startTopology(topology)
  try {
    const masters = await redis.everywhere('INFO', 'server')
    expect(masters.length).toBeGreaterThan(0)
    // The first process of a container has this id there; a binary of this machine never has it.
    for (const info of masters) expect(info).toMatch(/^process_id:1\r?$/m)
  } finally {
    await redis.stop()
  }
  expect(await containers()).toBe(before)
})
