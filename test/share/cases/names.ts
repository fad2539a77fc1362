import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually, run } from '@peerage/test-support/process.js'
import { BROWSERS, type BrowserName } from '../browsers.js'
import type { Case } from '../case.js'
import { handMadeHost, smallFile } from '../hostile.js'
import type { Tab } from '../tab.js'
import { eventsOf, receive, send } from '../terminal.js'
import { startTestbed } from '../testbed.js'

// Odd files and names: empty, two of one name, thousands, and names that lead out of the folder.

const MOVED_MS = 180_000
const MANY = 5_000
/** A page that does nothing else for so long looks dead. A busy machine takes its share of it. */
const STUCK_MS = 5_000

export const names: readonly Case[] = [
  { id: 'names:terminal', title: 'odd and hostile names, peerage receive', run: oddToTerminal },
  { id: 'many:terminal', title: `${MANY} files between two terminals`, run: manyToTerminal },
  ...BROWSERS.flatMap((browser) => [
    {
      id: `names:${browser}`,
      title: `odd and hostile names, ${browser}`,
      run: () => oddToBrowser(browser),
    },
    {
      id: `many:${browser}`,
      title: `${MANY} files in a folder, ${browser}`,
      run: () => manyToBrowser(browser),
    },
  ]),
]

const LEADING_OUT = ['../outside.txt', '/tmp/outside.txt', 'a/../../outside.txt', 'C:\\outside.txt']
const LONG = `${'x'.repeat(296)}.txt`
const ODD = ['con.txt', 'new\nline.txt', LONG, 'empty.txt', 'same.txt', 'same.txt']

const hostileFiles = [...LEADING_OUT, ...ODD].map((path, index) =>
  smallFile(path, path === 'empty.txt' ? '' : `content ${index}`),
)

async function oddToTerminal(): Promise<string> {
  const bed = await startTestbed()
  const host = await handMadeHost(bed.url, hostileFiles)
  try {
    await mkdir(join(bed.folder, 'inner'))
    const receiver = await receive(bed, ['--to', 'inner/out', host.link])
    const { code } = await receiver.stopped
    if (code !== 1) throw new Error(`it ended with ${code} and not with 1\n${receiver.output()}`)
    same('beside the folder', await readdir(bed.folder), ['inner'])
    same('beside the folder', await readdir(join(bed.folder, 'inner')), ['out'])
    const files = await readdir(join(bed.folder, 'inner/out'))
    if (files.length !== ODD.length) throw new Error(`there are ${String(files)}\n${receiver.output()}`)
    for (const path of LEADING_OUT) {
      const told = eventsOf(receiver).find((one) => one['path'] === path && one['state'] === 'ended')
      if (told === undefined) throw new Error(`nothing was told of ${path}\n${receiver.output()}`)
    }
    same('at the host', host.states(), [
      ...LEADING_OUT.map(() => 'error-there'),
      ...ODD.map(() => 'complete'),
    ])
    return `${files.length} files, ${LEADING_OUT.length} refused`
  } finally {
    await host.stop()
    await bed.stop()
  }
}

async function oddToBrowser(name: BrowserName): Promise<string> {
  const bed = await startTestbed()
  const host = await handMadeHost(bed.url, hostileFiles)
  try {
    const browser = await bed.browser(name)
    const guest = await browser.open(host.link)
    await guest.accept('As one zip file')
    await guest.until('all files have ended', async () =>
      host.states().every((state) => state !== 'offered' && state !== 'accepted'),
    )
    await guest.until('one download', async () => (await readdir(browser.downloads)).length === 1)
    same('at the host', host.states(), [
      ...LEADING_OUT.map(() => 'error-there'),
      ...ODD.map(() => 'complete'),
    ])
    return `${ODD.length} files, ${LEADING_OUT.length} refused`
  } finally {
    await host.stop()
    await bed.stop()
  }
}

async function folderOfMany(folder: string): Promise<void> {
  for (let sub = 0; sub < 10; sub++) await mkdir(join(folder, 'many', String(sub)), { recursive: true })
  for (let index = 0; index < MANY; index++)
    await writeFile(join(folder, 'many', String(index % 10), `${index}.txt`), `file ${index}`)
}

async function manyToTerminal(): Promise<string> {
  const bed = await startTestbed()
  try {
    await folderOfMany(bed.folder)
    const startedAt = performance.now()
    const { sender, link } = await send(bed, ['--once', '--no-code', 'many'])
    const receiver = await receive(bed, ['--to', 'out', link])
    const { code } = await receiver.stopped
    if (code !== 0) throw new Error(`it ended with ${code}\n${receiver.output().slice(-2000)}`)
    const all = await readdir(join(bed.folder, 'out'), { recursive: true, withFileTypes: true })
    const count = all.filter((entry) => entry.isFile()).length
    if (count !== MANY) throw new Error(`there are ${count} files`)
    same('the last', [await readFile(join(bed.folder, 'out/many/9/4999.txt'), 'utf8')], ['file 4999'])
    if ((await sender.stopped).code !== 0) throw new Error(sender.output().slice(-2000))
    return `${((performance.now() - startedAt) / 1000).toFixed(0)} s`
  } finally {
    await bed.stop()
  }
}

async function manyToBrowser(name: BrowserName): Promise<string> {
  const bed = await startTestbed()
  try {
    await folderOfMany(bed.folder)
    const host = await (await bed.browser(name)).open(bed.url)
    await watchTicks(host)
    const link = await host.link()
    await host.shareFolder(join(bed.folder, 'many'), name)
    const browser = await bed.browser(name)
    const guest = await browser.open(link)
    await watchTicks(guest)
    const startedAt = performance.now()
    await guest.see('5,000 files')
    await guest.accept('As one zip file')
    await guest.see('5,000 files have arrived whole', MOVED_MS)
    const seconds = (performance.now() - startedAt) / 1000
    await host.see('5,000 files were delivered', MOVED_MS)
    const [archive] = await readdir(browser.downloads)
    if (archive !== 'many.zip') throw new Error(`the download is ${archive}`)
    const count = await entriesOf(join(browser.downloads, archive))
    if (count !== MANY) throw new Error(`the archive has ${count} files`)
    const gaps = [await longestGap(host), await longestGap(guest)]
    if (gaps.some((gap) => gap > STUCK_MS))
      throw new Error(`a page did nothing else for ${gaps.join(', ')} ms`)
    return `${seconds.toFixed(0)} s, longest pause of the host ${gaps[0]} ms, of the guest ${gaps[1]} ms`
  } finally {
    await bed.stop()
  }
}

/** How many files an archive has, once it can be read. */
function entriesOf(archive: string): Promise<number> {
  return eventually(
    `${archive} is whole`,
    async () => (await run('unzip', ['-Z1', archive], MOVED_MS)).trim().split('\n').length,
    { deadlineMs: MOVED_MS, everyMs: 300 },
  )
}

/** Measures how long the page does nothing else. */
function watchTicks(tab: Tab): Promise<void> {
  return tab.page.evaluate(() => {
    let [last, longest] = [performance.now(), 0]
    setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
      Reflect.set(globalThis, 'longestGap', longest)
    }, 20)
  })
}

const longestGap = async (tab: Tab): Promise<number> =>
  Math.round(await tab.page.evaluate(() => Number(Reflect.get(globalThis, 'longestGap'))))

function same(what: string, found: readonly string[], expected: readonly string[]): void {
  const [left, right] = [[...found].sort().join(' '), [...expected].sort().join(' ')]
  if (left !== right) throw new Error(`${what}: ${left}, and not ${right}`)
}
