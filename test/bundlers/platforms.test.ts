import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import type { OutputChunk } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { launchChromium } from '@peerage/test-support/chromium.js'
import type { Node } from '@peerage/test-support/node.js'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { COMPILED, PROGRAM } from './bundlers.js'
import {
  DIRECT,
  IN_WORKER,
  NO_WEBRTC,
  alone,
  node,
  page,
  served,
  serviceWorker,
  writeFiles,
} from './trial.js'
import type { Site } from './trial.js'

// The short version of `npm run test:bundlers`, with the bundler that `npm ci` installs and the built packages.

const APP = fileURLToPath(new URL('app/', import.meta.url))

const HTML = (app: string): string => `<!doctype html><script type="module" src="${app}.js"></script>`

let sharedNode: Node
let browser: ChromiumBrowser
let site: Site

beforeAll(async () => {
  // Starting a node also builds the packages.
  sharedNode = await startNode()
  browser = await launchChromium()
  site = { folder: await makeDirectory('platforms'), nodeUrl: sharedNode.url, browser }
})
afterAll(async () => {
  await browser.stop()
  await sharedNode.stop()
  await removeDirectory(site.folder)
})

interface Bundle {
  app: 'server' | 'single' | 'page' | 'parts' | 'worker' | 'lazy-worker'
  platform: 'browser' | 'node'
}

/** Bundles an app into a folder of its name. Returns the chunks. */
async function bundle({ app, platform }: Bundle): Promise<OutputChunk[]> {
  const built = await rolldown({ input: `${APP}${app}.js`, platform, logLevel: 'silent' })
  const dir = `${site.folder}/${app}`
  const entryFileNames = platform === 'node' ? '[name].mjs' : '[name].js'
  const { output } = await built.write({ dir, entryFileNames })
  await built.close()
  return output.filter((chunk) => chunk.type === 'chunk')
}

describe('a bundle for browsers', () => {
  test('imports no package of Node, and has separate files for its parts [PP37]', async () => {
    const chunks = await bundle({ app: 'page', platform: 'browser' })
    expect(chunks.filter(({ isDynamicEntry }) => isDynamicEntry)).toHaveLength(3)
    const modules = chunks.flatMap(({ moduleIds }) => moduleIds)
    expect(
      modules.filter((id) => /node_modules\/ws\/|node_modules\/node-datachannel|rtc-node/.test(id)),
    ).toEqual([])
    expect(chunks.flatMap(({ imports }) => imports).filter((id) => !id.endsWith('.js'))).toEqual([])
    await writeFile(`${site.folder}/page/index.html`, HTML('page'))
    expect(await page('page')(site)).toMatch(DIRECT)
  })

  test('with the static entry is one file without dynamic imports, which runs in a service worker [PP38]', async () => {
    const chunks = await bundle({ app: 'worker', platform: 'browser' })
    expect(chunks.map(({ fileName, dynamicImports }) => [fileName, dynamicImports])).toEqual([
      ['worker.js', []],
    ])
    expect(chunks[0]?.code).not.toMatch(/\bimport\(/)
    expect(await serviceWorker('worker', 'worker.js')(site)).toMatch(IN_WORKER)
  })

  test('with the main entry says in a service worker which entry to use [PP38]', async () => {
    await bundle({ app: 'lazy-worker', platform: 'browser' })
    const result = await serviceWorker('lazy-worker', 'lazy-worker.js')(site)
    expect(result).toMatch(/^not-loaded: .*@peerage\/client\/static/)
  })
})

describe('a bundle for Node', () => {
  test('contains `ws` and finds node-datachannel in a node_modules above its folder [PP37]', async () => {
    await bundle({ app: 'server', platform: 'node' })
    // The packages of the application are in this folder.
    const modules = `${site.folder}/node_modules`
    await mkdir(modules, { recursive: true })
    for (const name of ['node-datachannel', 'detect-libc', '@node-datachannel'])
      await run('cp', ['-r', `${REPOSITORY}node_modules/${name}`, modules])
    expect(await node('server/server.mjs')(site)).toMatch(DIRECT)
  })

  test('with the static entry is one file that runs in an empty folder and says that WebRTC is missing [PP38]', async () => {
    const chunks = await bundle({ app: 'single', platform: 'node' })
    expect(chunks).toHaveLength(1)
    expect(await alone('single/single.mjs')(site)).toMatch(NO_WEBRTC)
  })
})

const run = promisify(execFile)

test('a program for Node that imports all entries compiles without the `dom` library and without skipLibCheck [PP40]', async () => {
  const folder = `${REPOSITORY}.work/without-dom`
  await writeFiles(folder, { 'program.mts': PROGRAM, 'tsconfig.json': JSON.stringify(COMPILED) })
  await run(process.execPath, [`${REPOSITORY}node_modules/typescript/bin/tsc`, '-p', folder])
})

describe('a file of the SDK that fails to load, in Chromium [PP39]', () => {
  /** The result of `connect` and `join` if each file of a part fails `failures` times, and how often each was requested. */
  async function tryOut(failures: number, timeoutMs: number): Promise<{ result: string; asked: number[] }> {
    await bundle({ app: 'parts', platform: 'browser' })
    const folder = `${site.folder}/parts`
    await writeFile(`${folder}/index.html`, HTML('parts'))
    const asked = new Map<string, number>()
    const isRefused = (path: string): boolean => {
      if (!/^\/(?:p2p|rooms)-/.test(path)) return false
      const times = (asked.get(path) ?? 0) + 1
      asked.set(path, times)
      return times <= failures
    }
    const use = async (url: string): Promise<string> => {
      const tab = await browser.page(url)
      await tab.waitForFunction(() => 'tryOut' in globalThis)
      const result = await tab.evaluate(`tryOut(${JSON.stringify(sharedNode.url)}, ${timeoutMs})`)
      await tab.context().close()
      return String(result)
    }
    return { result: await served(folder, use, isRefused), asked: [...asked.values()] }
  }

  test('is requested again, and the application notices nothing', async () => {
    const { result, asked } = await tryOut(2, 30_000)
    expect(result).toBe('connected')
    // For each of the two parts two failed attempts and a successful one.
    expect(asked).toEqual([3, 3])
  })

  test('is named in the error, with advice, when `connect` times out', async () => {
    const startedAt = performance.now()
    const { result } = await tryOut(Infinity, 2_000)
    expect(performance.now() - startedAt).toBeGreaterThan(2_000)
    expect(result).toMatch(/^not-loaded: a file of the SDK could not be loaded: .*\/p2p-.*Reload the page/)
  })
})
