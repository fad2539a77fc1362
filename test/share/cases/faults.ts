import { mkdir, open, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BROWSERS, type BrowserName } from '../browsers.js'
import type { Case } from '../case.js'
import { canMountDisks } from '../own-disk.js'
import { eventOf, eventsOf, receive, send, type Told } from '../terminal.js'
import { MIB, randomFile, saved, sparseFile, startTestbed } from '../testbed.js'

// A file that changes or goes, a disk or a quota that is full, and wrong passwords: each is told on both sides.

const MOVED_MS = 180_000
const NAME = 'content.bin'
const NEXT = 'next.txt'
const WAY = 'Keep in this browser'
/** Takes seconds to send. */
const LONG_BYTES = 300 * MIB
const ROOM_MIB = 16
/** Firefox lets a site use a fifth of what all sites have together. */
const FIREFOX_SHARES = 5
const PASSWORD_TRIES = 10

type Change = 'shorter' | 'other-bytes' | 'removed'
const CHANGES: readonly Change[] = ['shorter', 'other-bytes', 'removed']

export const faults: readonly Case[] = [
  ...BROWSERS.flatMap((browser) => [
    ...CHANGES.map((change) => ({
      id: `changed:${browser}:${change}`,
      title: `the file of a host in ${browser} is changed while it is sent: ${change}`,
      run: () => changing(browser, change),
    })),
    { id: `full:${browser}`, title: `the quota of ${browser} is used up`, run: () => fullBrowser(browser) },
  ]),
  { id: 'full:terminal', title: 'the disk of a terminal is full', run: fullDisk },
  { id: 'password:terminal', title: 'a wrong password, ten times', run: wrongPasswords },
]

async function changing(name: BrowserName, change: Change): Promise<string> {
  const bed = await startTestbed()
  try {
    const file = await randomFile(bed.folder, NAME, LONG_BYTES)
    await writeFile(join(bed.folder, NEXT), 'the next file')
    const host = await (await bed.browser(name)).open(bed.url)
    const link = await host.link()
    await host.share([file, join(bed.folder, NEXT)])
    const browser = await bed.browser('chromium')
    const guest = await browser.open(link)
    await guest.accept(WAY)
    await guest.untilBytes(NAME, 20 * MIB)
    await changeFile(file, change)
    const [there, here] = [
      await host.untilRow(NAME, 'ended', MOVED_MS),
      await guest.untilRow(NAME, 'ended', MOVED_MS),
    ]
    await guest.untilRow(NEXT, 'complete', MOVED_MS)
    await host.untilRow(NEXT, 'complete', MOVED_MS)
    await guest.press(`Save ${NEXT}`)
    await saved(join(browser.downloads, NEXT), 'the next file'.length)
    return `host: «${there.note}», guest: «${here.note}»`
  } finally {
    await bed.stop()
  }
}

async function changeFile(path: string, change: Change): Promise<void> {
  switch (change) {
    case 'shorter':
      return truncate(path, 10)
    case 'removed':
      return rm(path)
    case 'other-bytes': {
      // In place, so that the file is never shorter meanwhile.
      const file = await open(path, 'r+')
      for (let at = 0; at < LONG_BYTES; at += MIB) await file.write(Buffer.alloc(MIB, 7), 0, MIB, at)
      await file.close()
      // A file system may keep whole seconds.
      return utimes(path, new Date(), new Date(Date.now() + 10_000))
    }
  }
}

async function fullBrowser(name: BrowserName): Promise<string> {
  const bed = await startTestbed()
  try {
    await sparseFile(bed.folder, NAME, LONG_BYTES)
    await writeFile(join(bed.folder, NEXT), 'the next file')
    const host = await (await bed.browser('chromium')).open(bed.url)
    const link = await host.link()
    await host.share([join(bed.folder, NAME), join(bed.folder, NEXT)])
    const limit = { 'dom.quotaManager.temporaryStorage.fixedLimit': (2 * FIREFOX_SHARES * LONG_BYTES) / 1024 }
    const browser = await bed.browser(name, name === 'firefox' ? limit : {})
    const guest = await browser.open(link)
    await guest.choose(WAY)
    // The page has seen that the files fit, and then something else takes the room.
    if (name === 'firefox') await guest.page.evaluate(fillOwnStorage, 3 * ROOM_MIB * MIB)
    else {
      const tools = await guest.page.createCDPSession()
      await tools.send('Storage.overrideQuotaForOrigin', { origin: bed.url, quotaSize: ROOM_MIB * MIB })
    }
    await guest.accept()
    const here = await guest.untilRow(NAME, 'ended', MOVED_MS)
    const there = await host.untilRow(NAME, 'ended', MOVED_MS)
    await guest.untilRow(NEXT, 'complete', MOVED_MS)
    return `host: «${there.note}», guest: «${here.note}»`
  } finally {
    await bed.stop()
  }
}

/** Runs in the page. Leaves so many bytes free. */
async function fillOwnStorage(left: number): Promise<void> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate()
  const folder = await navigator.storage.getDirectory()
  const file = await (await folder.getFileHandle('filler', { create: true })).createWritable()
  await file.write(new Blob([new Uint8Array(quota - usage - left)]))
  await file.close()
}

/** Of the files, the first is larger than the disk, and of the next two only one fits. */
async function fullDisk(): Promise<string> {
  const able = await canMountDisks()
  if (!able.ok) throw new Error(able.reason)
  const bed = await startTestbed()
  try {
    const sizes = { [NAME]: 4 * ROOM_MIB, 'fits.bin': 0.6 * ROOM_MIB, 'second.bin': 0.6 * ROOM_MIB }
    for (const [name, size] of Object.entries(sizes))
      await sparseFile(bed.folder, name, Math.floor(size * MIB))
    await writeFile(join(bed.folder, NEXT), 'the next file')
    await mkdir(join(bed.folder, 'small'))
    const { sender, link } = await send(bed, ['--no-code', ...Object.keys(sizes), NEXT])
    const receiver = await bed.peerage(['receive', '--json', '--yes', '--to', 'small', link], {
      disk: { folder: 'small', size: ROOM_MIB },
    })
    const { code } = await receiver.stopped
    if (code !== 1) throw new Error(`it ended with ${code} and not with 1\n${receiver.output()}`)
    const states = (path: string): string =>
      eventsOf(receiver)
        .filter((told) => told['event'] === 'file' && told['path'] === path)
        .map(({ state }) => String(state))
        .join()
    for (const path of [NAME, 'second.bin'])
      if (states(path) !== 'ended') throw new Error(`${path}: ${states(path)}\n${receiver.output()}`)
    for (const path of ['fits.bin', NEXT])
      if (!states(path).endsWith('complete'))
        throw new Error(`${path}: ${states(path)}\n${receiver.output()}`)
    const ended = ({ path, state }: Told): boolean => path === NAME && state === 'ended'
    const here = eventsOf(receiver).find(ended)
    const there = await eventOf(sender, 'file', ended)
    return `sender: «${String(there['detail'])}», receiver: «${String(here?.['detail'])}»`
  } finally {
    await bed.stop()
  }
}

async function wrongPasswords(): Promise<string> {
  const bed = await startTestbed()
  try {
    for (const [file, text] of Object.entries({ 'a.txt': 'hello', right: 'sesame', wrong: 'salami' }))
      await writeFile(join(bed.folder, file), text)
    const { sender, link } = await send(bed, ['--no-code', '--password-file', 'right', 'a.txt'])
    const tryWith = async (password: string): Promise<string> => {
      const child = await receive(bed, ['--to', 'out', '--password-file', password, link])
      const { code } = await child.stopped
      const closed = eventsOf(child).find(({ event }) => event === 'closed')
      return `${code} ${String(closed?.['why'])}`
    }
    for (let tries = 1; tries <= PASSWORD_TRIES; tries++) {
      const outcome = await tryWith('wrong')
      if (outcome !== '4 wrong-password') throw new Error(`try ${tries}: ${outcome}\n${sender.output()}`)
    }
    const locked = await tryWith('right')
    if (!locked.endsWith(' locked')) throw new Error(`after ten tries: ${locked}\n${sender.output()}`)
    if ((await readdir(bed.folder)).includes('out') && (await readdir(join(bed.folder, 'out'))).length > 0)
      throw new Error('something was written')
    return `then ${locked}`
  } finally {
    await bed.stop()
  }
}
