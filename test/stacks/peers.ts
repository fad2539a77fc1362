import { fileURLToPath } from 'node:url'
import { launchChromium } from '@peerage/test-support/chromium.js'
import { launchFirefox } from '@peerage/test-support/firefox.js'
import { ensureBuilt } from '@peerage/test-support/node.js'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { findPython } from '@peerage/test-support/python.js'
import { servePeerPage } from './page.js'

export const STACKS = ['node-datachannel', 'werift', '@roamhq/wrtc', 'aiortc', 'chromium', 'firefox'] as const
export type Stack = (typeof STACKS)[number]

/** The commands of a peer of the matrix on every stack, and their answers. Times `at` are milliseconds since the epoch. */
export interface Commands {
  connect: { with: { url: string; name: string }; answer: object }
  /** Opens a channel, which takes `ms`. */
  call: { with: { to: string; deadlineMs: number }; answer: { ms: number } }
  /** Waits for the channel that the other side opens. */
  opened: { with: object; answer: object }
  /** Sends random bytes, and passes all of them to `send` at once. */
  send: { with: { bytes: number }; answer: { sha256: string; startedAt: number; mostBuffered: number } }
  /** Waits until this many bytes have arrived, or the channel is gone. */
  receive: { with: { bytes: number }; answer: { sha256: string; bytes: number; at: number } }
  /** Closes the channel, which takes `ms`. */
  close: { with: object; answer: { at: number; ms: number } }
  /** Closes its P2P controller, and with it the channel, without waiting for the other side. */
  hangUp: { with: object; answer: { at: number; ms: number } }
  /** Waits until the channel is gone. */
  closed: { with: object; answer: { at: number; reason: string } }
  /** The number of channels opened so far, the states of its connections, and their events. */
  state: { with: object; answer: { opened: number; states: string[]; trace: [number, string][] } }
  /** Releases its name. */
  leave: { with: object; answer: object }
}

export interface StackPeer {
  /** The stack's version. */
  readonly version: string
  /** Rejects with the peer's error, or at the deadline. */
  ask<C extends keyof Commands>(
    command: C,
    options: Commands[C]['with'],
    deadlineMs?: number,
  ): Promise<Commands[C]['answer']>
  stop(): Promise<void>
}

/** Makes peers of one stack, each in its own process or page. */
export interface Platform {
  peer(): Promise<StackPeer>
  stop(): Promise<void>
}

const READY_DEADLINE_MS = 20_000
const ANSWER_DEADLINE_MS = 10_000

/** Prepares what all peers of a stack share: a browser, or an installation. */
export async function prepare(stack: Stack): Promise<Platform> {
  switch (stack) {
    case 'node-datachannel':
    case 'werift':
    case '@roamhq/wrtc':
      await ensureBuilt()
      return processes(process.execPath, [scriptOf('node-peer.mjs'), stack])
    case 'aiortc':
      return processes(await findPython({ aiortc: 'python3-aiortc' }), ['-B', scriptOf('aiortc_peer.py')])
    case 'chromium': {
      const browser = await launchChromium()
      return pages(
        browser.version,
        (url) => browser.page(url),
        () => browser.stop(),
      )
    }
    case 'firefox': {
      const browser = await launchFirefox()
      return pages(
        browser.version,
        (url) => browser.page(url),
        () => browser.stop(),
      )
    }
  }
}

const scriptOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

function processes(command: string, args: string[]): Platform {
  return {
    peer: async () => {
      const child = await startChild({ command, args, input: true })
      try {
        const { version } = await child.line((line) => {
          const said = parse(line)
          return said?.['ready'] === true ? { version: String(said['version']) } : undefined
        }, READY_DEADLINE_MS)
        return { version, ask: asker((line) => askChild(child, line)), stop: () => child.stop() }
      } catch (error) {
        await child.stop()
        throw error
      }
    },
    stop: async () => undefined,
  }
}

let asked = 0

async function askChild(child: Child, command: object): Promise<unknown> {
  const id = ++asked
  child.tell(JSON.stringify({ id, ...command }))
  return child.line((line) => {
    const said = parse(line)
    if (said?.['id'] !== id) return undefined
    if ('error' in said) throw new Error(String(said['error']))
    return said['result']
  }, FOREVER_MS)
}

/** Practically no deadline: `asker` enforces the deadline of each command. */
const FOREVER_MS = 600_000

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // output of the stack itself
  }
}

/** The methods that pages of playwright and puppeteer share. */
interface AnyPage {
  evaluate(expression: string): Promise<unknown>
  waitForFunction(expression: string): Promise<unknown>
  close(): Promise<void>
}

async function pages(
  version: string,
  open: (url: string) => Promise<AnyPage>,
  close: () => Promise<void>,
): Promise<Platform> {
  const served = await servePeerPage()
  return {
    peer: async () => {
      const page = await open(served.url)
      await page.waitForFunction(`'peer' in globalThis`)
      const ask = (command: object): Promise<unknown> =>
        page.evaluate(`globalThis.peer.handle(${JSON.stringify(command)})`)
      return { version, ask: asker(ask), stop: () => page.close() }
    },
    stop: async () => {
      await close()
      await served.stop()
    },
  }
}

function asker(ask: (command: object) => Promise<unknown>): StackPeer['ask'] {
  return async <C extends keyof Commands>(
    command: C,
    options: Commands[C]['with'],
    deadlineMs = ANSWER_DEADLINE_MS,
  ) => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer to '${command}' within ${deadlineMs} ms`)),
        deadlineMs,
      )
    })
    try {
      // Both sides of this protocol are in this folder, so the answer has the type of its command.
      return (await Promise.race([ask({ do: command, ...options }), late])) as Commands[C]['answer']
    } finally {
      clearTimeout(timer)
    }
  }
}
