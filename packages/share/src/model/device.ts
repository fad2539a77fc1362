// What a browser tells others about itself, so that people recognise a device in the list.

/** The parts of `navigator` that name the browser and the system. */
export interface Agent {
  readonly userAgent: string
  /** Chromium-like browsers have it on https and on loopback. */
  readonly userAgentData?: {
    readonly brands?: readonly { readonly brand: string }[]
    readonly platform?: string
  }
  /** An iPad says that it is a Mac. No Mac has a touch screen. */
  readonly maxTouchPoints?: number
}

type Table = readonly (readonly [RegExp, string])[]

/** How browsers call themselves in `userAgentData`. Each also lists Chromium, and one name that means nothing. */
const BRANDS: Table = [
  [/^Microsoft Edge/, 'Edge'],
  [/^Opera/, 'Opera'],
  [/^Samsung Internet$/, 'Samsung Internet'],
  [/^Brave$/, 'Brave'],
  [/^Vivaldi$/, 'Vivaldi'],
  [/^Yandex/, 'Yandex Browser'],
  [/^DuckDuckGo$/, 'DuckDuckGo'],
  [/WebView/, 'WebView'],
  [/^(?:Google|Headless) ?Chrome$/, 'Chrome'],
  [/^Chromium$/, 'Chromium'],
]

/** Many browsers also claim to be Chrome, and nearly all claim to be Safari. So the order matters. */
const BROWSERS: Table = [
  [/\bMicroMessenger\//, 'WeChat'],
  [/\bEdg(?:A|iOS)?\//, 'Edge'],
  [/\b(?:OPR|OPT|OPX)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\bVivaldi\//, 'Vivaldi'],
  [/\bYaBrowser\//, 'Yandex Browser'],
  [/\b(?:DuckDuckGo|Ddg)\//, 'DuckDuckGo'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/; wv\)/, 'WebView'],
  [/\bChromium\//, 'Chromium'],
  [/Chrome\/|\bCriOS\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
]

const PLATFORMS: Table = [
  [/^Android$/, 'Android'],
  [/^Windows$/, 'Windows'],
  [/^macOS$/, 'Mac'],
  [/^Chrom(?:e|ium) ?OS$/, 'ChromeOS'],
  [/^Linux$/, 'Linux'],
]

const SYSTEMS: Table = [
  [/\bAndroid\b/, 'Android'],
  [/\biPad\b/, 'iPad'],
  [/\biPhone\b/, 'iPhone'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'Mac'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
]

/** The browser and its system, such as `Firefox on Android`. Empty if neither is known. */
export function deviceOf({ userAgent, userAgentData, maxTouchPoints = 0 }: Agent): string {
  const brands = userAgentData?.brands?.map(({ brand }) => brand) ?? []
  const browser = find(BRANDS, brands) ?? find(BROWSERS, [userAgent])
  const said = find(PLATFORMS, [userAgentData?.platform ?? '']) ?? find(SYSTEMS, [userAgent])
  const system = said === 'Mac' && maxTouchPoints > 1 ? 'iPad' : said
  return browser !== undefined && system !== undefined ? `${browser} on ${system}` : (browser ?? system ?? '')
}

/** The first line of the table that fits one of the texts. */
function find(table: Table, texts: readonly string[]): string | undefined {
  return table.find(([pattern]) => texts.some((text) => pattern.test(text)))?.[1]
}

/** Whether the other side is the terminal program: one that shares takes texts, and no files. */
export const isTerminal = (device: string): boolean => /^Terminal\b/.test(device)

/** The parts of a device text. Undefined if it has another form. */
export function deviceParts(device: string): { browser: string; system: string } | undefined {
  const [, browser, system] = /^([\w ]{1,30}) on ([\w ]{1,30})$/.exec(device) ?? []
  return browser === undefined || system === undefined ? undefined : { browser, system }
}
