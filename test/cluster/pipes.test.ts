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
import { eventually } from '@peerage/test-support/process.js'
import { REDIS } from '@peerage/test-support/redis.js'

// `peerage … | head`: whoever reads has had enough, and the pipe breaks with the next line.

type Piped = ChildProcessByStdio<null, Readable, Readable>
const DEADLINE_MS = 60_000

beforeAll(async () => {
  await ensureBuilt()
  // The command installs nothing, so the fixture does where it must.
  for (const part of [REDIS, HAPROXY]) await findBinary(part)
})

function peerage(...args: string[]): Piped {
  const child = spawn(process.execPath, [PEERAGE_BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function line(child: Piped, pattern: RegExp): Promise<RegExpExecArray> {
  for await (const text of createInterface({ input: child.stdout })) {
    const found = pattern.exec(text)
    if (found) return found
  }
  throw new Error(`it ended before it said ${pattern}`)
}

function breakPipes(child: Piped): void {
  child.stdout.destroy()
  child.stderr.destroy()
}

describe('a log on a disk that is full', () => {
  test.each([
    ['serve', '--log-level', 'debug'],
    ['stun', '--log-level', 'debug'],
  ])(
    '%s lives on, and ends as ever',
    async (...args) => {
      const full = openSync('/dev/full', 'w')
      onTestFinished(() => closeSync(full))
      const port = await freePort()
      const child = spawn(process.execPath, [PEERAGE_BIN, ...args, '--port', String(port)], {
        stdio: ['ignore', full, 'inherit'],
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = once(child, 'exit')
      // It has logged where it listens by the time that it answers.
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

describe('a reader that has gone', () => {
  test(
    'a node serves on, and drains as ever',
    async () => {
      const child = peerage('serve', '--port', '0', '--log-level', 'debug')
      const ended = once(child, 'exit')
      const [, url = ''] = await line(child, /"url":"([^"]+)".*"ready"/)
      breakPipes(child)
      // What is logged now meets a broken pipe.
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
    'a cluster goes on when nobody reads what goes wrong, and ends with all of it when nobody reads at all',
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
      // It says so, and nobody hears it; the other node goes on.
      await eventually('the other node serves', () => fetchOk(`http://127.0.0.1:${port}/version`), {
        deadlineMs: DEADLINE_MS,
      })
      expect(child.exitCode).toBeNull()
      child.stdout.destroy()
      // What the node logs is printed, and so meets a broken pipe.
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
