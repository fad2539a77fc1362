// How sizes, times and texts of others are written in a terminal.

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** Such as `1.2 GB`, in powers of 1,000 as disks are sold. */
export function sizeText(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${SIZES[unit] ?? ''}`
}

/** Such as `45 s`, `3 min` or `2 h 5 min`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds))
  if (whole < 100) return `${whole} s`
  const minutes = Math.round(whole / 60)
  if (minutes < 100) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a time such as `90s`, `10m`, `2h` or `1d`. Undefined if it is none, or longer than a year. */
export function parseDuration(text: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const ms = Number(number) * (UNITS_MS[unit] ?? Number.NaN)
  return ms > 0 && ms <= 365 * 86_400_000 ? ms : undefined
}

/** Characters that could command the terminal, or change the direction of the text around them. */
const UNSEEN = /[\p{Cc}\p{Cs}\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu

/** A name or text of a stranger on one line, with a mark for each character that a terminal would obey. */
export const visible = (text: string): string => text.replace(UNSEEN, '\uFFFD')

/** The same for a text of several lines. */
export const visibleLines = (text: string): string =>
  text
    .replace(/\r\n?/g, '\n')
    .split(/\n/)
    .map((line) => line.split('\t').map(visible).join('\t'))
    .join('\n')

/** Cuts in the middle, so that the end of a path stays. One character counts as one column. */
export function fit(text: string, columns: number): string {
  const characters = Array.from(text)
  if (characters.length <= columns) return text
  if (columns <= 1) return '…'.slice(0, Math.max(0, columns))
  const tail = Math.floor((columns - 1) * 0.6)
  return [
    ...characters.slice(0, columns - 1 - tail),
    '…',
    ...characters.slice(characters.length - tail),
  ].join('')
}

/** Such as `[#####-----]`. */
export function bar(done: number, whole: number, columns: number): string {
  const share = whole === 0 ? 1 : Math.min(1, done / whole)
  const full = Math.floor(share * columns)
  return `[${'#'.repeat(full)}${'-'.repeat(columns - full)}]`
}

/** In whole percent, rounded down: 100 only when all is done. */
export const percent = (done: number, whole: number): number =>
  whole === 0 ? 100 : Math.min(100, Math.floor((done / whole) * 100))

/** Such as `1 file` or `12 files`. */
export const filesText = (count: number): string =>
  count === 1 ? '1 file' : `${count.toLocaleString('en')} files`
