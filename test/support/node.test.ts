import { afterEach, expect, test } from 'vitest'
import { probeStun } from './coturn.js'
import { clockOffset } from './faketime.js'
import { startNode, startNodes, type Node, type NodeOptions } from './node.js'
import { freePort } from './ports.js'
import { startRedis } from './redis.js'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function node(options?: NodeOptions): Promise<Node> {
  const started = await startNode(options)
  ends.push(() => started.stop())
  return started
}

async function status(url: string): Promise<number> {
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) })
  await response.arrayBuffer()
  return response.status
}

test('a single node is ready, answers STUN, drains on SIGTERM and exits 0', async () => {
  const alone = await node()
  expect(await status(`${alone.url}/readyz`)).toBe(200)
  if (alone.p2p === undefined) throw new Error('no integrated P2P server')
  expect(alone.p2p.port).toBe(alone.port + 1)
  await probeStun(alone.p2p.host, alone.p2p.port)
  expect(await alone.terminate()).toEqual({ code: 0, signal: null })
  expect(alone.logs().map((record) => record['msg'])).toContain('draining')
})

test('nodes on one Redis are separate processes, and a killed node is gone', async () => {
  const redis = await startRedis()
  ends.push(() => redis.stop())
  const [a, b] = await startNodes(2, { redisUrl: redis.url })
  if (a === undefined || b === undefined) throw new Error('two nodes were asked for')
  ends.push(
    () => a.stop(),
    () => b.stop(),
  )
  expect(new Set([a.pid, b.pid, process.pid]).size).toBe(3)
  expect(a.id).not.toBe(b.id)
  await a.kill()
  await expect(a.stopped).resolves.toEqual({ code: null, signal: 'SIGKILL' })
  await expect(status(`${a.url}/healthz`)).rejects.toThrow('fetch failed')
  expect(await status(`${b.url}/readyz`)).toBe(200)
})

test('a paused node does not answer until it is resumed', async () => {
  const paused = await node()
  await paused.pause()
  const answer = fetch(`${paused.url}/healthz`, { signal: AbortSignal.timeout(150) })
  await expect(answer).rejects.toThrow('aborted')
  await paused.resume()
  expect(await status(`${paused.url}/healthz`)).toBe(200)
})

test('a node may start before its Redis, and reports when it is ready', async () => {
  const port = await freePort()
  const early = await node({ redisUrl: `redis://127.0.0.1:${port}`, until: 'listening' })
  expect(await status(`${early.url}/readyz`)).toBe(503)
  const redis = await startRedis({ port })
  ends.push(() => redis.stop())
  await early.log((record) => record['msg'] === 'ready', 20_000)
  expect(await status(`${early.url}/readyz`)).toBe(200)
})

test('a node may run an hour ahead, with correct intervals', async () => {
  const ahead = await node({ env: await clockOffset('+1h') })
  const [first] = ahead.logs()
  const aheadMs = Date.parse(String(first?.['time'])) - Date.now()
  expect(aheadMs).toBeGreaterThan(3_500_000)
  expect(await status(`${ahead.url}/readyz`)).toBe(200)
  expect((await ahead.terminate()).code).toBe(0)
})

test('the error of a node that cannot start has the reason', async () => {
  await expect(startNode({ args: ['--port', 'nonsense'] })).rejects.toThrow('code 2')
})
