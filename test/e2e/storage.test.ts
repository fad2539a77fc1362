import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { chromium as playwright } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findBinary } from '@peerage/test-support/binary.js'
import { CHROMIUM, launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { launchFirefox, type FirefoxBrowser } from '@peerage/test-support/firefox.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { serveBuiltPage } from '@peerage/test-support/testing/server.js'
import { treeMemory } from '@peerage/test-support/tree-memory.js'
import { contentOf } from './storage-content.js'
import type { TestFile, Trial } from './storage-page.js'

// The storage of the page in real browsers. The page of these tests has nothing else.

const MIB = 1024 * 1024
const SHARE_PAGE = `${REPOSITORY}packages/share`
const run = promisify(execFile)

let directory: string
let site: { url: string; stop(): Promise<void> }
let chromium: ChromiumBrowser
let firefox: FirefoxBrowser
/** The downloads of Chromium, by their names. */
const saves = new Map<string, string>()

/** A page of the storage module. */
interface Tab {
  call<K extends keyof Trial>(
    name: K,
    ...given: Trial[K] extends (...given: infer A) => unknown ? A : []
  ): Promise<unknown>
  choose(path: string): Promise<void>
  close(): Promise<void>
}

/** Tabs that share their storage. */
interface Profile {
  open(url?: string): Promise<Tab>
  close(): Promise<void>
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'peerage-storage-'))
  await mkdir(join(directory, 'page'))
  await mkdir(join(directory, 'downloads'))
  await buildPage(join(directory, 'page'), join(directory, 'built'))
  site = await serveBuiltPage(join(directory, 'built'))
  await cp(join(directory, 'built'), join(directory, 'without-worker'), {
    recursive: true,
    filter: (path) => !/worker-[^/]*\.js$/.test(path),
  })
  chromium = await launchChromium({ flags: ['--host-resolver-rules=MAP insecure.test 127.0.0.1'] })
  firefox = await launchFirefox({
    'browser.download.dir': join(directory, 'downloads'),
    'browser.download.folderList': 2,
    'browser.download.always_ask_before_handling_new_types': false,
    'network.dns.localDomains': 'insecure.test',
  })
})

afterAll(async () => {
  await chromium?.stop()
  await firefox?.stop()
  await site?.stop()
  await rm(directory, { recursive: true, force: true })
})

async function buildPage(root: string, outDir: string): Promise<void> {
  await writeFile(join(root, 'entry.js'), `import '${REPOSITORY}test/e2e/storage-page.ts'`)
  await writeFile(
    join(root, 'index.html'),
    '<!doctype html><script type="module" src="./entry.js"></script><input type="file" />',
  )
  await build({
    configFile: `${SHARE_PAGE}/vite.config.ts`,
    root,
    logLevel: 'error',
    build: {
      outDir,
      rolldownOptions: {
        input: { index: join(root, 'index.html'), downloads: `${SHARE_PAGE}/src/storage/downloads.ts` },
      },
    },
  })
}

const callIn = ([name, given]: readonly [string, readonly unknown[]]): unknown => {
  const trial: object = Reflect.get(globalThis, 'trial')
  const member: unknown = Reflect.get(trial, name)
  return typeof member === 'function' ? member(...given) : member
}
const isReady = (): boolean => document.title === 'ready'

async function chromiumProfile(): Promise<Profile> {
  const made = await chromium.context()
  made.context.on('page', (page) =>
    page.on('download', (download) => {
      void download.path().then(
        (path) => saves.set(download.suggestedFilename(), path),
        () => saves.delete(download.suggestedFilename()), // failed, as some are meant to
      )
    }),
  )
  return {
    open: async (url = site.url) => {
      const page = await made.context.newPage()
      await page.goto(url)
      await page.waitForFunction(isReady)
      return {
        call: (name, ...given) => page.evaluate(callIn, [name, given] as const),
        choose: (path) => page.locator('input').setInputFiles(path),
        close: () => page.close(),
      }
    },
    close: () => made.close(),
  }
}

async function firefoxProfile(): Promise<Profile> {
  const context = await firefox.browser.createBrowserContext()
  return {
    open: async (url = site.url) => {
      const page = await context.newPage()
      await page.goto(url)
      await page.waitForFunction(isReady)
      return {
        call: (name, ...given) => page.evaluate(callIn, [name, given] as const),
        choose: async (path) => {
          const input = await page.$('input')
          await input?.uploadFile(path)
        },
        close: () => page.close(),
      }
    },
    close: () => context.close(),
  }
}

async function withTab(profile: Profile, work: (tab: Tab) => Promise<void>): Promise<void> {
  try {
    await work(await profile.open())
  } finally {
    await profile.close()
  }
}

function hashOf({ size }: TestFile): string {
  const hash = createHash('sha256')
  for (let index = 0; index * MIB < size; index++)
    hash.update(contentOf(index, Math.min(MIB, size - index * MIB)))
  return hash.digest('hex')
}

const FILE = { id: 3, path: 'folder/eight.txt', size: 7 * MIB + 1000 }

describe.each([
  ['Chromium', chromiumProfile],
  ['Firefox', firefoxProfile],
])('in %s', (name, profileOf) => {
  test('[FT78] all that the page needs is found on loopback', async () => {
    await withTab(await profileOf(), async (tab) => {
      expect(await tab.call('about')).toMatchObject({
        isSecure: true,
        hasSubtle: true,
        hasWorker: true,
        ownStorageBytes: expect.any(Number),
        canStream: true,
      })
    })
  })

  test('[FT70] blocks that were kept are there after the page was closed, and a torn record is ignored', async () => {
    const profile = await profileOf()
    try {
      const before = await profile.open()
      expect(await before.call('open', 'own', FILE)).toEqual([])
      expect(await before.call('put', FILE, 0, 5)).toBe(5)
      await before.close()

      const after = await profile.open()
      const journal = Object.keys((await after.call('files')) as object).find((name) =>
        name.endsWith('3.journal'),
      )
      await after.call('append', journal ?? '', 20)
      expect(await after.call('kept')).toMatchObject([{ ...FILE, type: 'text/plain', bytesKept: 5 * MIB }])
      expect(await after.call('open', 'own', FILE)).toEqual([0, 1, 2, 3, 4])
      expect(await after.call('put', FILE, 5, 8)).toBe(8)
      expect(await after.call('finish', FILE)).toBe(`blob of ${FILE.size} bytes, text/plain`)
      expect(await after.call('hashOfBlob', FILE.path)).toBe(hashOf(FILE))
      await after.call('release', FILE)
      expect(await after.call('files')).toEqual({})
    } finally {
      await profile.close()
    }
  })

  test('[FT70] another file with the same number begins anew, and a wrong block is not kept', async () => {
    await withTab(await profileOf(), async (tab) => {
      await tab.call('open', 'own', FILE)
      expect(await tab.call('putWrong', FILE, 0)).toBe(false)
      expect(await tab.call('put', FILE, 0, 2)).toBe(2)
      await tab.call('close', FILE)
      const other = { ...FILE, path: 'other.txt' }
      expect(await tab.call('open', 'own', other)).toEqual([])
      expect(await tab.call('put', other, 4, 5)).toBe(5)
      await tab.call('close', other)
      expect(await tab.call('kept')).toMatchObject([{ path: 'other.txt', bytesKept: MIB }])
      expect(await tab.call('open', 'own', other)).toEqual([4])
      await tab.call('discard', other)
      expect(await tab.call('files')).toEqual({})
    })
  })

  test('[FT72] a file that is open in another tab is refused with the reason, and not harmed', async () => {
    const profile = await profileOf()
    try {
      const [first, second] = [await profile.open(), await profile.open()]
      await first.call('open', 'own', FILE)
      await first.call('put', FILE, 0, 1)
      expect(await second.call('open', 'own', FILE)).toEqual([0])
      expect(await second.call('put', FILE, 1, 2)).toMatch(/^failed: .*another tab/)
      expect(await first.call('put', FILE, 1, 8)).toBe(8)
      await first.call('finish', FILE)
      expect(await first.call('hashOfBlob', FILE.path)).toBe(hashOf(FILE))
    } finally {
      await profile.close()
    }
  })

  test('[FT73] left-overs of a week ago are removed, and those of files that are open are not', async () => {
    await withTab(await profileOf(), async (tab) => {
      await tab.call('open', 'own', FILE, 'an old share')
      await tab.call('put', FILE, 0, 1)
      const week = 7 * 24 * 60 * 60 * 1000
      await tab.call('sweep', Date.now() + week + 60_000)
      expect(await tab.call('put', FILE, 1, 2)).toBe(2)
      await tab.call('close', FILE)
      await tab.call('sweep', Date.now())
      expect(await tab.call('kept', 'an old share')).toMatchObject([{ bytesKept: 2 * MIB }])
      await tab.call('sweep', Date.now() + week + 60_000)
      expect(await tab.call('files')).toEqual({})
    })
  })

  test('[FT74] a folder gets the tree, never overwrites, and keeps nothing of a file that was given up', async () => {
    await withTab(await profileOf(), async (tab) => {
      await tab.call('useFolder', 'chosen')
      for (const where of ['chosen/folder/eight.txt', 'chosen/folder/eight (2).txt'])
        expect(await tab.call('receive', 'folder', FILE)).toBe(where)
      const given = { ...FILE, path: 'folder/given-up.txt' }
      await tab.call('open', 'folder', given)
      await tab.call('put', given, 2, 4)
      await tab.call('discard', given)
      expect(await tab.call('files')).toEqual({
        'chosen/folder/eight.txt': FILE.size,
        'chosen/folder/eight (2).txt': FILE.size,
      })
      expect(await tab.call('hashOf', 'chosen/folder/eight (2).txt')).toBe(hashOf(FILE))
      expect(await tab.call('open', 'folder', { ...FILE, path: '../out.txt' })).toMatch(/^bad-name: /)
    })
  })

  test('[FT74] a chosen file is replaced at the end, and keeps its content if the file is given up', async () => {
    await withTab(await profileOf(), async (tab) => {
      await tab.call('useFile', 'chosen.txt')
      await tab.call('append', 'chosen.txt', 10)
      await tab.call('open', 'file', FILE)
      await tab.call('put', FILE, 7, 8)
      await tab.call('discard', FILE)
      expect(await tab.call('files')).toEqual({ 'chosen.txt': 10 })
      expect(await tab.call('receive', 'file', FILE)).toBe('chosen.txt')
      expect(await tab.call('hashOf', 'chosen.txt')).toBe(hashOf(FILE))
    })
  })

  test('[FT77] the worker reads and hashes a chosen file, and tells when it was changed or removed', async () => {
    const path = join(directory, 'chosen.bin')
    const [first, second] = [contentOf(0, MIB), contentOf(1, 500)]
    await writeFile(path, Buffer.concat([first, second]))
    await withTab(await profileOf(), async (tab) => {
      await tab.choose(path)
      const hashes = [first, second].map((bytes) => createHash('sha256').update(bytes).digest('hex'))
      expect(await tab.call('readChosen')).toEqual(hashes)
      await truncate(path, 1000)
      expect(await tab.call('readChosen')).toMatch(/SourceError: The file was changed/)
      await rm(path)
      expect(await tab.call('readChosen')).toMatch(/SourceError: The file was (changed|moved)/)
    })
  })

  test('[FT75] a download of 600 MB is written while it arrives, and is whole; in Chromium it does not stay in memory', async () => {
    const file = { id: 1, path: 'six hundred ü.bin', size: 600 * MIB }
    const command = name === 'Chromium' ? /chrom/ : /firefox/
    await withTab(await profileOf(), async (tab) => {
      expect(await tab.call('open', 'downloads', file)).toEqual([])
      expect(await tab.call('put', file, 0, 20)).toBe(20)
      const before = treeMemory(process.pid, command)
      let most = before
      for (let from = 20; from < 600; from += 20) {
        expect(await tab.call('put', file, from, from + 20)).toBe(from + 20)
        most = Math.max(most, treeMemory(process.pid, command))
      }
      // The main process of Firefox grows by the size of the download here.
      if (name === 'Chromium') expect((most - before) / MIB).toBeLessThan(300)
      expect(await tab.call('finish', file)).toBe(file.path)
      await expect.poll(() => hashOfDownload(name, file.path), { timeout: 30_000 }).toBe(hashOf(file))
    })
  }, 300_000)

  test('[FT75] a download that is given up leaves nothing that looks whole', async () => {
    const file = { id: 1, path: 'given-up.bin', size: 20 * MIB }
    await withTab(await profileOf(), async (tab) => {
      await tab.call('open', 'downloads', file)
      expect(await tab.call('put', file, 0, 10)).toBe(10)
      await tab.call('discard', file)
      await expect.poll(() => sizeOfDownload(name, file.path)).toBe(0)
    })
  })

  test('[FT76] a tree becomes one zip archive, which unzip and Python read', async () => {
    const files = Array.from({ length: 20 }, (_, id) => ({
      id,
      path: `tree/${id % 3}/dätei ${id}.txt`,
      size: id * 70_001,
    }))
    await withTab(await profileOf(), async (tab) => {
      await tab.call('useZip', `${name}.zip`, files.length + 1, 'download')
      const given = { id: 99, path: 'tree/given-up.txt', size: 3 * MIB }
      for (const file of files.slice(0, 10)) await tab.call('receive', 'zip', file)
      await tab.call('open', 'zip', given)
      await tab.call('put', given, 0, 2)
      await tab.call('discard', given)
      for (const file of files.slice(10)) expect(await tab.call('receive', 'zip', file)).toBe(file.path)
      expect(await tab.call('endZip')).toBe('saved')
      await expect.poll(() => sizeOfDownload(name, `${name}.zip`)).toBeGreaterThan(0)
      const path = downloaded(name, `${name}.zip`)
      await run('unzip', ['-q', path, '-d', join(directory, name)])
      for (const file of files)
        expect(
          createHash('sha256')
            .update(await readFile(join(directory, name, file.path)))
            .digest('hex'),
        ).toBe(hashOf(file))
      const { stdout } = await run('python3', [
        '-c',
        `import zipfile,sys; z=zipfile.ZipFile(sys.argv[1]); print(z.testzip(), len(z.namelist()))`,
        path,
      ])
      expect(stdout).toBe('None 20\n')
    })
  }, 120_000)

  test('[FT78] on plain http beyond loopback there is a worker, which reads and hashes, and nothing else', async () => {
    const path = join(directory, 'plain.bin')
    await writeFile(path, contentOf(0, 3000))
    const profile = await profileOf()
    try {
      const tab = await profile.open(site.url.replace('127.0.0.1', 'insecure.test'))
      expect(await tab.call('about')).toEqual({
        isSecure: false,
        hasSubtle: false,
        hasWorker: true,
        canStream: false,
        canPickFile: false,
        canPickFolder: false,
        canCopy: false,
        canShare: false,
      })
      await tab.choose(path)
      expect(await tab.call('readChosen')).toEqual([
        createHash('sha256').update(contentOf(0, 3000)).digest('hex'),
      ])
    } finally {
      await profile.close()
    }
  })

  test('[FT71] if the node has no worker of this version, the page works in memory and says why', async () => {
    const path = join(directory, 'without.bin')
    await writeFile(path, contentOf(0, 3000))
    const profile = await profileOf()
    const other = await serveBuiltPage(join(directory, 'without-worker'))
    try {
      const tab = await profile.open(other.url)
      expect(await tab.call('about')).toMatchObject({
        hasWorker: false,
        trouble: expect.stringContaining('memory'),
      })
      await tab.choose(path)
      expect(await tab.call('readChosen')).toEqual([
        createHash('sha256').update(contentOf(0, 3000)).digest('hex'),
      ])
      await tab.call('useZip', 'small.zip', 1, 'memory')
      expect(await tab.call('receive', 'zip', { id: 1, path: 'small.txt', size: 3000 })).toBe('small.txt')
      expect(await tab.call('endZip')).toBe('blob')
    } finally {
      await profile.close()
      await other.stop()
    }
  })
})

describe('in Chromium', () => {
  test('[FT72] a file that does not fit is refused with the free room, and a full disk ends it without harm to its blocks', async () => {
    // A private window, as other contexts are, checks the size of a file late.
    const context = await playwright.launchPersistentContext(join(directory, 'profile'), {
      executablePath: (await findBinary(CHROMIUM)).path,
      args: ['--headless', '--no-sandbox', '--disable-gpu'],
      chromiumSandbox: false,
    })
    try {
      const page = await context.newPage()
      await page.goto(site.url)
      await page.waitForFunction(isReady)
      const call = (name: keyof Trial, ...given: unknown[]): Promise<unknown> =>
        page.evaluate(callIn, [name, given] as const)
      const browser = await context.newCDPSession(page)
      const setQuota = (quotaSize: number): Promise<unknown> =>
        browser.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, quotaSize })
      // Chromium tells pages that they have 10 GiB, whatever they have. It refuses a file that does not fit.
      await setQuota(40 * MIB)
      expect(await call('open', 'own', { ...FILE, size: 60 * MIB })).toMatch(/^full: There is no more room/)
      expect(await call('open', 'own', { ...FILE, size: 60e9 })).toMatch(
        /^full: This browser has 10\d{3} MB free/,
      )
      expect(await call('files')).toEqual({})
      expect(await call('open', 'own', FILE)).toEqual([])
      expect(await call('put', FILE, 0, 3)).toBe(3)
      await call('close', FILE)
      await setQuota(2 * MIB)
      expect(await call('open', 'own', FILE)).toEqual([0, 1, 2])
      const second = { ...FILE, id: 4, path: 'second.txt' }
      await call('open', 'own', second)
      expect(await call('put', second, 0, 1)).toMatch(/^full: There is no more room/)
      await setQuota(200 * MIB)
      expect(await call('put', FILE, 3, 8)).toBe(8)
      await call('finish', FILE)
      expect(await call('hashOfBlob', FILE.path)).toBe(hashOf(FILE))
    } finally {
      await context.close()
    }
  })

  test('[FT75] a download that the person cancels ends with the reason', async () => {
    const made = await chromium.context()
    try {
      const page = await made.page(site.url)
      await page.waitForFunction(isReady)
      const call = (name: keyof Trial, ...given: unknown[]): Promise<unknown> =>
        page.evaluate(callIn, [name, given] as const)
      const file = { id: 1, path: 'cancelled.bin', size: 4000 * MIB }
      const started = page.waitForEvent('download')
      await call('open', 'downloads', file)
      const put = call('put', file, 0, 4000)
      await (await started).cancel()
      expect(await put).toMatch(/^failed: The download was cancelled/)
    } finally {
      await made.close()
    }
  })
})

/** Where a browser has saved a download. Playwright gives it another name when it is whole. */
function downloaded(browser: string, name: string): string {
  return browser === 'Firefox'
    ? join(directory, 'downloads', name)
    : (saves.get(name) ?? join(directory, 'no download'))
}

async function hashOfDownload(browser: string, name: string): Promise<string> {
  const path = downloaded(browser, name)
  return existsSync(path)
    ? createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
    : ''
}

/** 0 if there is none. Firefox leaves an empty file for a download that has failed. */
async function sizeOfDownload(browser: string, name: string): Promise<number> {
  const path = downloaded(browser, name)
  return existsSync(path) ? (await stat(path)).size : 0
}
