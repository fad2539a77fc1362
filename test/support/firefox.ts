import { launch, type Browser, type Page } from 'puppeteer-core'
import { announce, findBinary, type Program } from './binary.js'

/** Like Chromium, Firefox never runs in a container: it must see this machine's interfaces to gather its candidates. */
export const FIREFOX: Program = {
  name: 'firefox',
  binaries: ['firefox-esr', 'firefox'],
  debianPackage: 'firefox-esr',
  version: { args: ['--version'], pattern: /(\d+\.\d+[\d.]*)/ },
}

export interface FirefoxBrowser {
  readonly version: string
  /** Puppeteer's browser, for everything that this interface lacks. */
  readonly browser: Browser
  /** Opens a page in a new context, at `url`. */
  page(url: string): Promise<Page>
  /** Closes the browser and removes its profile. */
  stop(): Promise<void>
}

const PREFERENCES = {
  // Candidates named xyz.local need multicast DNS, which a sandbox and a namespace lack.
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // A tab in the background would otherwise slow its timers down to one a second.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
}
const LAUNCH_DEADLINE_MS = 30_000
/** A page's answer may take as long as its test. Each test has its own deadline. */
const ANSWER_DEADLINE_MS = 600_000

/** Starts a Firefox without a window, over WebDriver BiDi. Puppeteer gives it a fresh profile and removes it at the end. */
export async function launchFirefox(
  preferences: Readonly<Record<string, boolean | number | string>> = {},
): Promise<FirefoxBrowser> {
  const binary = await findBinary(FIREFOX)
  announce(`firefox: ${binary.how} ${binary.version}`)
  const browser = await launch({
    browser: 'firefox',
    executablePath: binary.path,
    headless: true,
    extraPrefsFirefox: { ...PREFERENCES, ...preferences },
    timeout: LAUNCH_DEADLINE_MS,
    protocolTimeout: ANSWER_DEADLINE_MS,
  })
  return {
    version: binary.version,
    browser,
    page: async (url) => {
      const page = await (await browser.createBrowserContext()).newPage()
      await page.goto(url)
      return page
    },
    stop: () => browser.close(),
  }
}
