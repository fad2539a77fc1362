import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import type { Node } from '@peerage/test-support/node.js'
import { startChild } from '@peerage/test-support/process.js'
import type { Child } from '@peerage/test-support/process.js'

// How a Node process ends, and what happens to its names. This concerns only the process and one node, so there is no Redis.

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const LINE_MS = 10_000
/** The copy that `proper-lockfile` depends on. */
const SIGNAL_EXIT_3 = `file://${REPOSITORY}node_modules/proper-lockfile/node_modules/signal-exit/index.js`

let node: Node
let watcher: Peer
const children: Child[] = []

beforeAll(async () => {
  node = await startNode()
  watcher = await connect(node.url, { p2p: false })
})
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop()
})
afterAll(async () => {
  watcher?.close()
  await node?.stop()
})

/** Starts a program of a few lines with the built SDK. Resolves when the program has printed `ready`. */
async function program(lines: string, ready = 'ready'): Promise<Child> {
  const text = `import { connect } from '@peerage/client'\nconst url = '${node.url}'\n${lines}`
  const child = await startChild({
    command: process.execPath,
    args: ['--input-type=module', '-e', text],
    cwd: REPOSITORY,
    input: true,
  })
  children.push(child)
  await child.line((line) => (line === ready ? line : undefined), LINE_MS)
  return child
}

const peerOf = (name: string, options = ''): string =>
  `const peer = await connect(url, { name: '${name}', p2p: false, ${options} }); console.log('ready');`

async function stateOf(name: string): Promise<string | undefined> {
  const [found] = await watcher.lookup([name])
  return found?.state
}

async function freed(name: string): Promise<void> {
  await vi.waitFor(async () => expect(await stateOf(name)).toBe('offline'))
}

describe('[WL8] a signal', () => {
  test.each(SIGNALS)(
    '%s frees the name and ends the process as if there were no listener',
    async (signal) => {
      const name = `by-${signal}`
      for (let round = 0; round < 3; round++) {
        const child = await program(peerOf(name))
        expect(await stateOf(name)).toBe('online')
        await child.kill(signal)
        expect(await child.stopped).toEqual({ code: null, signal })
        expect(await stateOf(name)).toBe('offline')
      }
    },
  )

  test('all peers of a process leave, also those that are still connecting', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const child = await program(`
      await connect(url, { name: 'one', p2p: false })
      await connect(url, { name: 'two', p2p: false })
      connect('http://127.0.0.1:${port}', { name: 'three' })
      // A pending send must not become an unhandled rejection. This send stays pending, because the watcher has no
      // listener for messages. A send to a free name would be refused at once.
      void connect(url, { name: 'four', p2p: false }).then((peer) => peer.send('${watcher.name}', 1, { deadlineMs: 60_000 }))
      console.log('ready')`)
    await child.kill('SIGINT')
    expect(await child.stopped).toEqual({ code: null, signal: 'SIGINT' })
    for (const name of ['one', 'two', 'four']) await freed(name)
    silent.close()
  })

  test('a process waits 500 ms for a node that does not answer, and not at all after a second signal', async () => {
    const frozen = await startNode()
    try {
      const lines = (name: string): string =>
        `await connect('${frozen.url}', { name: '${name}', p2p: false }); console.log('ready')`
      const [once, twice] = [await program(lines('once')), await program(lines('twice'))]
      await frozen.pause()
      const begun = performance.now()
      await once.kill('SIGINT')
      expect(await once.stopped).toEqual({ code: null, signal: 'SIGINT' })
      const tookMs = performance.now() - begun
      expect(tookMs).toBeGreaterThan(450)
      expect(tookMs).toBeLessThan(2_000)
      await twice.kill('SIGINT')
      await twice.kill('SIGTERM')
      expect((await twice.stopped).signal).toMatch(/SIGINT|SIGTERM/)
    } finally {
      await frozen.resume()
      await frozen.stop()
    }
  })

  test.each([
    ['before', `process.on('SIGINT', () => console.log('mine'));`, ''],
    ['after', '', `process.on('SIGINT', () => console.log('mine'));`],
    ['once, after', '', `process.once('SIGINT', () => console.log('mine'));`],
    [
      'with prependOnceListener, after',
      '',
      `process.prependOnceListener('SIGINT', () => console.log('mine'));`,
    ],
  ])('that the application listens for (%s the peer) does not end the process', async (_, before, after) => {
    const child = await program(`${before}${peerOf('own')}${after}; setInterval(() => {}, 1_000)
      process.stdin.once('data', () => {
        console.log(process.listenerCount('SIGINT') > 0, process.listenerCount('SIGTERM'), peer.state.state)
        peer.leave().then(() => {
          console.log('left', process.listenerCount('SIGTERM'))
          process.exit(7)
        })
      })`)
    await child.kill('SIGINT')
    await child.line((line) => (line === 'mine' ? line : undefined), LINE_MS)
    expect(await stateOf('own')).toBe('online')
    child.tell('go on')
    await child.line((line) => (line === 'true 1 online' ? line : undefined), LINE_MS)
    await child.line((line) => (line === 'left 0' ? line : undefined), LINE_MS)
    expect(await child.stopped).toEqual({ code: 7, signal: null })
  })

  test.each([
    ['that exits at once', `process.on('SIGINT', () => process.exit(7))`, { code: 7, signal: null }],
    [
      'that exits at once, with once()',
      `process.once('SIGINT', () => process.exit(7))`,
      { code: 7, signal: null },
    ],
    ['that throws', `process.on('SIGINT', () => { throw new Error('a bug') })`, { code: 1, signal: null }],
    [
      'that removes itself and raises the signal again',
      `process.on('SIGINT', function own() { process.off('SIGINT', own); process.kill(process.pid, 'SIGINT') })`,
      { code: null, signal: 'SIGINT' },
    ],
    [
      'that raises the signal again, with once()',
      `process.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))`,
      { code: null, signal: 'SIGINT' },
    ],
    [
      'that raises the signal again, with prependOnceListener()',
      `process.prependOnceListener('SIGINT', () => process.kill(process.pid, 'SIGINT'))`,
      { code: null, signal: 'SIGINT' },
    ],
    [
      'that removes all listeners and raises the signal again later',
      `process.on('SIGINT', () => setTimeout(() => {
        process.removeAllListeners('SIGINT'); process.kill(process.pid, 'SIGINT')
      }, 20))`,
      { code: null, signal: 'SIGINT' },
    ],
    [
      'that raises another signal',
      `process.on('SIGINT', () => process.kill(process.pid, 'SIGTERM'))`,
      { code: null, signal: 'SIGTERM' },
    ],
    [
      'of the package signal-exit 4',
      `;(await import('signal-exit')).onExit(() => console.log('seen'))`,
      { code: null, signal: 'SIGINT' },
    ],
    [
      'of the packages signal-exit 3 and 4',
      `;(await import('signal-exit')).onExit(() => {}); (await import('${SIGNAL_EXIT_3}')).default(() => {})`,
      { code: null, signal: 'SIGINT' },
    ],
  ])('frees the name if the application has a listener %s', async (_, listener, stopped) => {
    const name = `ended-${crypto.randomUUID()}`
    for (const lines of [`${listener};${peerOf(name)}`, `${peerOf(name)}${listener}`]) {
      const child = await program(`${lines}; console.log('set')`, 'set')
      expect(await stateOf(name)).toBe('online')
      await child.kill('SIGINT')
      expect(await child.stopped).toEqual(stopped)
      await freed(name)
      expect(child.lines.includes('seen')).toBe(listener.includes('seen'))
    }
  })

  test('ends the process also if all listeners were removed and added again', async () => {
    const child = await program(
      `${peerOf('put-back')}
      const listeners = process.listeners('SIGINT')
      process.removeAllListeners('SIGINT')
      for (const listener of listeners) process.on('SIGINT', listener)
      console.log(listeners.length, 'set')`,
      '1 set',
    )
    await child.kill('SIGINT')
    expect(await child.stopped).toEqual({ code: null, signal: 'SIGINT' })
    expect(await stateOf('put-back')).toBe('offline')
  })

  test('ends the process also if two copies of the SDK are loaded', async () => {
    const copy = `file://${REPOSITORY}packages/client/dist/platform/leave-on-exit.js?copy`
    const child = await program(`
      const { leaveOnExit } = await import('${copy}')
      leaveOnExit({ depart: async () => console.log('the copy departs') })
      ${peerOf('copied')}`)
    await child.kill('SIGTERM')
    expect(await child.stopped).toEqual({ code: null, signal: 'SIGTERM' })
    expect(child.lines).toContain('the copy departs')
    expect(await stateOf('copied')).toBe('offline')
  })

  test.each([
    ['leaveOnExit: false', 'leaveOnExit: false'],
    ['a secret', `secret: '${'s'.repeat(22)}'`],
    ['a storage', 'storage: { getItem: () => null, setItem() {}, removeItem() {} }'],
  ])('keeps the name with %s', async (_, options) => {
    const name = `kept-${options.slice(0, 6)}`
    const child = await program(peerOf(name, options))
    await child.kill('SIGINT')
    expect(await child.stopped).toEqual({ code: null, signal: 'SIGINT' })
    await vi.waitFor(async () => expect(await stateOf(name)).toBe('away'))
  })
})

describe('[WL8] the end of a program', () => {
  test.each([
    ['process.exit', 'process.exit(3)', 3],
    ['an uncaught error', `setImmediate(() => { throw new Error('a bug') })`, 1],
    ['an unhandled rejection', `Promise.reject(new Error('a bug'))`, 1],
  ])('by %s frees the name', async (_, end, code) => {
    for (let round = 0; round < 3; round++) {
      const child = await program(`${peerOf('short')};${end}`)
      expect(await child.stopped).toEqual({ code, signal: null })
      await freed('short')
    }
  })

  test('a worker thread that ends frees the name', async () => {
    const worker = `import('@peerage/client').then(async ({ connect }) => {
      await connect('${node.url}', { name: 'worker', p2p: false })
      process.exit(0)
    })`
    const child = await program(`
      import { Worker } from 'node:worker_threads'
      new Worker(${JSON.stringify(worker)}, { eval: true }).on('exit', () => console.log('ready'))
      setInterval(() => {}, 1_000)`)
    await freed('worker')
    await child.stop()
  })
})

test('[I8] with a storage file, a killed process is the same peer when it runs again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'peerage-storage-'))
  try {
    const lines = `
      const { fileStorage } = await import('@peerage/client/node')
      const storage = fileStorage(${JSON.stringify(join(folder, 'peer.json'))})
      const peer = await connect(url, { name: 'filed', p2p: false, storage })
      console.log('since', peer.since); console.log('ready')`
    const holders: (string | undefined)[] = []
    for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'] as const) {
      const child = await program(lines)
      holders.push(child.lines.find((line) => line.startsWith('since')))
      await child.kill(signal)
      await child.stopped
      await vi.waitFor(async () => expect(await stateOf('filed')).toBe('away'))
    }
    expect(new Set(holders).size).toBe(1)
  } finally {
    await rm(folder, { recursive: true })
  }
})
