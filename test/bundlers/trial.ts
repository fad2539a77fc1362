import { createReadStream, existsSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, extname, join } from 'node:path'
import type { Page } from 'playwright-core'
import type { Program } from '@peerage/test-support/binary.js'
import { findBinary } from '@peerage/test-support/binary.js'
import type { ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { listen } from '@peerage/test-support/chromium.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startChild } from '@peerage/test-support/process.js'
import type { ChildOptions } from '@peerage/test-support/process.js'

/** One bundler, installed as it is published, with what it is asked to do. */
export interface Bundler {
  name: string
  /** name@version, the bundler first. */
  packages: readonly string[]
  /** Files of its own, beside those of the app. */
  files?: Readonly<Record<string, string>>
  /** Those of package.json beside its dependencies. */
  manifest?: object
  trials: readonly Trial[]
}

export interface Trial {
  /** Where the result runs. */
  platform: string
  /** What the app imports. */
  entry: '@peerage/client' | '@peerage/client/static'
  /** Run one after another in the bundler's folder, with the arguments of its own program in node_modules/.bin. */
  build: readonly (readonly string[])[]
  run: (site: Site) => Promise<string>
  expect: RegExp
  /** What a user has to set. */
  setting?: string
}

/** A bundler's folder, and the parts that its results meet. */
export interface Site {
  folder: string
  tier: string
  browser: ChromiumBrowser
}

export const FIREFOX: Program = {
  name: 'firefox',
  binaries: ['firefox-esr', 'firefox'],
  debianPackage: 'firefox-esr',
  version: { args: ['--version'], pattern: /(\d+\.\d+[\w.]*)/ },
}

const BUILD_DEADLINE_MS = 300_000
const RUN_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 5_000

/** All that a channel needs is there. */
export const DIRECT = /^relayed, room, direct$/
/** node-datachannel is not there: the server carries the messages, and the error names it. */
export const NO_WEBRTC = /^relayed, room, .*install node-datachannel/
export const IN_WORKER = /^relayed, room, .*browsers have it in windows, not in workers/

/** Runs a program to its end in a folder. Rejects, with what it said, unless it exits 0. */
export async function runIn(folder: string, command: readonly string[]): Promise<string> {
  const [program = '', ...args] = command
  const local = join(folder, 'node_modules/.bin', program)
  const child = await startChild({
    command: existsSync(local) ? local : program,
    args,
    cwd: folder,
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
  })
  const timer = setTimeout(() => void child.kill(), BUILD_DEADLINE_MS)
  const { code } = await child.stopped
  clearTimeout(timer)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${child.output()}`)
  return child.lines.join('\n')
}

/** The bundle in place: node_modules lies above it. */
export const node =
  (file: string) =>
  ({ folder, tier }: Site): Promise<string> =>
    resultOf(join(folder, file), tier)

/** The bundle alone, in a folder that holds nothing else. */
export const alone =
  (file: string) =>
  async ({ folder, tier }: Site): Promise<string> => {
    const empty = await makeDirectory('bundle')
    try {
      const target = join(empty, `bundle${extname(file)}`)
      await cp(join(folder, file), target)
      return await resultOf(target, tier)
    } finally {
      await removeDirectory(empty)
    }
  }

async function resultOf(file: string, tier: string, args: readonly string[] = []): Promise<string> {
  const env = { ...process.env, TIER: tier }
  const child = await startChild({
    command: process.execPath,
    args: [file, ...args],
    cwd: dirname(file),
    env,
  })
  try {
    return await child.line(readResult, RUN_DEADLINE_MS)
  } finally {
    await child.stop()
  }
}

const readResult = (line: string): string | undefined => /^RESULT (.*)/.exec(line)?.[1]

/** A part of the app by itself, or a worker, in Firefox. */
export const firefox =
  (what: 'parts' | 'worker') =>
  async ({ folder, tier }: Site): Promise<string> => {
    const { path } = await findBinary(FIREFOX)
    return resultOf(join(folder, 'firefox.js'), tier, [path, what])
  }

/** The built page of a folder, in Chromium. */
export const page =
  (directory: string) =>
  (site: Site): Promise<string> =>
    served(join(site.folder, directory), (url) => pageAt(site, url))

/** A module service worker of a folder, in Chromium. */
export const serviceWorker =
  (directory: string, file: string) =>
  (site: Site): Promise<string> =>
    served(join(site.folder, directory), async (url) => {
      const tab = await site.browser.page(`${url}blank`)
      try {
        return await tab.evaluate(askWorker, { file, tier: site.tier })
      } finally {
        await tab.context().close()
      }
    })

/** In the page: registers the worker and has it do its work. */
export async function askWorker({ file, tier }: { file: string; tier: string }): Promise<string> {
  await navigator.serviceWorker.register(file, { type: 'module' })
  const { active } = await navigator.serviceWorker.ready
  const answer = new Promise<string>((resolve) =>
    navigator.serviceWorker.addEventListener('message', ({ data }) => resolve(String(data)), { once: true }),
  )
  navigator.serviceWorker.startMessages()
  active?.postMessage(tier, [])
  return answer
}

type Ask = (site: Site, url: string) => Promise<string>

/** A server of the bundler's own, asked once it has said its port. */
export const server =
  ([program = '', ...args]: readonly string[], ask: Ask) =>
  (site: Site): Promise<string> =>
    asked({ command: join(site.folder, 'node_modules/.bin', program), args, cwd: site.folder }, site, ask)

/** A folder that the bundler has made to run alone, with its server.js: copied away from all that was installed. */
export const copied =
  (directory: string, ask: Ask) =>
  async (site: Site): Promise<string> => {
    const cwd = await makeDirectory('copied')
    try {
      await cp(join(site.folder, directory), cwd, { recursive: true, verbatimSymlinks: true })
      return await asked({ command: process.execPath, args: ['server.js'], cwd }, site, ask)
    } finally {
      await removeDirectory(cwd)
    }
  }

async function asked(program: ChildOptions, site: Site, ask: Ask): Promise<string> {
  const own = { TIER: site.tier, NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: '127.0.0.1', PORT: '0' }
  const child = await startChild({ ...program, env: { ...process.env, ...own } })
  try {
    // eslint-disable-next-line no-control-regex -- what it prints is coloured
    const plain = (line: string): string => line.replaceAll(/\u001b\[[\d;]*m/g, '')
    const url = await child.line(
      (line) => /https?:\/\/(?:localhost|127\.0\.0\.1):\d+/.exec(plain(line))?.[0],
      RUN_DEADLINE_MS,
    )
    return await ask(site, `${url}/`)
  } finally {
    // It may have children of its own, which it ends when it is asked to.
    await child.kill('SIGTERM')
    const timer = setTimeout(() => void child.kill(), STOP_DEADLINE_MS)
    await child.stopped
    clearTimeout(timer)
  }
}

export async function pageAt({ browser, tier }: Site, url: string): Promise<string> {
  const tab: Page = await browser.page()
  const lines = listen(tab)
  try {
    await tab.goto(`${url}?tier=${encodeURIComponent(tier)}`)
    await tab.waitForFunction(() => document.title.startsWith('RESULT '), undefined, {
      timeout: RUN_DEADLINE_MS,
    })
    return (await tab.title()).slice('RESULT '.length)
  } catch (error) {
    throw new Error(`${String(error)}\n${lines.join('\n')}`, { cause: error })
  } finally {
    await tab.context().close()
  }
}

export const fetched =
  (path: string): Ask =>
  async (_site, url) => {
    const deadline = AbortSignal.timeout(RUN_DEADLINE_MS)
    for (;;) {
      try {
        const answer = await fetch(new URL(path, url), { signal: deadline })
        return await answer.text()
      } catch (error) {
        // It says its address a moment before it listens.
        if (deadline.aborted) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
}

/** Serves a directory while `use` runs; what `isRefused` says yes to is answered with 503. */
export async function served<T>(
  directory: string,
  use: (url: string) => Promise<T>,
  isRefused: (path: string) => boolean = () => false,
): Promise<T> {
  const files = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname
    if (isRefused(path)) return response.writeHead(503).end()
    const file = join(directory, path.endsWith('/') ? `${path}index.html` : path)
    if (path === '/blank') return response.setHeader('content-type', 'text/html').end('<!doctype html>')
    if (!existsSync(file)) return response.writeHead(404).end()
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream')
    createReadStream(file).pipe(response)
    return response
  })
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve))
  try {
    const address = files.address()
    return await use(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`)
  } finally {
    files.closeAllConnections()
    files.close()
  }
}

export async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
}
