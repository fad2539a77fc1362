import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { MOVED_MS, OPEN_MS, accept, chooseWay, contentOf, fileIn, linkOf, row, share } from './page-kit.js'

// Where files come from, and where they go. The dialogs of the browser are replaced: they hand out a folder or a file of
// the page's own storage, whose handles have the same methods.

const run = promisify(execFile)

let node: Node
let chromium: ChromiumBrowser
let directory: string

beforeAll(async () => {
  node = await startNode()
  chromium = await launchChromium()
  directory = await mkdtemp(join(tmpdir(), 'peerage-places-'))
})

afterAll(async () => {
  await chromium?.stop()
  await node?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

/** `without`: what this browser is to lack. */
async function open(url: string, without: readonly string[] = []): Promise<Page> {
  const fresh = await chromium.context()
  await fresh.context.addInitScript((names) => {
    const root = (): Promise<FileSystemDirectoryHandle> => navigator.storage.getDirectory()
    Object.assign(globalThis, {
      showDirectoryPicker: async () => (await root()).getDirectoryHandle('chosen', { create: true }),
      showSaveFilePicker: async ({ suggestedName }: { suggestedName?: string } = {}) =>
        (await root()).getFileHandle(suggestedName ?? 'unnamed', { create: true }),
    })
    for (const name of names) Reflect.deleteProperty(globalThis, name)
  }, without)
  const opened = await fresh.page()
  opened.setDefaultTimeout(OPEN_MS)
  listen(opened)
  await opened.goto(url)
  return opened
}

/** A host with the files, and a guest to whom they are offered. */
async function pair(
  give: (host: Page) => Promise<unknown>,
  without: readonly string[] = [],
): Promise<[host: Page, guest: Page]> {
  const host = await open(node.url)
  const link = await linkOf(host)
  await give(host)
  return [host, await open(link, without)]
}

/** The files that the replaced dialogs have handed out, with their contents. */
const chosenFiles = (page: Page): Promise<Record<string, string>> =>
  page.evaluate(async () => {
    const found: Record<string, string> = {}
    const walk = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
      for await (const entry of folder.values())
        if (entry.kind === 'directory') await walk(entry, `${above}${entry.name}/`)
        else found[above + entry.name] = await (await entry.getFile()).text()
    }
    await walk(await navigator.storage.getDirectory(), '')
    return found
  })

async function treeOf(name: string): Promise<string> {
  await fileIn(directory, `${name}/one.txt`, 'one')
  await fileIn(directory, `${name}/deep/er/two.txt`, 'two')
  await fileIn(directory, `${name}/deep/empty.txt`, '')
  return join(directory, name)
}

const TREE = { 'deep/empty.txt': '', 'deep/er/two.txt': 'two', 'one.txt': 'one' }
const treeBelow = (folder: string): Record<string, string> =>
  Object.fromEntries(Object.entries(TREE).map(([path, content]) => [`${folder}/${path}`, content]))

const pickFolder = (page: Page, path: string): Promise<void> =>
  page.locator('[data-pick=folder]').first().setInputFiles(path)

/** Drops files or folders of the disk onto the page, as a file manager does. */
async function drop(page: Page, ...files: string[]): Promise<void> {
  const devtools = await page.context().newCDPSession(page)
  const data = { items: [], files, dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await devtools.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data })
  await devtools.detach()
}

const allDone = (guest: Page, count: number): Promise<void> =>
  guest.getByText(new RegExp(`^${count} files? (has|have) arrived whole`)).waitFor({ timeout: MOVED_MS })

describe('a folder', () => {
  test('that is picked arrives as a tree in the folder that the guest chooses', async () => {
    const path = await treeOf('picked')
    const [host, guest] = await pair((page) => pickFolder(page, path))
    await chooseWay(guest, 'Choose a folder')
    await accept(guest)
    await allDone(guest, 3)
    expect(await chosenFiles(guest)).toEqual(
      Object.fromEntries(
        Object.entries(treeBelow('picked')).map(([name, content]) => [`chosen/${name}`, content]),
      ),
    )
    await host.getByText('3 files were delivered').waitFor({ timeout: MOVED_MS })
  }, 240_000)

  test('that is dropped is read whole, and becomes a zip where no folder can be chosen', async () => {
    const path = await treeOf('dropped')
    const [, guest] = await pair((page) => drop(page, path), ['showDirectoryPicker', 'showSaveFilePicker'])
    await chooseWay(guest, 'As one zip file')
    const download = guest.waitForEvent('download', { timeout: MOVED_MS })
    await accept(guest)
    await allDone(guest, 3)
    expect((await download).suggestedFilename()).toBe('dropped.zip')
    const zip = await fileIn(directory, 'got.zip', await contentOf(await download))
    await run('unzip', ['-q', zip, '-d', join(directory, 'unzipped')])
    const { stdout } = await run('find', ['.', '-type', 'f', '-printf', '%P %s\n'], {
      cwd: join(directory, 'unzipped'),
    })
    expect(stdout.trim().split('\n').toSorted()).toEqual([
      'dropped/deep/empty.txt 0',
      'dropped/deep/er/two.txt 3',
      'dropped/one.txt 3',
    ])
  }, 240_000)

  test('becomes a zip at a chosen place', async () => {
    const path = await treeOf('placed')
    const [, guest] = await pair((page) => pickFolder(page, path))
    await chooseWay(guest, 'As one zip file, at a place that you choose')
    await accept(guest)
    await allDone(guest, 3)
    await expect
      .poll(async () => (await chosenFiles(guest))['placed.zip']?.slice(0, 2), { timeout: OPEN_MS })
      .toBe('PK')
  }, 240_000)

  test('of 10,001 files is refused with words, and nothing of it is added', async () => {
    const host = await open(node.url)
    const path = join(directory, 'too-many')
    await run('python3', ['-c', MAKE_FILES, path, '10001'])
    await pickFolder(host, path)
    await host
      .getByRole('alert')
      .getByText('A share holds at most 10,000 files.')
      .waitFor({ timeout: OPEN_MS })
    expect(await host.locator('[data-file]').count()).toBe(0)
    await host.getByRole('button', { name: 'OK' }).click()
    await drop(host, path)
    await host
      .getByRole('alert')
      .getByText('A share holds at most 10,000 files.')
      .waitFor({ timeout: OPEN_MS })
  }, 240_000)
})

const MAKE_FILES = `
import os, sys
path, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    folder = os.path.join(path, str(number % 50))
    if number < 50: os.makedirs(folder)
    with open(os.path.join(folder, f"{number}.txt"), "w") as file: file.write(str(number))
`

describe('some files', () => {
  test('a single file goes to the chosen place', async () => {
    const path = await fileIn(directory, 'single.bin', randomBytes(3_000_000))
    const [, guest] = await pair((page) => share(page, path))
    await chooseWay(guest, 'Choose a place for the file')
    await accept(guest)
    await row(guest, 'single.bin', 'complete').waitFor({ timeout: MOVED_MS })
    expect(Object.keys(await chosenFiles(guest))).toEqual(['single.bin'])
  }, 240_000)

  test('a closed dialog accepts nothing, and says so', async () => {
    const path = await fileIn(directory, 'unplaced.txt', 'text')
    const [, guest] = await pair((page) => share(page, path))
    await guest.evaluate(() =>
      Object.assign(globalThis, {
        showSaveFilePicker: () => Promise.reject(new DOMException('closed', 'AbortError')),
      }),
    )
    await chooseWay(guest, 'Choose a place for the file')
    await accept(guest)
    await guest.getByText('No place was chosen, so nothing was accepted.').waitFor()
    await guest.locator('[data-offered="unplaced.txt"]').waitFor()
  }, 120_000)

  test('"Save all" saves each of them, and then the list can be cleared', async () => {
    const names = ['a.txt', 'b.txt', 'c.txt']
    const paths = await Promise.all(names.map((name) => fileIn(directory, name, name)))
    const [, guest] = await pair((page) => share(page, ...paths))
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    await allDone(guest, 3)
    // The page has the only copies.
    expect(await guest.getByRole('button', { name: 'Clear the list' }).count()).toBe(0)
    const saved = new Map<string, string>()
    guest.on('download', (download) => {
      void contentOf(download).then((content) => saved.set(download.suggestedFilename(), content.toString()))
    })
    await guest.getByRole('button', { name: 'Save all' }).click()
    await expect.poll(() => [...saved].map(([name]) => name).toSorted(), { timeout: OPEN_MS }).toEqual(names)
    for (const name of names) expect(saved.get(name)).toBe(name)
    await guest.getByRole('button', { name: 'Clear the list' }).click()
    await expect.poll(() => guest.locator('[data-direction]').count()).toBe(0)
  }, 240_000)
})
