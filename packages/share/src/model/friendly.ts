// Names of peers are long and random. People see a colour and an animal instead, which follow from the name.

export const COLOURS = 8
export const ANIMALS = 32

/** Which colour and which animal stand for a peer, as indexes into the lists of the languages. */
export interface FriendlyName {
  colour: number
  animal: number
}

/** The same name always gives the same result, in each browser. */
export function friendlyName(name: string): FriendlyName {
  // FNV-1a, 32 bits.
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  // The low bits of FNV-1a depend on few bits of the name, so the high bits are mixed in.
  const mixed = (hash ^ (hash >>> 15)) >>> 0
  return { colour: mixed % COLOURS, animal: (mixed >>> 8) % ANIMALS }
}

/** The parts of a device text, such as `Firefox on Android`. Undefined if it has another form. */
export function deviceParts(device: string): { browser: string; system: string } | undefined {
  const [, browser, system] = /^([\w ]{1,30}) on ([\w ]{1,30})$/.exec(device) ?? []
  return browser === undefined || system === undefined ? undefined : { browser, system }
}

const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/(?:Chrome|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
]
const SYSTEMS: readonly [RegExp, string][] = [
  [/\bAndroid\b/, 'Android'],
  [/\biPad\b/, 'iPad'],
  [/\biPhone\b/, 'iPhone'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'Mac'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
]

/** What this browser tells others about itself, such as `Firefox on Android`. */
export function deviceOf(userAgent: string): string {
  const find = (table: readonly [RegExp, string][]): string | undefined =>
    table.find(([pattern]) => pattern.test(userAgent))?.[1]
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)]
  return browser !== undefined && system !== undefined ? `${browser} on ${system}` : (browser ?? system ?? '')
}
