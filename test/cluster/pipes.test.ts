import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { bindUdp, queryBinding } from '@peerage/stun'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { findBinary } from '@peerage/test-support/binary.js'
import { HAPROXY } from '@peerage/test-support/haproxy.js'
import { ensureBuilt, PEERAGE_BIN } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { childEnvironment, eventually } from '@peerage/test-support/process.js'
import { REDIS } from '@peerage/test-support/redis.js'

// In `peerage … | head` the reader ends first, and the next line meets a broken pipe.

type Piped = ChildProcessByStdio<null, Readable, Readable>
const DEADLINE_MS = 60_000

beforeAll(async () => {
  await ensureBuilt()
  // The command installs no binaries, so the test installs missing ones first.
  for (const part of [REDIS, HAPROXY]) await findBinary(part)
})

function peerage(...args: string[]): Piped {
  const child = spawn(process.execPath, [PEERAGE_BIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: childEnvironment(),
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function line(child: Piped, pattern: RegExp): Promise<RegExpExecArray> {
  for await (const text of createInterface({ input: child.stdout })) {
    const found = pattern.exec(text)
    if (found) return found
  }
  throw new Error(`the command ended before it printed ${pattern}`)
}

function breakPipes(child: Piped): void {
  child.stdout.destroy()
  child.stderr.destroy()
}

describe('a log on a full disk', () => {
  test.each([
    ['serve', '--log-level', 'debug'],
    ['stun', '--log-level', 'debug'],
  ])(
    'does not stop %s, which still exits with 0',
    async (...args) => {
      const full = openSync('/dev/full', 'w')
      onTestFinished(() => closeSync(full))
      const port = await freePort()
      const child = spawn(process.execPath, [PEERAGE_BIN, ...args, '--port', String(port)], {
        stdio: ['ignore', full, 'inherit'],
        env: childEnvironment(),
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = once(child, 'exit')
      // The command logs its address before it answers.
      const answers =
        args[0] === 'serve' ? () => fetchOk(`http://127.0.0.1:${port}/readyz`) : () => asked(port)
      await Promise.race([eventually('it answers', answers, { deadlineMs: DEADLINE_MS }), ended])
      expect(await answers()).toBe(true)
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    },
    DEADLINE_MS,
  )
})

describe('a reader that has closed the pipe', () => {
  test(
    'does not stop a node, which still drains and exits with 0',
    async () => {
      const child = peerage('serve', '--port', '0', '--log-level', 'debug')
      const ended = once(child, 'exit')
      const [, url = ''] = await line(child, /"url":"([^"]+)".*"ready"/)
      breakPipes(child)
      // From here on the node logs to a broken pipe.
      for (let i = 0; i < 3; i++) {
        const socket = new WebSocket(`${url.replace('http', 'ws')}/peerjs?key=peerjs&id=a${i}&token=t`)
        await once(socket, 'message')
        socket.send('no JSON')
        socket.close()
        expect((await fetch(`${url}/healthz`)).status).toBe(200)
      }
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    },
    DEADLINE_MS,
  )

  test(
    'does not stop `cluster` if only stderr is closed; when stdout is closed too, all its processes end',
    async () => {
      const port = await freePort()
      const child = peerage('cluster', '--nodes', '2', '--port', String(port), '--verbose')
      const ended = once(child, 'exit')
      const lines = createInterface({ input: child.stdout })
      const pids: number[] = []
      const open = new Promise<void>((resolve) =>
        lines.on('line', (text) => {
          pids.push(...[/^node\d .*pid (\d+)/.exec(text)?.[1]].filter((pid) => pid !== undefined).map(Number))
          if (text.startsWith('Open ')) resolve()
        }),
      )
      await open
      child.stderr.destroy()
      const [first, second] = pids
      if (first === undefined || second === undefined) throw new Error('two nodes were asked for')
      process.kill(first, 'SIGKILL')
      // The command reports the end of the node on the closed stderr. The other node goes on.
      await eventually('the other node serves', () => fetchOk(`http://127.0.0.1:${port}/version`), {
        deadlineMs: DEADLINE_MS,
      })
      expect(child.exitCode).toBeNull()
      child.stdout.destroy()
      // With --verbose the command prints the node's log lines, so it writes to a broken pipe.
      const socket = new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=a&token=t`)
      socket.on('error', () => {})
      socket.on('open', () => socket.send('no JSON'))
      expect(await ended).toEqual([0, null])
      expect(() => process.kill(second, 0)).toThrow('ESRCH')
    },
    DEADLINE_MS,
  )
})

async function asked(port: number): Promise<true | undefined> {
  const socket = await bindUdp('127.0.0.1', 0)
  try {
    const { kind } = await queryBinding({ socket, address: '127.0.0.1', port, rtoMs: 100, attempts: 3 })
    return kind === 'answered' ? true : undefined
  } finally {
    socket.close()
  }
}

const fetchOk = async (url: string): Promise<true | undefined> => ((await fetch(url)).ok ? true : undefined)
