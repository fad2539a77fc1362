import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { PEERAGE_BIN, startNodes, type Node } from '@peerage/test-support/node.js'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { onDisk, type OwnDisk } from './own-disk.js'
import { startBrowser, type BrowserName, type Preferences, type ShareBrowser } from './browsers.js'

export const MIB = 1024 * 1024
const SAVED_MS = 120_000

/** Two nodes behind HAProxy, browsers and terminals. What it starts ends with it. */
export interface Testbed {
  /** The address of HAProxy. */
  readonly url: string
  readonly nodes: readonly Node[]
  /** A folder for files. */
  readonly folder: string
  /** `preferences`: for Firefox alone. */
  browser(name: BrowserName, preferences?: Preferences): Promise<ShareBrowser>
  /** New connections go to this node alone until it is called again; without a node, to all that are alive. */
  steer(node?: number): Promise<void>
  /** `peerage` with these arguments, in `folder`. */
  peerage(args: readonly string[], options?: TerminalOptions): Promise<Child>
  stop(): Promise<void>
}

export interface TerminalOptions {
  /** For this process alone. It needs root. */
  disk?: OwnDisk
}

export async function startTestbed(): Promise<Testbed> {
  const ends: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end()
  }
  try {
    const redis = await startRedis()
    ends.push(() => redis.stop())
    const nodes = await startNodes(2, { redisUrl: redis.url })
    ends.push(() => Promise.all(nodes.map((node) => node.stop())))
    const haproxy = await startHaproxy({ backends: nodes })
    ends.push(() => haproxy.stop())
    await Promise.all(nodes.map((_, index) => haproxy.until(index, 'UP')))
    const folder = await makeDirectory('share-files')
    ends.push(() => removeDirectory(folder))
    return {
      url: haproxy.url,
      nodes,
      folder,
      browser: async (name, preferences) => {
        const browser = await startBrowser(name, preferences)
        ends.push(() => browser.stop())
        return browser
      },
      steer: async (wanted) => {
        for (const index of nodes.keys())
          if (wanted === undefined || wanted === index) await haproxy.enable(index)
          else await haproxy.disable(index)
      },
      peerage: async (args, { disk } = {}) => {
        const [command, ...given] = [
          ...(disk === undefined ? [] : onDisk(disk)),
          process.execPath,
          PEERAGE_BIN,
          ...args,
        ]
        const child = await startChild({
          command: command ?? '',
          args: given,
          cwd: folder,
          env: { PEERAGE_SERVER: haproxy.url },
        })
        ends.push(() => child.stop())
        return child
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A file of random bytes. */
export async function randomFile(folder: string, name: string, bytes: number): Promise<string> {
  const path = join(folder, name)
  const file = await open(path, 'w')
  for (let at = 0; at < bytes; at += MIB) await file.write(randomBytes(Math.min(MIB, bytes - at)))
  await file.close()
  return path
}

/** A file of zeros that takes no room on the disk. */
export async function sparseFile(folder: string, name: string, bytes: number): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, '')
  await truncate(path, bytes)
  return path
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** Resolves when a browser has saved the file whole. Browsers write a file of another name, or an empty one, until then. */
export async function saved(path: string, bytes: number): Promise<void> {
  const deadline = performance.now() + SAVED_MS
  while ((await stat(path).catch(() => undefined))?.size !== bytes) {
    if (performance.now() > deadline) throw new Error(`${path} was not saved`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
