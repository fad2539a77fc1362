import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'
import { findBinary } from '@peerage/test-support/binary.js'
import { CHROMIUM, CHROMIUM_FLAGS } from '@peerage/test-support/chromium.js'
import { relayPages, startDelayingRelay } from '@peerage/test-support/delaying-relay.js'
import { browserOf, watchGrowth } from '@peerage/test-support/tree-memory.js'
import { bundle } from './bundle.js'

/** A reading takes some ten milliseconds of one core, so there are few. */
const MEMORY_EVERY_MS = 2_000

/** Two tabs of one Chromium. */
export interface TwoPages {
  readonly pages: readonly [Page, Page]
  /** Watches by how much the memory of this browser grows: summed PSS of all its processes. `stop` gives MiB. */
  readonly watchMemory: () => { stop(): number }
  stop(): Promise<void>
}

/**
 * Opens two tabs of one Chromium with a profile on the disk. In playwright's own contexts, the storage of a page lies in
 * memory. `delayMs`: how long the WebRTC datagrams take, one way.
 */
export async function openTwoPages(delayMs: number): Promise<TwoPages> {
  const { path } = await findBinary(CHROMIUM)
  const profile = await mkdtemp(join(tmpdir(), 'peerage-bench-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: path,
    args: [...CHROMIUM_FLAGS],
    chromiumSandbox: false,
  })
  const relay = delayMs > 0 ? startDelayingRelay(delayMs) : undefined
  if (relay) await relayPages(context, relay)
  return {
    pages: [await context.newPage(), await context.newPage()],
    watchMemory: () => {
      const growth = watchGrowth(browserOf(profile), MEMORY_EVERY_MS)
      return { stop: () => growth.stop().more / (1024 * 1024) }
    },
    stop: async () => {
      await context.close()
      relay?.stop()
      await rm(profile, { recursive: true, force: true })
    },
  }
}

/** Serves a page that runs this module. */
export async function serveEntry(entry: string): Promise<{ url: string; stop: () => void }> {
  const code = await bundle({ entry })
  const server: Server = createServer((request, response) => {
    const isScript = request.url === '/entry.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? code : '<!doctype html><script type="module" src="/entry.js"></script>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return { url: `http://127.0.0.1:${address.port}/`, stop: () => server.close() }
}
