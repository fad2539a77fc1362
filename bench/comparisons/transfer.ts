import type { Page } from 'playwright-core'
import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { openTwoPages, serveEntry } from '../lib/two-pages.js'
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
    const two = await openTwoPages((context) => openMover(context.newPage(), url), ms)
    const [sender, receiver] = two.pages
    const offer = await sender.evaluate(() => globalThis.raw.offer())
    const answer = await receiver.evaluate((offer) => globalThis.raw.answer(offer), offer)
    await sender.evaluate((answer) => globalThis.raw.take(answer), answer)
    return {
      measure: () => move(sender, receiver, quick ? quickMib : mib),
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
    const two = await openTwoPages((context) => openMover(context.newPage(), url), ms)
    const [sender, receiver] = two.pages
    const port = stack.ports[0] ?? 0
    await sender.evaluate((port) => globalThis.mover.here(port, 'sender'), port)
    await receiver.evaluate((port) => globalThis.mover.here(port, 'receiver'), port)
    return {
      measure: () => move(sender, receiver, quick ? quickMib : mib),
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
    const two = await openTwoPages((context) => openMover(context.newPage(), url), ms)
    const [sender, receiver] = two.pages
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
      measure: () => move(sender, receiver, quick ? quickMib : mib),
      stop: async () => {
        await two.stop()
        stopServer()
        await stack.stop()
      },
    }
  },
})

async function openMover(opening: Promise<Page>, url: string): Promise<Page> {
  const page = await opening
  await page.goto(url)
  await page.waitForFunction(() => 'mover' in globalThis)
  return page
}

async function move(sender: Page, receiver: Page, mib: number): Promise<Metrics> {
  const bytes = mib * MIB
  const seconds = receiver.evaluate((bytes) => globalThis.mover.receive(bytes), bytes)
  await sender.evaluate((bytes) => globalThis.mover.send('receiver', bytes), bytes)
  return { mibPerSecond: mib / (await seconds) }
}

const comparisonOf = (delay: Delay): Comparison => ({
  id: delay.id,
  title: `A file from one browser to another${delay.ms > 0 ? `, ${delay.ms * 2} ms of delay` : ''}`,
  load: `two Chromium contexts on one machine, ${delay.mib} MiB a round`,
  processes: 'kept',
  rounds: 5,
  contenders: [raw(delay), peerjs(delay), bare(delay, BARE, 1), bare(delay, BARE_FOUR, 4)],
  rows: rowsOf(),
})

const rowsOf = (): Row[] => [
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: PEERJS, against: RAW },
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: BARE, against: RAW },
  { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: BARE_FOUR, against: RAW },
]

export const transfer: readonly Comparison[] = [comparisonOf(NEAR), comparisonOf(FAR)]
