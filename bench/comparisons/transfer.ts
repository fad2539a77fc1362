import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { openTwoPages, serveEntry, type TwoPages } from '../lib/two-pages.js'
import { startStack } from '../stacks.js'
import { PEERJS_ENTRY, RAW_ENTRY, TRANSFER_ENTRY, type Mover } from './transfer-entries.js'

const MIB = 1024 * 1024

/** The load at one delay. */
interface Delay {
  id: string
  /** One way. */
  ms: number
  mib: number
  quickMib: number
}

const NEAR: Delay = { id: 'transfer', ms: 0, mib: 256, quickMib: 16 }
const FAR: Delay = { id: 'transfer-20ms', ms: 10, mib: 64, quickMib: 8 }

const RAW = 'RTCDataChannel'
const PEERJS = 'peerjs'
const PAGE = 'peerage, the page'
const BARE = 'peerage, hash and disk off'
const BARE_FOUR = 'peerage, hash and disk off, 4 channels'

interface RawDescription {
  type: RTCSdpType
  sdp: string
  candidates: RTCIceCandidateInit[]
}

declare global {
  var mover: Mover
  var raw: {
    offer(): Promise<RawDescription>
    answer(offer: RawDescription): Promise<RawDescription>
    take(answer: RawDescription): Promise<void>
  }
}

const raw = ({ ms, mib, quickMib }: Delay): Contender => ({
  name: RAW,
  start: async ({ quick }) => {
    const { url, stop: stopServer } = await serveEntry(RAW_ENTRY)
    const two = await openTwoPages(ms)
    const [sender, receiver] = two.pages
    for (const page of two.pages) await openMover(page, url)
    const offer = await sender.evaluate(() => globalThis.raw.offer())
    const answer = await receiver.evaluate((offer) => globalThis.raw.answer(offer), offer)
    await sender.evaluate((answer) => globalThis.raw.take(answer), answer)
    return {
      measure: () => move(two, quick ? quickMib : mib),
      stop: async () => {
        await two.stop()
        stopServer()
      },
    }
  },
})

const peerjs = ({ ms, mib, quickMib }: Delay): Contender => ({
  name: PEERJS,
  start: async ({ quick }) => {
    const stack = await startStack('peer', 1)
    const { url, stop: stopServer } = await serveEntry(PEERJS_ENTRY)
    const two = await openTwoPages(ms)
    const [sender, receiver] = two.pages
    for (const page of two.pages) await openMover(page, url)
    const port = stack.ports[0] ?? 0
    await sender.evaluate((port) => globalThis.mover.here(port, 'sender'), port)
    await receiver.evaluate((port) => globalThis.mover.here(port, 'receiver'), port)
    return {
      measure: () => move(two, quick ? quickMib : mib),
      stop: async () => {
        await two.stop()
        stopServer()
        await stack.stop()
      },
    }
  },
})

const bare = ({ ms, mib, quickMib }: Delay, name: string, channels: number): Contender => ({
  name,
  start: async ({ quick }) => {
    const stack = await startStack('peerage', 1)
    const { url, stop: stopServer } = await serveEntry(TRANSFER_ENTRY)
    const two = await openTwoPages(ms)
    const [sender, receiver] = two.pages
    for (const page of two.pages) await openMover(page, url)
    const here = { port: stack.ports[0] ?? 0, channels }
    for (const [page, name] of [
      [sender, 'sender'],
      [receiver, 'receiver'],
    ] as const)
      await page.evaluate((given) => globalThis.mover.here(given.port, given.name, given.channels), {
        ...here,
        name,
      })
    const fragment = await sender.evaluate(() => globalThis.mover.share?.() ?? '')
    await receiver.evaluate((fragment) => globalThis.mover.join?.('sender', fragment), fragment)
    return {
      measure: () => move(two, quick ? quickMib : mib),
      stop: async () => {
        await two.stop()
        stopServer()
        await stack.stop()
      },
    }
  },
})

async function openMover(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await page.waitForFunction(() => 'mover' in globalThis)
}

/** The page of a node, as people use it: the sender reads and hashes a file, and the receiver checks and stores it. */
const page = ({ ms, mib, quickMib }: Delay): Contender => ({
  name: PAGE,
  start: async ({ quick }) => {
    const stack = await startStack('peerage', 1)
    const two = await openTwoPages(ms)
    const folder = await mkdtemp(join(tmpdir(), 'peerage-bench-'))
    const [sender, receiver] = two.pages
    const url = `http://127.0.0.1:${stack.ports[0] ?? 0}/`
    await sender.goto(url)
    const link = await sender.getByLabel('Link to this share').inputValue()
    await receiver.goto(link)
    let files = 0
    return {
      measure: async () => {
        const size = quick ? quickMib : mib
        const name = `bench-${++files}.bin`
        await writeFile(join(folder, name), randomBytes(size * MIB))
        await sender.locator('[data-pick=files]').first().setInputFiles(join(folder, name))
        await receiver.getByRole('radio', { name: 'Keep in this browser' }).check()
        const memory = two.watchMemory()
        const [total, first] = await receiver.evaluate(acceptAndWait, name)
        const memoryMiB = memory.stop()
        await rm(join(folder, name))
        return { mibPerSecond: size / total, firstByteMs: first * 1000, memoryMiB }
      },
      stop: async () => {
        await two.stop()
        await stack.stop()
        await rm(folder, { recursive: true, force: true })
      },
    }
  },
})

/**
 * Runs in the receiver's page. Accepts the offer, and resolves with the seconds until the file is complete, and until the
 * page showed that bytes had come.
 */
async function acceptAndWait(name: string): Promise<[total: number, first: number]> {
  const button = [...document.querySelectorAll('button')].find(({ textContent }) =>
    /^Get \d/.test(textContent),
  )
  if (button === undefined) throw new Error('the page shows no button to get the file')
  const row = (): Element | null => document.querySelector(`[data-direction][data-file="${name}"]`)
  const start = performance.now()
  const since = (): number => (performance.now() - start) / 1000
  button.click()
  let first: number | undefined
  for (;;) {
    await new Promise((resolve) => requestAnimationFrame(resolve))
    const state = row()?.getAttribute('data-state')
    if ((row()?.querySelector('progress')?.value ?? 0) > 0) first ??= since()
    if (state === 'complete') return [since(), first ?? since()]
    if (state === 'ended') throw new Error(`the file ended: ${row()?.textContent}`)
  }
}

async function move({ pages: [sender, receiver], watchMemory }: TwoPages, mib: number): Promise<Metrics> {
  const bytes = mib * MIB
  const memory = watchMemory()
  const seconds = receiver.evaluate((bytes) => globalThis.mover.receive(bytes), bytes)
  await sender.evaluate((bytes) => globalThis.mover.send('receiver', bytes), bytes)
  return { mibPerSecond: mib / (await seconds), memoryMiB: memory.stop() }
}

const comparisonOf = (delay: Delay): Comparison => ({
  id: delay.id,
  title: `A file from one browser to another${delay.ms > 0 ? `, ${delay.ms * 2} ms of delay` : ''}`,
  load: `two tabs of one Chromium, ${delay.mib} MiB a round`,
  processes: 'kept',
  rounds: 5,
  contenders: [raw(delay), peerjs(delay), page(delay), bare(delay, BARE, 1), bare(delay, BARE_FOUR, 4)],
  rows: rowsOf(),
})

/** 150 MB for each side. */
const BOTH_SIDES_MIB = 286

const memoryOf = (subject: string): Row => ({
  measure: 'memory that a file adds, both sides',
  metric: 'memoryMiB',
  unit: 'MiB',
  subject,
})

const rowsOf = (): Row[] => [
  {
    measure: 'bytes moved, hash and disk on',
    metric: 'mibPerSecond',
    unit: 'MiB/s',
    subject: PAGE,
    against: RAW,
    aim: { of: 'ratio', least: 0.9 },
  },
  {
    measure: 'bytes moved, hash and disk on',
    metric: 'mibPerSecond',
    unit: 'MiB/s',
    subject: PAGE,
    against: PEERJS,
    aim: { of: 'ratio', least: 1.5 },
  },
  { measure: 'accept → first bytes shown', metric: 'firstByteMs', unit: 'ms', subject: PAGE },
  { ...memoryOf(PAGE), aim: { of: 'value', most: BOTH_SIDES_MIB } },
  memoryOf(RAW),
  memoryOf(PEERJS),
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: PEERJS, against: RAW },
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: BARE, against: RAW },
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: BARE_FOUR, against: RAW },
]

export const transfer: readonly Comparison[] = [comparisonOf(NEAR), comparisonOf(FAR)]
