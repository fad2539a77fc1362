import { statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from '@peerage/test-support/process.js'
import { seeded } from '@peerage/test-support/random.js'
import { BROWSERS, type BrowserName } from '../browsers.js'
import type { Case, Settings } from '../case.js'
import type { Tab } from '../tab.js'
import { eventsOf, receive, send } from '../terminal.js'
import { hashOf, MIB, randomFile, saved, startTestbed } from '../testbed.js'

// A transfer that is broken at a random byte, again and again, and resumed.

const MOVED_MS = 300_000
const NAME = 'content.bin'
const WAY = 'Keep in this browser'
/** The journal of a terminal: a header, which is shorter than this, and a record for each block. */
const HEADER_BYTES = 200
const RECORD_BYTES = 36

export const breaks: readonly Case[] = [
  { id: 'breaks:terminal', title: 'a terminal that receives is killed', run: ofTerminal },
  ...BROWSERS.map((browser) => ({
    id: `breaks:${browser}`,
    title: `the tab of a guest is reloaded or closed, ${browser}`,
    run: (settings: Settings) => ofBrowser(browser, settings),
  })),
]

/** Where it is broken, in bytes: rising, and each at a random place. */
function places({ breaks: count, seed }: Settings, bytes: number): number[] {
  const random = seeded(seed)
  return Array.from({ length: count }, () => random.between(1, Math.floor(bytes * 0.9))).sort((a, b) => a - b)
}

async function ofTerminal(settings: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = settings.megabytes * MIB
    const file = await randomFile(bed.folder, NAME, bytes)
    const { sender, link } = await send(bed, ['--once', '--no-code', NAME])
    const out = join(bed.folder, 'out')
    const journal = join(out, `${NAME}.part.journal`)
    let broken = 0
    for (const place of places(settings, bytes)) {
      const child = await receive(bed, ['--to', 'out', link])
      const size = HEADER_BYTES + RECORD_BYTES * Math.floor(place / MIB)
      const isThere = (): boolean => (statSync(journal, { throwIfNoEntry: false })?.size ?? 0) > size
      await eventually(
        `${place} bytes are on the disk`,
        async () => {
          if (!isThere() && !(await readdir(out)).includes(NAME)) throw new Error('not yet')
          return true
        },
        { deadlineMs: MOVED_MS },
      )
      await child.kill('SIGKILL')
      await child.stopped
      if ((await readdir(out)).includes(NAME)) break
      broken++
    }
    const journalBytes = statSync(journal, { throwIfNoEntry: false })?.size ?? 0
    const last = await receive(bed, ['--to', 'out', link])
    const { code } = await last.stopped
    if (code !== 0) throw new Error(`the receiver ended with ${code}\n${last.output()}`)
    // Before its place is open, an accepted file has no bytes.
    const first = eventsOf(last).find(({ event, bytesDone }) => event === 'progress' && Number(bytesDone) > 0)
    const kept = Math.floor((journalBytes - HEADER_BYTES) / RECORD_BYTES) * MIB
    if (!(Number(first?.['bytesDone']) >= kept))
      throw new Error(
        `the last one began at ${String(first?.['bytesDone'])}, although ${kept} bytes were kept`,
      )
    if ((await hashOf(join(out, NAME))) !== (await hashOf(file))) throw new Error('the hash differs')
    if ((await readdir(out)).length !== 1) throw new Error(`left over: ${String(await readdir(out))}`)
    if ((await sender.stopped).code !== 0) throw new Error(sender.output())
    return `killed ${broken} times`
  } finally {
    await bed.stop()
  }
}

async function ofBrowser(name: BrowserName, settings: Settings): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = settings.megabytes * MIB
    const file = await randomFile(bed.folder, NAME, bytes)
    const host = await (await bed.browser(name)).open(bed.url)
    const link = await host.link()
    await host.share([file])
    const browser = await bed.browser(name)
    let guest = await browser.open(link)
    await guest.accept(WAY)
    let [broken, moved] = [0, 0]
    for (const place of places(settings, bytes)) {
      const kept = await guest.untilBytes(NAME, place, MOVED_MS)
      if (kept === 0) break
      moved += await guest.bytesReceived()
      broken++
      if (broken % 2 === 0) await guest.reload()
      else guest = await anotherTab(guest, () => browser.open(link))
    }
    await guest.untilRow(NAME, 'complete', MOVED_MS)
    moved += await guest.bytesReceived()
    // The tabs that were closed are other guests, which are still shown as gone.
    await host.see('1 file was delivered', MOVED_MS)
    await guest.press(`Save ${NAME}`)
    const copy = join(browser.downloads, NAME)
    await saved(copy, bytes)
    if ((await hashOf(copy)) !== (await hashOf(file))) throw new Error('the hash differs')
    // Up to 8 MiB were on their way each time.
    if (moved > bytes + (broken + 1) * 16 * MIB) throw new Error(`${moved} bytes were moved for ${bytes}`)
    return `broken ${broken} times, ${Math.round(moved / 1e6)} MB moved for ${Math.round(bytes / 1e6)} MB`
  } finally {
    await bed.stop()
  }
}

/** Without a goodbye. The new tab knows nothing of the old one, so the person accepts again. */
async function anotherTab(guest: Tab, open: () => Promise<Tab>): Promise<Tab> {
  await guest.close()
  const next = await open()
  await next.accept(WAY)
  return next
}
