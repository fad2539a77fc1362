import { chromium, type Browser, type BrowserContext, type ConsoleMessage, type Page } from 'playwright-core'
import { announce, findBinary, type Program } from './binary.js'

/**
 * Chromium never runs in a container: tests pass it files by path, and it must see this machine's interfaces, and those
 * of a network namespace, to gather its candidates.
 */
export const CHROMIUM: Program = {
  name: 'chromium',
  binaries: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'],
  debianPackage: 'chromium',
  version: { args: ['--version'], pattern: /(\d+\.\d+[\d.]*)/ },
}

export interface ChromiumOptions {
  /** Additional flags for Chromium. */
  flags?: readonly string[]
  /** A launcher that runs in place of Chromium, such as a script that enters a network namespace. */
  executablePath?: string
}

export interface ChromiumBrowser {
  readonly version: string
  /** Playwright's browser, for everything that this interface lacks. */
  readonly browser: Browser
  /** Makes a new context, which shares no storage, cookies or permissions with others. */
  context(): Promise<Context>
  /** Opens a page in a new context, at `url` if given. */
  page(url?: string): Promise<Page>
  /** Closes the browser and removes its data directory. */
  stop(): Promise<void>
}

export interface Context {
  readonly context: BrowserContext
  page(url?: string): Promise<Page>
  close(): Promise<void>
}

/** The flags with which tests start Chromium. */
export const CHROMIUM_FLAGS = [
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
  // Candidates named xyz.local need multicast DNS, which a sandbox and a namespace lack. This flag replaces playwright's
  // own, so it repeats the features that matter here: pages over plain HTTP, and no searches on the network.
  '--disable-features=WebRtcHideLocalIpsWithMdns,HttpsUpgrades,MediaRouter,Translate',
  // A tab in the background would otherwise slow its timers down to one a second or a minute.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
]
const LAUNCH_DEADLINE_MS = 30_000
const PAGE_DEADLINE_MS = 15_000

/** Starts a Chromium without a window. Playwright gives it a fresh data directory and removes it at the end. */
export async function launchChromium(options: ChromiumOptions = {}): Promise<ChromiumBrowser> {
  const binary = await findBinary(CHROMIUM)
  announce(`chromium: ${binary.how} ${binary.version}`)
  const browser = await chromium.launch({
    executablePath: options.executablePath ?? binary.path,
    args: [...CHROMIUM_FLAGS, ...(options.flags ?? [])],
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

/** Collects what a page logs to its console and the errors it throws, for a failing test to show. */
export function listen(page: Page): string[] {
  const lines: string[] = []
  page.on('console', (message: ConsoleMessage) => lines.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error: Error) => lines.push(`thrown: ${error.stack ?? error.message}`))
  return lines
}
