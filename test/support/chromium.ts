import { chromium, type Browser, type BrowserContext, type ConsoleMessage, type Page } from 'playwright-core'
import { announce, findBinary, type Program } from './binary.js'

/**
 * Chromium is the one part that never runs in a container: tests hand it files by path, and it must see
 * this machine's interfaces, and those of a network namespace, to gather its candidates.
 */
export const CHROMIUM: Program = {
  part: 'chromium',
  binaries: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'],
  debianPackage: 'chromium',
  version: { args: ['--version'], pattern: /(\d+\.\d+[\d.]*)/ },
}

export interface ChromiumOptions {
  /** More of Chromium's flags. */
  flags?: readonly string[]
  /** A launcher that takes Chromium's place, such as a script that enters a network namespace. */
  executablePath?: string
}

export interface ChromiumBrowser {
  readonly version: string
  /** Playwright's browser, for what is not here. */
  readonly browser: Browser
  /** A context of its own: storage, cookies and permissions apart from all others. */
  context(): Promise<Context>
  /** A page in a context of its own, at `url` when given. */
  page(url?: string): Promise<Page>
  /** Closes it; its data directory goes with it. */
  stop(): Promise<void>
}

export interface Context {
  readonly context: BrowserContext
  page(url?: string): Promise<Page>
  close(): Promise<void>
}

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  // Candidates named xyz.local need multicast DNS, which a sandbox and a namespace lack. This list replaces
  // playwright's, so what of that matters here is repeated: pages by plain HTTP, nothing sought on the network.
  '--disable-features=WebRtcHideLocalIpsWithMdns,HttpsUpgrades,MediaRouter,Translate',
  // A tab in the background would slow its timers down to one a second or a minute.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
]
const LAUNCH_DEADLINE_MS = 30_000
const PAGE_DEADLINE_MS = 15_000

/** Starts a Chromium without a window; playwright gives it a fresh data directory and removes it at the end. */
export async function launchChromium(options: ChromiumOptions = {}): Promise<ChromiumBrowser> {
  const binary = await findBinary(CHROMIUM)
  announce(`chromium: ${binary.how} ${binary.version}`)
  const browser = await chromium.launch({
    executablePath: options.executablePath ?? binary.path,
    args: [...FLAGS, ...(options.flags ?? [])],
    chromiumSandbox: false,
    timeout: LAUNCH_DEADLINE_MS,
  })
  const context = async (): Promise<Context> => {
    const made = await browser.newContext({ ignoreHTTPSErrors: true })
    made.setDefaultTimeout(PAGE_DEADLINE_MS)
    return {
      context: made,
      page: async (url) => {
        const page = await made.newPage()
        if (url !== undefined) await page.goto(url)
        return page
      },
      close: () => made.close(),
    }
  }
  return {
    version: binary.version,
    browser,
    context,
    page: async (url) => (await context()).page(url),
    stop: () => browser.close(),
  }
}

/** Collects what a page says in its console and what it throws, for a test to look at when it fails. */
export function listen(page: Page): string[] {
  const lines: string[] = []
  page.on('console', (message: ConsoleMessage) => lines.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error: Error) => lines.push(`thrown: ${error.stack ?? error.message}`))
  return lines
}
