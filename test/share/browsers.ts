import { join } from 'node:path'
import { launch, type Browser } from 'puppeteer-core'
import { findBinary } from '@peerage/test-support/binary.js'
import { CHROMIUM } from '@peerage/test-support/chromium.js'
import { FIREFOX } from '@peerage/test-support/firefox.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { Tab } from './tab.js'

// Each browser has a profile on the disk and a process tree of its own, as the browsers of two people have: Chromium
// keeps OPFS in memory in the private windows that tests usually open.

export const BROWSERS = ['chromium', 'firefox'] as const
export type BrowserName = (typeof BROWSERS)[number]

export type Preferences = Readonly<Record<string, boolean | number | string>>

export interface ShareBrowser {
  readonly name: BrowserName
  /** The root of its process tree. */
  readonly pid: number
  /** Where it saves downloads. */
  readonly downloads: string
  /** For everything that this interface lacks. */
  readonly browser: Browser
  open(url: string): Promise<Tab>
  /** Closes it and removes its profile. */
  stop(): Promise<void>
}

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Candidates named xyz.local need multicast DNS, which a sandbox lacks.
  '--disable-features=WebRtcHideLocalIpsWithMdns,HttpsUpgrades,MediaRouter,Translate',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
]
const FIREFOX_PREFERENCES = {
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  'browser.download.folderList': 2,
  'browser.download.always_ask_before_handling_new_types': false,
  // No collecting of responses for puppeteer: a download would stay in the memory of Firefox.
  'remote.network.maxTotalDataSize': 0,
}
/** A browser that starts while others are busy takes a while. */
const LAUNCH_MS = 60_000
/** A call may wait as long as its case. */
const ANSWER_MS = 1_800_000

export async function startBrowser(name: BrowserName, preferences: Preferences = {}): Promise<ShareBrowser> {
  const directory = await makeDirectory(`share-${name}`)
  const downloads = join(directory, 'downloads')
  const usual = { headless: true, timeout: LAUNCH_MS, protocolTimeout: ANSWER_MS }
  const browser =
    name === 'chromium'
      ? await launch({
          ...usual,
          browser: 'chrome',
          executablePath: (await findBinary(CHROMIUM)).path,
          args: CHROMIUM_FLAGS,
          userDataDir: join(directory, 'profile'),
          downloadBehavior: { policy: 'allow', downloadPath: downloads },
        })
      : await launch({
          ...usual,
          browser: 'firefox',
          networkEnabled: false,
          executablePath: (await findBinary(FIREFOX)).path,
          extraPrefsFirefox: { ...FIREFOX_PREFERENCES, 'browser.download.dir': downloads, ...preferences },
        })
  const pid = browser.process()?.pid
  if (pid === undefined) throw new Error(`${name} has no process`)
  return {
    name,
    pid,
    downloads,
    browser,
    open: (url) => Tab.open(browser, url),
    stop: async () => {
      await browser.close()
      await removeDirectory(directory)
    },
  }
}
