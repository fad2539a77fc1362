import { join } from 'node:path'
import { watchGrowth } from '@peerage/test-support/tree-memory.js'
import { BROWSERS, type BrowserName } from '../browsers.js'
import type { Case, Settings } from '../case.js'
import { eventOf, receive, send } from '../terminal.js'
import { MIB, saved, sparseFile, startTestbed } from '../testbed.js'

// Memory does not grow with the size of a file: a sparse file of 4 GB, with the memory of each side watched.

const MOVED_MS = 1_500_000
/** What either side may have more than before, in bytes. */
const GROWTH_BYTES_MAX = 150e6

/** Where a guest's page puts the file: into its own storage, or into a download. */
const WAYS = { own: 'Keep in this browser', download: 'As a download' } as const
type Way = keyof typeof WAYS

export const memory: readonly Case[] = [
  ...BROWSERS.flatMap((browser) =>
    (['own', 'download'] as const).map((way) => ({
      id: `memory:${browser}:${way}`,
      title: `the memory of two browsers, ${way === 'own' ? 'into OPFS' : 'into a download'}`,
      run: (settings: Settings) => ofBrowsers(browser, way, settings),
    })),
  ),
  { id: 'memory:terminal', title: 'the memory of two terminals', run: ofTerminals },
]

const NAME = 'zeros.bin'

async function ofBrowsers(name: BrowserName, way: Way, { sparseMegabytes }: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = sparseMegabytes * MIB
    const file = await sparseFile(bed.folder, NAME, bytes)
    const [hostBrowser, guestBrowser] = [await bed.browser(name), await bed.browser(name)]
    const host = await hostBrowser.open(bed.url)
    const link = await host.link()
    await host.share([file])
    const guest = await guestBrowser.open(link)
    await guest.see(NAME)
    await guest.choose(WAYS[way])
    const watch = watchBoth(hostBrowser.pid, guestBrowser.pid)
    const startedAt = performance.now()
    await guest.accept()
    await guest.untilRow(NAME, 'complete', MOVED_MS)
    await host.untilRow(NAME, 'complete', MOVED_MS)
    const seconds = (performance.now() - startedAt) / 1000
    if (way === 'own') await guest.press(`Save ${NAME}`)
    await saved(join(guestBrowser.downloads, NAME), bytes)
    return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s, ${watch.judge()}`
  } finally {
    await bed.stop()
  }
}

async function ofTerminals({ sparseMegabytes }: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = sparseMegabytes * MIB
    await sparseFile(bed.folder, NAME, bytes)
    const { sender, link } = await send(bed, ['--once', '--no-code', NAME])
    const receiver = await receive(bed, ['--to', 'out', link])
    await eventOf(receiver, 'offer')
    const watch = watchBoth(sender.pid, receiver.pid)
    const startedAt = performance.now()
    const { code } = await receiver.stopped
    if (code !== 0) throw new Error(`the receiver ended with ${code}\n${receiver.output()}`)
    const seconds = (performance.now() - startedAt) / 1000
    await saved(join(bed.folder, 'out', NAME), bytes)
    return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s, ${watch.judge()}`
  } finally {
    await bed.stop()
  }
}

function watchBoth(host: number, guest: number): { judge(): string } {
  const [hostWatch, guestWatch] = [watchGrowth(host), watchGrowth(guest)]
  return {
    judge: () => {
      const sides = { host: hostWatch.stop(), guest: guestWatch.stop() }
      const texts = Object.entries(sides).map(
        ([side, { before, more }]) => `${side} ${inMegabytes(before)} + ${inMegabytes(more)}`,
      )
      const where = Object.entries(sides).map((side) => `${side[0]}: ${side[1].where}`)
      if (Object.values(sides).some(({ more }) => more > GROWTH_BYTES_MAX))
        throw new Error(`memory has grown: ${texts.join(', ')}\n${where.join('\n')}`)
      return texts.join(', ')
    },
  }
}

const inMegabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`
