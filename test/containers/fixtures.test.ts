import { expect, test } from 'vitest'
import { makeDirectory, startServer } from '@peerage/test-support/fixture.js'
import { HAPROXY, startHaproxy } from '@peerage/test-support/haproxy.js'
import { REDIS } from '@peerage/test-support/redis.js'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import { theEngine } from './engine.js'

const containers = (): Promise<string> => theEngine().docker(['ps', '--all', '--quiet'])

// The contract suites of Redis run in this project, too (vitest.config.ts). This shows in what their servers run.
test.each(topologies)('the servers of Redis, %s, run in containers and leave none', async (topology) => {
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

test('a server that was killed can be stopped afterwards', async () => {
  const before = await containers()
  const haproxy = await startHaproxy({ backends: [] })
  await haproxy.kill()
  await haproxy.resume() // a signal after the end is no error
  await haproxy.stop()
  expect(await containers()).toBe(before)
})

test('an image without the program is named, and leaves no container', async () => {
  const before = await containers()
  const directory = await makeDirectory('no-program')
  const program = { ...REDIS, image: HAPROXY.image, tag: HAPROXY.tag }
  const ready = { what: 'redis', probe: () => Promise.resolve(true), deadlineMs: 1_000 }
  const start = startServer(program, { args: [], directory, ready })
  await expect(start).rejects.toThrow(/^redis cannot run in a container of haproxy:2\.8: .*redis-server/)
  expect(await containers()).toBe(before)
})
