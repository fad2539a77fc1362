import { readdir } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import type { Browser, ElementHandle, Page } from 'puppeteer-core'

/** Two pages connect and verify each other while other tests run. */
const OPEN_MS = 60_000
const POLL_MS = 100

/** How a file stands on a page. */
export interface RowState {
  state: string
  bytesDone: number
  note: string
}

/** The page for sharing, in a tab of a real browser. Puppeteer drives both browsers by the same calls. */
export class Tab {
  readonly page: Page
  /** What the page wrote to its console, and the errors that it threw. */
  readonly said: string[] = []
  /** The dialogs that the browser showed. All are accepted. */
  readonly dialogs: string[] = []

  private constructor(page: Page) {
    this.page = page
    page.on('console', (message) => this.said.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => this.said.push(`thrown: ${String(error)}`))
    page.on('dialog', (dialog) => {
      this.dialogs.push(dialog.type())
      dialog.accept().catch((error: unknown) => this.said.push(`dialog: ${String(error)}`))
    })
  }

  static async open(browser: Browser, url: string): Promise<Tab> {
    const tab = new Tab(await browser.newPage())
    await tab.page.evaluateOnNewDocument(keepConnections)
    await tab.page.goto(url)
    return tab
  }

  /** The link of the share, on the page of a host. */
  async link(): Promise<string> {
    await this.page.waitForSelector('#link', { timeout: OPEN_MS })
    return this.page.$eval('#link', (field) => (field as HTMLInputElement).value)
  }

  /** Picks files. */
  async share(paths: readonly string[]): Promise<void> {
    await this.pick('files', paths)
  }

  /** Picks a folder whose files have different names. */
  async shareFolder(folder: string, browser: 'chromium' | 'firefox'): Promise<void> {
    if (browser === 'chromium') return this.pick('folder', [folder])
    // WebDriver BiDi cannot pick a folder in Firefox. So the files are picked, and the page is told their paths.
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
    const paths = files.map((file) => [basename(file), relative(dirname(folder), file)] as const)
    await this.page.evaluate(tellPaths, paths)
    await this.pick('folder', files)
  }

  private async pick(what: 'files' | 'folder', paths: readonly string[]): Promise<void> {
    const input = await this.page.waitForSelector(`[data-pick=${what}]`, { timeout: OPEN_MS })
    await (input as ElementHandle<HTMLInputElement>).uploadFile(...paths)
  }

  /** Presses the first button, link, label or summary whose text or label begins so. */
  async press(text: string, withinMs = OPEN_MS): Promise<void> {
    const found = await this.page.waitForFunction(findControl, { timeout: withinMs, polling: POLL_MS }, text)
    await found.asElement()?.evaluate((control) => (control as HTMLElement).click())
  }

  /** Writes into the field with this id or name. */
  async fill(selector: string, value: string): Promise<void> {
    const field = await this.page.waitForSelector(selector, { timeout: OPEN_MS })
    await field?.evaluate((one, text) => {
      const input = one as HTMLInputElement
      input.value = text
      input.dispatchEvent(new Event('input', { bubbles: true }))
      input.dispatchEvent(new Event('change', { bubbles: true }))
    }, value)
  }

  /** Waits until the page shows this text. */
  async see(text: string, withinMs = OPEN_MS): Promise<void> {
    await this.until(`«${text}» is shown`, async () => (await this.text()).includes(text), withinMs)
  }

  text(): Promise<string> {
    return this.page.evaluate(() => document.body.textContent ?? '')
  }

  /** Chooses where the files go. */
  async choose(way: string): Promise<void> {
    await this.until('the places are shown', async () => (await this.text()).includes('Where the files go'))
    const isShown = await this.page.evaluate((wanted) => document.body.innerText.includes(wanted), way)
    if (!isShown) await this.press('Other places')
    await this.press(way)
  }

  /** Accepts all. */
  async accept(way?: string): Promise<void> {
    if (way !== undefined) await this.choose(way)
    await this.press('Get ')
  }

  row(path: string): Promise<RowState | undefined> {
    return this.page.evaluate((wanted) => {
      const row = [...document.querySelectorAll('[data-direction]')].find(
        (one) => one.getAttribute('data-file') === wanted,
      )
      if (row === undefined) return undefined
      return {
        state: row.getAttribute('data-state') ?? '',
        bytesDone: row.querySelector('progress')?.value ?? 0,
        note: row.querySelector('.file-note')?.textContent ?? '',
      }
    }, path)
  }

  /** Waits until the file stands so. Rejects at once if it ends otherwise. */
  async untilRow(path: string, state: 'complete' | 'ended', withinMs: number): Promise<RowState> {
    let last: RowState | undefined
    await this.until(
      `${path} is ${state}`,
      async () => {
        last = await this.row(path)
        if (last !== undefined && last.state !== state && ['complete', 'ended'].includes(last.state))
          throw new Error(`${path} is ${last.state} and not ${state}: ${last.note}\n${await this.shown()}`)
        return last?.state === state
      },
      withinMs,
    )
    if (last === undefined) throw new Error('unreachable: the row was there')
    return last
  }

  /** Waits until so many bytes of the file are kept, or until it is complete. Resolves with how many are kept. */
  async untilBytes(path: string, bytes: number, withinMs = OPEN_MS): Promise<number> {
    let done = 0
    await this.until(
      `${bytes} bytes of ${path} are there`,
      async () => {
        const row = await this.row(path)
        if (row?.state === 'ended') throw new Error(`${path} has ended: ${row.note}`)
        done = row?.bytesDone ?? 0
        return done >= bytes || row?.state === 'complete'
      },
      withinMs,
    )
    return done
  }

  /** How many bytes came over the data channels of this page since it was loaded. */
  bytesReceived(): Promise<number> {
    return this.page.evaluate(async () => {
      const made: readonly RTCPeerConnection[] = Reflect.get(globalThis, 'connectionsMade')
      let bytes = 0
      for (const connection of made)
        for (const report of (await connection.getStats()).values())
          if (report.type === 'data-channel') bytes += report.bytesReceived
      return bytes
    })
  }

  async until(what: string, isSo: () => Promise<boolean>, withinMs = OPEN_MS): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!(await isSo())) {
      if (performance.now() > deadline)
        throw new Error(`${what}: not within ${withinMs} ms\n${await this.shown()}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** For error messages. */
  private async shown(): Promise<string> {
    const text = await this.page.evaluate(() => document.body.innerText)
    return [`the page shows:`, text.replaceAll(/\n+/g, ' | ').slice(0, 1500), ...this.said.slice(-20)].join(
      '\n',
    )
  }

  async reload(): Promise<void> {
    await this.page.reload()
  }

  async close(): Promise<void> {
    await this.page.close()
  }
}

/** Runs in the page before its scripts. */
function keepConnections(): void {
  const made: RTCPeerConnection[] = []
  Reflect.set(globalThis, 'connectionsMade', made)
  globalThis.RTCPeerConnection = new Proxy(globalThis.RTCPeerConnection, {
    construct(target, given: ConstructorParameters<typeof RTCPeerConnection>) {
      const connection = new target(...given)
      made.push(connection)
      return connection
    },
  })
}

/** Runs in the page. `paths`: the path of each file by its name. */
function tellPaths(paths: readonly (readonly [string, string])[]): void {
  const byName = new Map(paths)
  Object.defineProperty(File.prototype, 'webkitRelativePath', {
    get(this: File) {
      return byName.get(this.name) ?? ''
    },
  })
}

/** Runs in the page. */
function findControl(text: string): Element | undefined {
  return [...document.querySelectorAll('button, a, label, summary')].find(
    (one) =>
      one.checkVisibility() &&
      !(one instanceof HTMLButtonElement && one.disabled) &&
      [one.textContent, one.getAttribute('aria-label')].some((said) => said?.trim().startsWith(text)),
  )
}
