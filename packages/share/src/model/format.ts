// Sizes, speeds and shares of a whole, as people read them.

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** A size in bytes, such as `12.3 MB`. A kB has 1,000 bytes, as the file managers of most systems count. */
export function sizeText(bytes: number, language: string): string {
  let value = Math.max(0, bytes)
  let unit = 0
  // 999,950 B would read "1000 kB".
  while (unit < SIZE_UNITS.length - 1 && value >= (unit === 0 ? 1000 : 999.5)) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)
  return `${number} ${SIZE_UNITS[unit] ?? 'B'}`
}

/** A part of a whole in percent, rounded down, so that 100 % means all of it. An empty whole is 100 %. */
export function percentOf(part: number, whole: number): number {
  if (whole <= 0) return 100
  return Math.max(0, Math.min(100, Math.floor((part / whole) * 100)))
}

export function countText(count: number, language: string): string {
  return new Intl.NumberFormat(language).format(count)
}

/** When something is: the time, with the date if that is not today. */
export function timeText(at: number, language: string, now = Date.now()): string {
  const isToday = new Date(at).toDateString() === new Date(now).toDateString()
  return new Intl.DateTimeFormat(language, {
    timeStyle: 'short',
    ...(isToday ? {} : { dateStyle: 'medium' }),
  }).format(at)
}

/** A time that is left, in the largest unit that says enough. */
export type TimeLeft = { unit: 'seconds' | 'minutes' | 'hours' | 'days'; count: number }

export function timeLeft(seconds: number): TimeLeft {
  const whole = Math.max(1, Math.ceil(seconds))
  // A number of seconds that changes each second is hard to read, so it goes in steps.
  if (whole < 10) return { unit: 'seconds', count: whole }
  if (whole < 56) return { unit: 'seconds', count: Math.ceil(whole / 5) * 5 }
  if (whole < 3570) return { unit: 'minutes', count: Math.max(1, Math.round(whole / 60)) }
  if (whole < 2 * 86_400) return { unit: 'hours', count: Math.max(1, Math.round(whole / 3600)) }
  return { unit: 'days', count: Math.round(whole / 86_400) }
}
