// Log lines for people. Programs get JSON.

type Painter = (text: string) => string

const paint =
  (code: number): Painter =>
  (text) =>
    `\u001B[${code}m${text}\u001B[0m`

const LEVEL_COLORS: Readonly<Record<string, Painter>> = {
  trace: paint(90),
  debug: paint(90),
  info: paint(32),
  warn: paint(33),
  error: paint(31),
  fatal: paint(31),
}
const dim = paint(2)
const plain: Painter = (text) => text

/** The length of the longest level. */
const LEVEL_WIDTH = 5

/** A JSON line of pino as a line for people. Any other text stays as it is. */
export function prettyLine(line: string, isColored: boolean): string {
  const record = readRecord(line)
  if (record === undefined) return line
  const { level, time, msg, error, why, stack, node: _node, ...rest } = record
  const [grey, color] = isColored ? [dim, LEVEL_COLORS[String(level)] ?? plain] : [plain, plain]
  const reason = error ?? why
  const words = reason === undefined ? String(msg) : `${String(msg)}: ${shown(reason)}`
  const fields = fieldsOf(rest)
  const parts = [
    grey(clockTime(String(time))),
    color(String(level).toUpperCase().padEnd(LEVEL_WIDTH)),
    words,
    ...(fields.length === 0 ? [] : [grey(fields.join(' '))]),
  ]
  // The first line of a stack repeats the error.
  const frames = typeof stack === 'string' ? stack.split('\n').slice(1) : []
  return `${[parts.join(' '), ...frames.map((frame) => grey(`    ${frame.trim()}`))].join('\n')}\n`
}

/** `key=value` for each field, with `key.inner=value` for an object. */
function fieldsOf(record: object, prefix = ''): string[] {
  return Object.entries(record).flatMap(([key, value]: [string, unknown]) => {
    if (value === null || value === undefined) return []
    if (typeof value === 'object' && !Array.isArray(value)) return fieldsOf(value, `${prefix}${key}.`)
    return [`${prefix}${key}=${shown(value)}`]
  })
}

function readRecord(line: string): Record<string, unknown> | undefined {
  try {
    const record: unknown = JSON.parse(line)
    return typeof record === 'object' && record !== null ? { ...record } : undefined
  } catch {
    return undefined // not of the logger
  }
}

/** The time of day on this machine. */
function clockTime(iso: string): string {
  const time = new Date(iso)
  return [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}

function shown(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value)
}
