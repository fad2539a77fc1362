import { z } from 'zod'
import { settings } from './kinds.js'

/** How a setting is written as text, in a flag or a variable. */
export type Kind = 'text' | 'number' | 'boolean' | 'list' | 'mapping'

/** A setting, as the rest of the configuration code sees it. */
export interface Leaf {
  /**
   * The key in the file, such as `peerjs.expireMs`. Problems name the setting by it. In a mapping of sections, `*` stands
   * for the key of any section: `apps.*.origins`.
   */
  path: string
  /** The flag, such as `--peerjs-expire-ms`. Undefined within a mapping of sections: only a file can hold one. */
  flag: string | undefined
  /** The variable, such as `PEERAGE_PEERJS_EXPIRE_MS`. With `_FILE` added it names the file of a value, see `mayBeFile`. */
  variable: string | undefined
  kind: Kind
  secret: boolean
  /** Whether the value may be read from a file: that of a secret, and others that are long texts. */
  mayBeFile: boolean
  about: string
  default: unknown
}

const kebab = (path: string): string =>
  path
    .replaceAll('.', '-')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()

/** The schema without the wrappers for a default, for null, for undefined and for the empty mapping of a section. */
function bare(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodOptional
  )
    return bare(schema.unwrap())
  return schema
}

/** Stands for the keys of a mapping of sections in the path of a leaf. */
const ANY_KEY = '*'

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
    if (inner instanceof z.ZodRecord) {
      const each = bare(inner.valueType)
      if (each instanceof z.ZodObject) return leavesOf(each, variables, `${path}.${ANY_KEY}.`)
    }
    const setting = settings.get(child)
    if (setting === undefined) throw new Error(`${path} is neither a setting nor a section`)
    const name = path.includes(ANY_KEY) ? undefined : (setting.flag ?? kebab(path))
    return {
      path,
      flag: name && `--${name}`,
      variable: name && `${variables}${name.replaceAll('-', '_').toUpperCase()}`,
      kind: kindOf(child),
      secret: setting.secret === true,
      mayBeFile: setting.secret === true || setting.isFromFile === true,
      about: setting.about,
      default: z.safeParse(child, undefined).data,
    }
  })
}

/** A setting that flags and variables can hold. */
export type TextLeaf = Leaf & { flag: string; variable: string }

export function textLeaves(leaves: readonly Leaf[]): TextLeaf[] {
  return leaves.flatMap((leaf) => {
    const { flag, variable } = leaf
    return flag === undefined || variable === undefined ? [] : [{ ...leaf, flag, variable }]
  })
}

/** What a path of the file is, such as `redis`, `redis.url` or `apps.chat.origins`. */
export type Place =
  | { type: 'setting'; leaf: Leaf }
  /** A section. `isKeyed`: its key is a name that the file gives, such as that of an app. */
  | { type: 'section'; isKeyed: boolean }
  | { type: 'unknown' }

export function placeOf(leaves: readonly Leaf[], path: string): Place {
  let branch = treeOf(leaves)
  let isKeyed = false
  for (const key of path.split('.')) {
    const named = key === ANY_KEY ? undefined : branch.sections.get(key)
    const next = named ?? branch.sections.get(ANY_KEY)
    if (next === undefined) return { type: 'unknown' }
    isKeyed = named === undefined
    branch = next
  }
  return branch.leaf === undefined ? { type: 'section', isKeyed } : { type: 'setting', leaf: branch.leaf }
}

/** A section with what is in it, or a setting. */
interface Branch {
  leaf: Leaf | undefined
  sections: Map<string, Branch>
}

/** The settings as a tree, because a file of a thousand apps asks for thousands of places. */
const trees = new WeakMap<readonly Leaf[], Branch>()

function treeOf(leaves: readonly Leaf[]): Branch {
  const known = trees.get(leaves)
  if (known !== undefined) return known
  const root: Branch = { leaf: undefined, sections: new Map() }
  for (const leaf of leaves) {
    let branch = root
    for (const key of leaf.path.split('.')) {
      const next = branch.sections.get(key) ?? { leaf: undefined, sections: new Map() }
      branch.sections.set(key, next)
      branch = next
    }
    branch.leaf = leaf
  }
  trees.set(leaves, root)
  return root
}

/** The path of a setting within its parts: `apps.chat.origins.0` is in the setting `apps.chat.origins`. */
export function settingWithin(
  leaves: readonly Leaf[],
  path: readonly PropertyKey[],
): { leaf: Leaf; path: string } | undefined {
  for (let length = path.length; length > 0; length--) {
    const shorter = path.slice(0, length).join('.')
    const place = placeOf(leaves, shorter)
    if (place.type === 'setting') return { leaf: place.leaf, path: shorter }
  }
  return undefined
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
      // A file with a list has one item a line.
      return text
        .split(/[,\n]/)
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

/**
 * The known word that is closest to a mistyped word. For the name of a section, the first setting of the section.
 * `typed`: the part of the word that was probably mistyped.
 */
export function closest(word: string, known: readonly string[], typed = word): string | undefined {
  let best = known.find(
    (candidate) => /^[-_.]/.test(candidate.slice(word.length)) && candidate.startsWith(word),
  )
  if (best !== undefined) return best
  // Two slips are allowed in a short word and more in a long one. Beyond that, a hint would mislead.
  let least = Math.max(2, Math.floor(typed.length / 4)) + 1
  for (const candidate of known) {
    if (Math.abs(word.length - candidate.length) >= least) continue
    const distance = slips(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** What to say about a path that is no setting. `others`: the names of options that are no settings. */
export function unknownSetting(
  path: string,
  leaves: readonly Leaf[],
  { noun = 'a setting', others = [] }: { noun?: string; others?: readonly string[] } = {},
): string {
  const inApp = /^apps\.[^.]+\.(.+)$/.exec(path)?.[1]
  if (inApp !== undefined && isKnown(leaves, inApp)) return `is not ${noun} of an app, only of the node`
  if (isKnown(leaves, `apps.${ANY_KEY}.${path}`))
    return `is not ${noun} of the node, only of an app: apps.….${path}`
  return `is not ${noun}${didYouMean(path, leaves, others)}`
}

const isKnown = (leaves: readonly Leaf[], path: string): boolean => placeOf(leaves, path).type !== 'unknown'

/** A hint at the setting, section or other name that is closest to an unknown path. Empty if none is close. */
function didYouMean(path: string, leaves: readonly Leaf[], others: readonly string[]): string {
  const keys = path.split('.')
  // Within a mapping of sections, the hint has the key of the section that the path is in.
  const known = leaves.map((leaf) =>
    leaf.path
      .split('.')
      .map((key, at) => (key === ANY_KEY ? (keys[at] ?? key) : key))
      .join('.'),
  )
  const sections = known.flatMap((each) => [...each.matchAll(/\./g)].map((dot) => each.slice(0, dot.index)))
  const candidates = [...known, ...sections, ...others].filter((each) => each !== path)
  // The section was found, so the slip is in the last key.
  const near = closest(path, candidates, keys.at(-1))
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
