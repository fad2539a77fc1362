import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from '@peerage/client'
import { afterAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { eventually } from '@peerage/test-support/process.js'
import { theEngine } from './engine.js'
import { leftContainers, RESTRICTED, startImage, type Container } from './our-image.js'

// Containers of our image run, are watched by the engine, and end.

const HEALTH = ['/nodejs/bin/node', 'packages/server/bin/healthcheck.js'] as const
const STUN = 'stun:127.0.0.1:9901'
/** Three checks, each after 10 s, of which each fails after 3 s. And a moment for the engine. */
const UNHEALTHY_WITHIN_MS = 3 * 13_000 + 6_000
const OPEN = ['--env=PEERAGE_OPEN=true', '--publish=127.0.0.1::9000'] as const

const containers: Container[] = []
afterAll(async () => {
  await Promise.all(containers.map((container) => container.remove()))
  expect(await leftContainers()).toEqual([])
})

async function start(name: string, options: readonly string[], command?: string[]): Promise<Container> {
  const container = await startImage(`image-${name}`, [...RESTRICTED, ...options], command)
  containers.push(container)
  return container
}

const node = (name: string, ...options: string[]): Promise<Container> => start(name, [...OPEN, ...options])

async function readyNode(name: string, ...options: string[]): Promise<Container> {
  const container = await node(name, ...options)
  await container.logs('"msg":"ready"')
  return container
}

const status = async (container: Container, path: string): Promise<number> =>
  (await fetch(`http://${await container.address(9_000)}${path}`)).status

describe.concurrent('a node in a container', () => {
  test('runs as its user without a capability, cannot gain one, and has no child', async () => {
    const container = await readyNode('restricted')
    const pid = await container.inspect('{{.State.Pid}}')
    const state = await readFile(`/proc/${pid}/status`, 'utf8')
    expect(state).toMatch(/^Uid:(?:\s+65532){4}$/m)
    expect(state).toMatch(/^Gid:(?:\s+65532){4}$/m)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(state).toMatch(new RegExp(`^${set}:\\s+0{16}$`, 'm'))
    expect(state).toMatch(/^NoNewPrivs:\s+1$/m)
    // Process 1 must wait for its children. Ours has none.
    const list = await theEngine().docker(['top', container.name, '-eo', 'pid,args'])
    expect(list.split('\n').slice(1)).toEqual([expect.stringMatching(/peerage\.js serve$/)])
    expect(await status(container, '/readyz')).toBe(200)
    // The page.
    expect(await status(container, '/')).toBe(200)
    // It adapts its heap to the memory that it may have.
    const heap = await container.exec(
      '/nodejs/bin/node',
      '-p',
      'v8.getHeapStatistics().heap_size_limit < process.constrainedMemory()',
    )
    expect(heap).toEqual({ code: 0, out: ['true'], err: [] })
  })

  test('writes no file: not when it runs, not at its health check, not when it ends', async () => {
    const container = await startImage('image-writes', OPEN)
    containers.push(container)
    await container.logs('"msg":"ready"')
    expect((await container.exec(...HEALTH)).code).toBe(0)
    expect((await container.stop()).code).toBe(0)
    expect(await theEngine().docker(['diff', container.name])).toBe('')
  })

  test(
    'the engine says that it is healthy, and that it is not while it hangs',
    { timeout: 120_000 },
    async () => {
      const container = await readyNode('hangs')
      await container.becomes('healthy')
      await container.signal('STOP')
      const since = performance.now()
      await container.becomes('unhealthy')
      expect(performance.now() - since).toBeLessThan(UNHEALTHY_WITHIN_MS)
      const log = z
        .array(z.object({ ExitCode: z.number(), Output: z.string() }))
        .parse(JSON.parse(await container.inspect('{{json .State.Health.Log}}')))
      // The program says why before the engine ends it.
      expect(log.at(-1)).toEqual({
        ExitCode: 1,
        Output: 'http://127.0.0.1:9000/healthz: no answer within 2500 ms\n',
      })
    },
  )

  test('a P2P server is healthy by its own health command, and ends at once', async () => {
    const container = await start('stun', ['--no-healthcheck'], ['stun'])
    // `docker run --health-cmd` needs a shell, so Compose and Kubernetes name a list of words.
    await container.logs('"msg":"ready"')
    expect((await container.exec(...HEALTH, STUN)).code).toBe(0)
    expect(await container.exec(...HEALTH)).toMatchObject({
      code: 1,
      err: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:9000\/healthz: connect ECONNREFUSED/)],
    })
    expect(await container.exec(...HEALTH, 'nonsense')).toMatchObject({
      code: 1,
      err: ['nonsense: give http://…, https://… or stun:host:port'],
    })
    const { code, afterMs } = await container.stop()
    expect(code).toBe(0)
    expect(afterMs).toBeLessThan(3_000)
  })
})

describe.concurrent('SIGTERM to process 1', () => {
  test('ends a node at once if it has no peers, with code 0', async () => {
    const container = await readyNode('idle')
    const { code, afterMs } = await container.stop()
    expect(code).toBe(0)
    expect(afterMs).toBeLessThan(3_000)
    expect(await container.logs('"msg":"stopped"')).toContain('"msg":"draining"')
  })

  test('drains a node with peers within its grace, with code 0', async () => {
    const container = await readyNode('drains')
    const url = `http://${await container.address(9_000)}`
    const peers = await Promise.all(['ann', 'bob'].map((name) => connect(url, { name, p2p: false })))
    const [ann, bob] = peers
    if (ann === undefined || bob === undefined) throw new Error('no peers')
    const heard = new Promise((resolve) => bob.on('message', resolve))
    await ann.send('bob', 'hello')
    await heard
    // The peers have no other node, so they stay as long as they may.
    const { code, afterMs } = await container.stop(30)
    expect(code).toBe(0)
    expect(afterMs).toBeLessThan(20_000)
    for (const peer of peers) peer.close()
  })

  test('ends a node that still looks for its Redis, with code 0', async () => {
    const container = await node('no-redis', '--env=PEERAGE_REDIS=redis://redis.invalid')
    const log = await container.logs('"healthy":false')
    expect(log).toMatch(
      /not connected to Redis: getaddrinfo \w+ redis\.invalid; check redis\.url, the network/,
    )
    // It lives, and a restart would not help.
    expect(await status(container, '/healthz')).toBe(200)
    expect(await status(container, '/readyz')).toBe(503)
    const { code, afterMs } = await container.stop()
    expect(code).toBe(0)
    expect(afterMs).toBeLessThan(3_000)
  })

  // The system ignores a signal to process 1 that it does not handle. The node then ran until SIGKILL.
  test.each(['SIGTERM', 'SIGINT'])('ends a node that still loads: %s', async (signal) => {
    const hook = `import { registerHooks } from 'node:module'
      registerHooks({ load(url, context, next) {
        if (url.endsWith('/dist/main.js')) process.kill(1, '${signal}')
        return next(url, context)
      } })`
    const preload = `--env=NODE_OPTIONS=--import=data:text/javascript,${encodeURIComponent(hook)}`
    const container = await node(`loads-${signal.toLowerCase()}`, preload)
    // It either had not begun, or begins to drain.
    expect([signal === 'SIGTERM' ? 143 : 130, 0]).toContain(await eventuallyEnded(container))
  })

  test('ends a node that drains at once when it comes a second time, with the code of a shell', async () => {
    const container = await readyNode('twice')
    const url = `ws://${await container.address(9_000)}/peerjs?key=peerjs`
    // Enough peers for a drain in several batches.
    const sockets: WebSocket[] = []
    for (let i = 0; i < 20; i++) {
      const socket = new WebSocket(`${url}&id=p${i}&token=t${i}`)
      sockets.push(socket)
      await once(socket, 'message')
    }
    await container.signal('TERM')
    await container.logs('"msg":"draining"')
    await container.signal('TERM')
    expect(await eventuallyEnded(container)).toBe(143)
    for (const socket of sockets) socket.terminate()
  })
})

/** Its exit code, if it ends within seconds. */
async function eventuallyEnded(container: Container): Promise<number> {
  const running = async (): Promise<true | undefined> =>
    (await container.inspect('{{.State.Running}}')) === 'false' ? true : undefined
  await eventually(`${container.name} ends`, running, { deadlineMs: 8_000, everyMs: 100 })
  return container.end()
}
