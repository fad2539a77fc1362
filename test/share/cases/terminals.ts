import { join } from 'node:path'
import { BROWSERS, type BrowserName } from '../browsers.js'
import type { Case, Settings } from '../case.js'
import { receive, send } from '../terminal.js'
import { hashOf, MIB, randomFile, saved, startTestbed } from '../testbed.js'

// Between a browser and a terminal.

const MOVED_MS = 300_000
const NAME = 'content.bin'
type Way = 'Keep in this browser' | 'As a download'

export const terminals: readonly Case[] = BROWSERS.flatMap((browser) => [
  {
    id: `terminal:${browser}`,
    title: `peerage send → ${browser}`,
    run: (settings: Settings) => toBrowser(browser, 'Keep in this browser', settings),
  },
  {
    id: `download:${browser}`,
    title: `peerage send → ${browser}, as a download`,
    run: (settings: Settings) => toBrowser(browser, 'As a download', settings),
  },
  {
    id: `${browser}:terminal`,
    title: `${browser} → peerage receive`,
    run: (settings: Settings) => toTerminal(browser, settings),
  },
])

async function toBrowser(name: BrowserName, way: Way, { megabytes }: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = megabytes * MIB
    const file = await randomFile(bed.folder, NAME, bytes)
    const { sender, link } = await send(bed, ['--once', '--no-code', NAME])
    const browser = await bed.browser(name)
    const guest = await browser.open(link)
    const startedAt = performance.now()
    await guest.accept(way)
    await guest.untilRow(NAME, 'complete', MOVED_MS)
    const seconds = (performance.now() - startedAt) / 1000
    if (way === 'Keep in this browser') await guest.press(`Save ${NAME}`)
    const copy = join(browser.downloads, NAME)
    await saved(copy, bytes)
    if ((await hashOf(copy)) !== (await hashOf(file))) throw new Error('the hash differs')
    const { code } = await sender.stopped
    if (code !== 0) throw new Error(`the sender ended with ${code}\n${sender.output()}`)
    return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`
  } finally {
    await bed.stop()
  }
}

async function toTerminal(name: BrowserName, { megabytes }: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = megabytes * MIB
    const file = await randomFile(bed.folder, NAME, bytes)
    const host = await (await bed.browser(name)).open(bed.url)
    const link = await host.link()
    await host.share([file])
    const startedAt = performance.now()
    const receiver = await receive(bed, ['--to', 'out', link])
    const { code } = await receiver.stopped
    const seconds = (performance.now() - startedAt) / 1000
    if (code !== 0) throw new Error(`the receiver ended with ${code}\n${receiver.output()}`)
    await host.untilRow(NAME, 'complete', MOVED_MS)
    if ((await hashOf(join(bed.folder, 'out', NAME))) !== (await hashOf(file)))
      throw new Error('the hash differs')
    return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`
  } finally {
    await bed.stop()
  }
}
