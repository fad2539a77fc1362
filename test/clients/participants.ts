import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

/** The programs of `programs/`: each is one unmodified client. */
export type Program = 'y-webrtc' | 'webtorrent' | 'tracker' | 'trystero-torrent' | 'trystero-relay'

export const PLATFORMS = ['Node', 'Chromium'] as const
export type Platform = (typeof PLATFORMS)[number]

/** One program that runs, in a process or a page of its own. */
export interface Participant {
  /** Calls a function of the program's `peer`, and waits for its result. Rejects with its error or at the deadline. */
  ask(does: string, options?: object, deadlineMs?: number): Promise<unknown>
  stop(): Promise<void>
}

export interface Participants {
  start(platform: Platform, program: Program): Promise<Participant>
  stop(): Promise<void>
}

const READY_DEADLINE_MS = 20_000
const ANSWER_DEADLINE_MS = 40_000
const RUNNER = fileURLToPath(new URL('programs/node.mjs', import.meta.url))

/** Starts participants. The browser starts with the first page. */
export function participants(): Participants {
  const running = new Set<Participant>()
  let pages: Promise<Pages> | undefined
  const browse = (): Promise<Pages> => (pages ??= openPages())
  return {
    start: async (platform, program) => {
      const participant = platform === 'Node' ? await inNode(program) : await (await browse()).open(program)
      const stop = async (): Promise<void> => {
        if (running.delete(participant)) await participant.stop()
      }
      running.add(participant)
      return { ask: (...question) => participant.ask(...question), stop }
    },
    stop: async () => {
      await Promise.all([...running].map((participant) => participant.stop()))
      await (await pages)?.stop()
    },
  }
}

async function inNode(program: Program): Promise<Participant> {
  const directory = await makeDirectory(program)
  const command = { command: process.execPath, args: [RUNNER, program], cwd: directory, input: true }
  const child = await startChild(command)
  const stop = async (): Promise<void> => {
    await child.stop()
    await removeDirectory(directory)
  }
  try {
    await child.line((line) => parse(line)?.['ready'], READY_DEADLINE_MS)
    return { ask: (does, options, deadlineMs) => askChild(child, { does, ...options }, deadlineMs), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

let asked = 0

function askChild(child: Child, command: object, deadlineMs = ANSWER_DEADLINE_MS): Promise<unknown> {
  const id = ++asked
  child.tell(JSON.stringify({ id, ...command }))
  const answered = child.line((line) => {
    const said = parse(line)
    if (said?.['id'] !== id) return undefined
    if ('error' in said) throw new Error(String(said['error']))
    return { result: said['result'] }
  }, deadlineMs)
  return answered.then(({ result }) => result)
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // output of a library
  }
}

interface Pages {
  open(program: Program): Promise<Participant>
  stop(): Promise<void>
}

async function openPages(): Promise<Pages> {
  const browser = await launchChromium()
  const scripts = new Map<string, Promise<string>>()
  const server = createServer((request, response) => {
    const [, program = '', file] = request.url?.split('/') ?? []
    const isScript = file === 'script.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    const page = '<!doctype html><script type="module" src="script.js"></script>'
    // The page is opened after its script is bundled.
    void (isScript ? scripts.get(program) : Promise.resolve(page))?.then((text) => response.end(text))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    open: async (program) => {
      if (!scripts.has(program)) scripts.set(program, bundle(program))
      await scripts.get(program)
      return inPage(browser, `http://127.0.0.1:${port}/${program}/`)
    },
    stop: async () => {
      await browser.stop()
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Opens a page in a context of its own, so that pages meet over the server alone and not by a BroadcastChannel. */
async function inPage(browser: ChromiumBrowser, url: string): Promise<Participant> {
  const context = await browser.context()
  const page = await context.page(url)
  const said = listen(page)
  await page.waitForFunction(() => 'peer' in globalThis, undefined, { timeout: READY_DEADLINE_MS })
  const ask = async (does: string, options = {}, deadlineMs = ANSWER_DEADLINE_MS): Promise<unknown> => {
    const call = `globalThis.peer[${JSON.stringify(does)}](${JSON.stringify(options)})`
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      const fail = (): void =>
        reject(new Error(`no answer to '${does}' within ${deadlineMs} ms:\n${said.join('\n')}`))
      timer = setTimeout(fail, deadlineMs)
    })
    try {
      return await Promise.race([page.evaluate(call), late])
    } finally {
      clearTimeout(timer)
    }
  }
  return { ask, stop: () => context.close() }
}

/** A program as one script for a page. WebTorrent publishes such a script of its own. */
async function bundle(program: Program): Promise<string> {
  const entry = fileURLToPath(new URL('programs/page-entry.js', import.meta.url))
  const build = await rolldown({
    input: entry,
    platform: 'browser',
    logLevel: 'silent',
    resolve: { alias: { webtorrent: 'webtorrent/dist/webtorrent.min.js' } },
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === entry ? id : undefined),
        load: (id) =>
          id === entry ? `import { peer } from './${program}.mjs'\nglobalThis.peer = peer` : undefined,
      },
    ],
  })
  const { output } = await build.generate({ format: 'es', codeSplitting: false })
  await build.close()
  return output[0].code
}
