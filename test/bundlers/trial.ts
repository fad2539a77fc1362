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

/** A published bundler and its trials. */
export interface Bundler {
  name: string
  /** The packages as name@version, the bundler first. */
  packages: readonly string[]
  /** Files in addition to those of the app, such as configuration. */
  files?: Readonly<Record<string, string>>
  /** Fields of package.json in addition to the dependencies. */
  manifest?: object
  trials: readonly Trial[]
}

export interface Trial {
  /** Where the result runs. */
  platform: string
  /** The entry that the app imports. */
  entry: '@peerage/client' | '@peerage/client/static'
  /** Commands that run one after another in the bundler's folder. Programs are looked up in node_modules/.bin first. */
  build: readonly (readonly string[])[]
  run: (site: Site) => Promise<string>
  expect: RegExp
  /** The settings that a user needs. */
  setting?: string
}

/** A bundler's folder, and the node and browser for its results. */
export interface Site {
  folder: string
  nodeUrl: string
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

/** The result if WebRTC works. */
export const DIRECT = /^relayed, room, direct$/
/** The result without node-datachannel: the server carries messages, and the error names the missing package. */
export const NO_WEBRTC = /^relayed, room, .*install node-datachannel/
/** The result in a worker, where browsers have no WebRTC. */
export const IN_WORKER = /^relayed, room, .*browsers have it in windows, not in workers/

/** Runs a program in a folder until it ends. Rejects with its output if its exit code is not 0. */
export async function runIn(folder: string, command: readonly string[]): Promise<string> {
  const [program = '', ...args] = command
  const local = join(folder, 'node_modules/.bin', program)
  const child = await startChild({
    command: existsSync(local) ? local : program,
    args,
    cwd: folder,
    env: { NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
  })
  const timer = setTimeout(() => void child.kill(), BUILD_DEADLINE_MS)
  const { code } = await child.stopped
  clearTimeout(timer)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${child.output()}`)
  return child.lines.join('\n')
}

/** Runs the bundle in place, below a node_modules. */
export const node =
  (file: string) =>
  ({ folder, nodeUrl }: Site): Promise<string> =>
    resultOf(join(folder, file), nodeUrl)

/** Runs the bundle in a folder that contains nothing else. */
export const alone =
  (file: string) =>
  async ({ folder, nodeUrl }: Site): Promise<string> => {
    const empty = await makeDirectory('bundle')
    try {
      const target = join(empty, `bundle${extname(file)}`)
      await cp(join(folder, file), target)
      return await resultOf(target, nodeUrl)
    } finally {
      await removeDirectory(empty)
    }
  }

async function resultOf(file: string, nodeUrl: string, args: readonly string[] = []): Promise<string> {
  const env = { SERVER_URL: nodeUrl }
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

/** Runs the app `parts` or the worker in Firefox. */
export const firefox =
  (what: 'parts' | 'worker') =>
  async ({ folder, nodeUrl }: Site): Promise<string> => {
    const { path } = await findBinary(FIREFOX)
    return resultOf(join(folder, 'firefox.js'), nodeUrl, [path, what])
  }

/** Runs the built page of a folder in Chromium. */
export const page =
  (directory: string) =>
  (site: Site): Promise<string> =>
    served(join(site.folder, directory), (url) => pageAt(site, url))

/** Runs a module service worker of a folder in Chromium. */
export const serviceWorker =
  (directory: string, file: string) =>
  (site: Site): Promise<string> =>
    served(join(site.folder, directory), async (url) => {
      const tab = await site.browser.page(`${url}blank`)
      try {
        return await tab.evaluate(askWorker, { file, nodeUrl: site.nodeUrl })
      } finally {
        await tab.context().close()
      }
    })

/** Runs in the page: registers the worker and asks it to do its work. */
export async function askWorker({ file, nodeUrl }: { file: string; nodeUrl: string }): Promise<string> {
  await navigator.serviceWorker.register(file, { type: 'module' })
  const { active } = await navigator.serviceWorker.ready
  const answer = new Promise<string>((resolve) =>
    navigator.serviceWorker.addEventListener('message', ({ data }) => resolve(String(data)), { once: true }),
  )
  navigator.serviceWorker.startMessages()
  active?.postMessage(nodeUrl, [])
  return answer
}

type Ask = (site: Site, url: string) => Promise<string>

/** Starts the bundler's own server and asks it for a result when it has printed its port. */
export const server =
  ([program = '', ...args]: readonly string[], ask: Ask) =>
  (site: Site): Promise<string> =>
    asked({ command: join(site.folder, 'node_modules/.bin', program), args, cwd: site.folder }, site, ask)

/** Runs server.js in a copy of a standalone folder that the bundler has made, away from the installed packages. */
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
  const own = { SERVER_URL: site.nodeUrl, NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: '127.0.0.1', PORT: '0' }
  const child = await startChild({ ...program, env: own })
  try {
    // eslint-disable-next-line no-control-regex -- the output has colour codes
    const plain = (line: string): string => line.replaceAll(/\u001b\[[\d;]*m/g, '')
    const url = await child.line(
      (line) => /https?:\/\/(?:localhost|127\.0\.0\.1):\d+/.exec(plain(line))?.[0],
      RUN_DEADLINE_MS,
    )
    return await ask(site, `${url}/`)
  } finally {
    // SIGTERM first, because the program may have child processes that it ends itself.
    await child.kill('SIGTERM')
    const timer = setTimeout(() => void child.kill(), STOP_DEADLINE_MS)
    await child.stopped
    clearTimeout(timer)
  }
}

export async function pageAt({ browser, nodeUrl }: Site, url: string): Promise<string> {
  const tab: Page = await browser.page()
  const lines = listen(tab)
  try {
    await tab.goto(`${url}?node=${encodeURIComponent(nodeUrl)}`)
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
        // The server prints its address shortly before it listens.
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

/** Serves a directory while `use` runs. Paths for which `isRefused` is true get 503. */
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
