import { z } from 'zod'
import { settings } from './kinds.js'

/** How a setting is written as text, in a flag or a variable. */
export type Kind = 'text' | 'number' | 'boolean' | 'list' | 'mapping'

/** A setting, as the rest of the configuration code sees it. */
export interface Leaf {
  /** The key in the file, such as `peerjs.expireMs`. Problems name the setting by it. */
  path: string
  /** The flag, such as `--peerjs-expire-ms`. */
  flag: string
  /** The variable, such as `PEERAGE_PEERJS_EXPIRE_MS`. A secret also has this name with `_FILE` added. */
  variable: string
  kind: Kind
  secret: boolean
  about: string
  default: unknown
}

const kebab = (path: string): string =>
  path
    .replaceAll('.', '-')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()

/** The schema without the wrappers for a default, for null and for the empty mapping of a section. */
function bare(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodNullable)
    return bare(schema.unwrap())
  return schema
}

function kindOf(schema: z.core.$ZodType): Kind {
  const type = bare(schema)
  if (type instanceof z.ZodNumber) return 'number'
  if (type instanceof z.ZodBoolean) return 'boolean'
  if (type instanceof z.ZodArray) return 'list'
  if (type instanceof z.ZodUnion) return 'mapping'
  return 'text'
}

/** All settings of a schema, in its order. `variables` is the prefix of their environment variables. */
export function leavesOf(schema: z.ZodObject, variables: string, prefix = ''): Leaf[] {
  return Object.entries(schema.shape).flatMap(([key, child]) => {
    const path = `${prefix}${key}`
    const inner = bare(child)
    if (inner instanceof z.ZodObject) return leavesOf(inner, variables, `${path}.`)
    const setting = settings.get(child)
    if (setting === undefined) throw new Error(`${path} is neither a setting nor a section`)
    const name = setting.flag ?? kebab(path)
    return {
      path,
      flag: `--${name}`,
      variable: `${variables}${name.replaceAll('-', '_').toUpperCase()}`,
      kind: kindOf(child),
      secret: setting.secret === true,
      about: setting.about,
      default: z.safeParse(child, undefined).data,
    }
  })
}

/** Parses the text of a flag or variable. A text that does not fit is returned as it is, and the schema refuses it. */
export function fromText(kind: Kind, text: string): unknown {
  switch (kind) {
    case 'text':
      return text
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text
    case 'boolean':
      return booleans.get(text.trim().toLowerCase()) ?? text
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
    case 'mapping':
      return text.includes('=') ? pairs(text) : text
  }
}

const booleans = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['0', false],
  ['no', false],
  ['off', false],
])

function pairs(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const at = pair.indexOf('=')
      return at < 0 ? [pair.trim(), ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    }),
  )
}

/** The known word that is closest to a mistyped word. For the name of a section, the first setting of the section. */
export function closest(word: string, known: readonly string[]): string | undefined {
  let best = known.find(
    (candidate) => /^[-_.]/.test(candidate.slice(word.length)) && candidate.startsWith(word),
  )
  if (best !== undefined) return best
  // Two slips are allowed in a short word and more in a long one. Beyond that, a hint would mislead.
  let least = Math.max(2, Math.floor(word.length / 4)) + 1
  for (const candidate of known) {
    const distance = slips(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** A hint at the setting, section or other name that is closest to an unknown path. Empty if none is close. */
export function didYouMean(path: string, leaves: readonly Leaf[], others: readonly string[] = []): string {
  const sections = leaves.flatMap((leaf) =>
    [...leaf.path.matchAll(/\./g)].map((dot) => leaf.path.slice(0, dot.index)),
  )
  const near = closest(path, [...leaves.map((leaf) => leaf.path), ...sections, ...others])
  return near === undefined ? '' : `; did you mean ${near}?`
}

/** Levenshtein distance, one row at a time. */
function slips(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
